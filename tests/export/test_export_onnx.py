"""Exporting: what the file takes and gives, what it does not hold, and its hash."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from task_makers import deployed_classifier

from automl.errors import AutomlError
from automl.export.deployed import Deployed
from automl.export.graph import graph_hash, is_network_node, read_metadata
from automl.export.onnx import export_onnx
from automl.export.parity import check_parity
from automl.export.rewrite import use_global_pools
from automl.export.untrained import vary_constants
from automl.tasks.classification import ClassificationTask

Build = Callable[..., Deployed]
Noise = Callable[..., list[NDArray[np.uint8]]]


@pytest.fixture(scope="module")
def files(
    build: Build, entries: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[int, int] | None, Path]:
    """The same network for three frame sizes: its own, another, any."""
    folder = tmp_path_factory.mktemp("files")
    paths: dict[tuple[int, int] | None, Path] = {}
    for size in ((32, 32), (40, 60), None):
        paths[size] = folder / f"{size}.onnx"
        export_onnx(build(), paths[size], frame_size=size, metadata=entries)
    return paths


def _operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(path)).graph.node)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet", "test_vit"])
def test_file_says_what_the_module_says(
    backbone: str,
    build: Build,
    noise: Noise,
    entries: dict[str, str],
    tmp_path: Path,
    three_classes: ClassificationTask,
) -> None:
    deployed = build(backbone, side=64)
    export_onnx(deployed, tmp_path / "model.onnx", frame_size=(70, 90), metadata=entries)
    parity = check_parity(deployed, tmp_path / "model.onnx", three_classes, noise(4, 70, 90))
    assert parity.images == 4
    assert parity.max_difference < 1e-4
    assert parity.agreement == 1.0


@pytest.mark.parametrize("size", [(32, 32), (40, 60), None])
def test_file_takes_frames_and_gives_probabilities(
    size: tuple[int, int] | None, files: dict[tuple[int, int] | None, Path], noise: Noise
) -> None:
    session = onnxruntime.InferenceSession(str(files[size]), providers=["CPUExecutionProvider"])
    given, taken = session.get_outputs()[0], session.get_inputs()[0]
    assert (taken.name, taken.type) == ("frame", "tensor(uint8)")
    assert taken.shape == [1, *(size or ("height", "width")), 3]
    assert (given.name, given.type, given.shape) == ("probabilities", "tensor(float)", [1, 3])
    frame = noise(1, *(size or (51, 37)))[0]
    probabilities = session.run(None, {"frame": frame[None]})[0]
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("size", "resizes"), [((32, 32), 0), ((40, 60), 1), (None, 1)])
def test_file_resizes_only_where_it_must(
    size: tuple[int, int] | None, resizes: int, files: dict[tuple[int, int] | None, Path]
) -> None:
    assert _operators(files[size])["Resize"] == resizes


def test_resize_inside_the_file_is_that_of_pillow(
    files: dict[tuple[int, int] | None, Path], build: Build, three_classes: ClassificationTask
) -> None:
    gradient = np.linspace(0, 255, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
    small = np.asarray(Image.fromarray(gradient).resize((32, 32), Image.Resampling.BILINEAR))
    whole, reduced = (
        check_parity(build(), files[None], three_classes, [f]) for f in (gradient, small)
    )
    assert max(whole.max_difference, reduced.max_difference) < 1e-4
    with torch.inference_mode():
        answers = [build()(torch.from_numpy(np.array(f))[None])[0] for f in (gradient, small)]
    assert torch.allclose(answers[0], answers[1], atol=0.01)


def test_batch_normalisation_is_folded_into_convolutions(
    files: dict[tuple[int, int] | None, Path], build: Build
) -> None:
    operators = _operators(files[None])
    convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in build().modules())
    assert operators["BatchNormalization"] == 0
    assert operators["Conv"] == convolutions


def test_means_over_the_image_are_global_pools(
    build: Build,
    entries: dict[str, str],
    noise: Noise,
    tmp_path: Path,
    three_classes: ClassificationTask,
) -> None:
    """Squeeze-and-excite blocks twice, and the pool before the classifier."""
    deployed = build("test_efficientnet")
    export_onnx(deployed, tmp_path / "model.onnx", frame_size=(32, 32), metadata=entries)
    operators = _operators(tmp_path / "model.onnx")
    assert (operators["GlobalAveragePool"], operators["ReduceMean"]) == (3, 0)
    graph = onnx.load(str(tmp_path / "model.onnx")).graph
    used = {name for node in graph.node for name in node.input}
    assert {constant.name for constant in graph.initializer} <= used
    assert (
        check_parity(
            deployed, tmp_path / "model.onnx", three_classes, noise(2, 32, 32)
        ).max_difference
        < 1e-5
    )


def test_means_over_other_axes_stay(tmp_path: Path) -> None:
    frame = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 4, 4])
    answer = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    nodes = [
        onnx.helper.make_node("ReduceMean", ["x", "channels"], ["a"]),
        onnx.helper.make_node("ReduceMean", ["a", "image"], ["b"]),
        onnx.helper.make_node("ReduceMean", ["x", "image"], ["c"], keepdims=0),
        onnx.helper.make_node("ReduceMean", ["x", "image"], ["d"], keepdims=1),
        onnx.helper.make_node("Sum", ["b", "c", "d"], ["y"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array(axes, np.int64), name)
        for name, axes in (("channels", [1]), ("image", [-1, -2]))
    ]
    graph = onnx.helper.make_graph(nodes, "g", [frame], [answer], constants)
    model = onnx.helper.make_model(graph)
    assert use_global_pools(model) == 1
    assert [node.op_type for node in model.graph.node] == [
        "ReduceMean", "ReduceMean", "ReduceMean", "GlobalAveragePool", "Sum",
    ]  # fmt: skip


def test_nodes_are_named_by_section_and_layer(
    files: dict[tuple[int, int] | None, Path],
) -> None:
    names = [node.name for node in onnx.load(str(files[None])).graph.node]
    assert names[:3] == [
        "preprocess/Transpose_0",
        "preprocess/Cast_1",
        "preprocess/Resize_2",
    ]
    assert "network/conv1.0/Conv_5" in names
    assert names[-1].startswith("postprocess/Softmax_")
    assert len(set(names)) == len(names)
    outside = Counter(name.split("/")[0] for name in names if not is_network_node(name))
    assert outside == {"preprocess": 5, "postprocess": 1}


def test_same_weights_make_the_same_bytes(
    files: dict[tuple[int, int] | None, Path],
    build: Build,
    entries: dict[str, str],
    tmp_path: Path,
) -> None:
    export_onnx(build(), tmp_path / "again.onnx", frame_size=None, metadata=entries)
    assert (tmp_path / "again.onnx").read_bytes() == files[None].read_bytes()


def test_file_holds_no_paths_and_no_notes(files: dict[tuple[int, int] | None, Path]) -> None:
    content = files[None].read_bytes()
    assert str(Path(timm.__file__).parent).encode() not in content
    assert b"stack_trace" not in content
    assert str(Path(__file__).parent).encode() not in content


def test_metadata_is_what_was_given(
    files: dict[tuple[int, int] | None, Path], entries: dict[str, str]
) -> None:
    assert read_metadata(files[None]) == entries
    assert entries["automl.classes"] == '["good", "scratch", "<b>ünder & over</b>"]'
    assert entries["automl.scheme"] == "float32"


def test_export_is_silent(
    build: Build, entries: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(build(), tmp_path / "model.onnx", frame_size=None, metadata=entries)
    assert capfd.readouterr() == ("", "")


def test_export_refuses_a_network_in_training_mode(
    build: Build, entries: dict[str, str], tmp_path: Path
) -> None:
    deployed = build().train()
    with pytest.raises(ValueError) as raised:
        export_onnx(deployed, tmp_path / "model.onnx", frame_size=None, metadata=entries)
    assert str(raised.value) == (
        "A network is exported in evaluation mode; call deployed.eval() first."
    )
    assert not list(tmp_path.iterdir())


class _Branches(torch.nn.Module):
    """What torch cannot export: its path depends on the pixels."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((2, 3)) if pixels.sum() > 0 else pixels.amax((2, 3))


def test_network_that_cannot_be_exported_is_named(
    entries: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    deployed = deployed_classifier(_Branches(), side=32)
    with pytest.raises(AutomlError) as raised:
        export_onnx(deployed, tmp_path / "model.onnx", frame_size=None, metadata=entries)
    message = str(raised.value)
    assert message.startswith(f"_Branches cannot be exported to ONNX by torch {torch.__version__}:")
    assert message.endswith(". Choose another backbone.")
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_hash_does_not_depend_on_weights(
    files: dict[tuple[int, int] | None, Path],
    build: Build,
    entries: dict[str, str],
    tmp_path: Path,
) -> None:
    other = tmp_path / "other.onnx"
    export_onnx(build(seed=7), other, frame_size=None, metadata=entries | {"automl.task": "x"})
    assert other.read_bytes() != files[None].read_bytes()
    assert graph_hash(other) == graph_hash(files[None])
    assert other.stat().st_size == pytest.approx(files[None].stat().st_size, abs=16)


def test_hash_depends_on_architecture_and_frame_size(
    files: dict[tuple[int, int] | None, Path],
    build: Build,
    entries: dict[str, str],
    tmp_path: Path,
) -> None:
    other = tmp_path / "other.onnx"
    export_onnx(build("test_efficientnet"), other, frame_size=None, metadata=entries)
    hashes = {graph_hash(path) for path in (other, *files.values())}
    assert len(hashes) == 4


def test_untrained_network_with_varied_constants_has_the_graph_of_a_trained_one(
    entries: dict[str, str], tmp_path: Path
) -> None:
    """The exporter drops zero biases, which only an untrained network has."""
    hashes = {}
    for name in ("fresh", "varied", "trained"):
        torch.manual_seed(0)
        network = timm.create_model("test_efficientnet", num_classes=3)
        if name == "varied":
            vary_constants(network)
        if name == "trained":
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            network(torch.rand(4, 3, 32, 32)).square().sum().backward()
            optimizer.step()
        deployed = deployed_classifier(network, side=32)
        export_onnx(deployed, tmp_path / "model.onnx", frame_size=None, metadata=entries)
        hashes[name] = graph_hash(tmp_path / "model.onnx")
    assert hashes["varied"] == hashes["trained"]
    assert hashes["fresh"] != hashes["trained"]


def test_parity_needs_a_frame(
    files: dict[tuple[int, int] | None, Path], build: Build, three_classes: ClassificationTask
) -> None:
    with pytest.raises(ValueError, match=r"^Parity is checked on at least one frame; got none\.$"):
        check_parity(build(), files[None], three_classes, [])
