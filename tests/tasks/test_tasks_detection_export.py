"""The delivered file of a detector answers as PyTorch does, for one frame size and for any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from automl.export.deployed import Deployed, deploy
from automl.export.metadata import metadata
from automl.export.onnx import export_onnx
from automl.export.parity import check_parity
from automl.export.schemes.base import QuantizationContext
from automl.export.schemes.calibration import CalibrationMethod, tensor_ranges
from automl.export.schemes.int8_static import Int8StaticScheme
from automl.export.schemes.qdq import QUANTIZED_OPERATORS, prepare_model
from automl.models.backbones import Network
from automl.models.detector_parts import DetectorOutput
from automl.predictor import Detection, Model
from automl.records import Architecture, TaskOptions
from automl.tasks import Task, open_task
from automl.tasks.detection_postprocess import MOST_OBJECTS, FoundObjects

CLASSES = ("cell", "platelet", "other")
SIDE = 64
FRAME = (100, 120)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Tiny networks are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(decoder: str, frames: list[NDArray[np.uint8]], *, steps: int) -> tuple[Task, Network]:
    """Return a tiny detector that learnt to find one object in the left half of some frames."""
    torch.manual_seed(0)
    task = open_task("detection", classes=CLASSES, options=TaskOptions())
    network = task.build(
        Architecture("test", "test_efficientnet", 3, SIDE, decoder, 8), weights=None
    )
    loss = task.loss([], label_smoothing=0.0)
    optimizer = torch.optim.AdamW(network.module.parameters(), lr=5e-3)
    squares = [np.asarray(Image.fromarray(f).resize((SIDE, SIDE))) for f in frames]
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255.0
    images = (pixels - torch.tensor(network.mean).view(1, 3, 1, 1)) / torch.tensor(
        network.std
    ).view(1, 3, 1, 1)
    target = {
        "boxes": torch.tensor([[8.0, 12.0, 30.0, 44.0]]),
        "labels": torch.tensor([1]),
        "ignored": torch.tensor([False]),
    }
    for _ in range(steps):
        optimizer.zero_grad()
        loss(network.module(images), [target] * len(frames)).backward()
        optimizer.step()
    return task, network


def exported(
    module: Deployed, network: Network, path: Path, frame_size: tuple[int, int] | None
) -> Path:
    entries = metadata(
        classes=CLASSES,
        mean=network.mean,
        std=network.std,
        image_size=SIDE,
        task="detection",
        spec_sha256="",
        architecture=network.architecture.key,
    )
    export_onnx(module, path, frame_size=frame_size, metadata=entries)
    return path


@pytest.fixture(scope="module")
def photographs(paper_images: Path) -> list[NDArray[np.uint8]]:
    files = sorted(paper_images.glob("*/*.jpg"))[::40][:4]
    return [np.asarray(Image.open(file).convert("RGB"))[:100, :120] for file in files]


@dataclass(frozen=True)
class Delivered:
    """A detector that learnt a little, and its file."""

    task: Task
    module: Deployed
    path: Path


@pytest.fixture(
    scope="module",
    params=[("fcos", FRAME), ("fcos", None), ("retinanet", None)],
    ids=["fcos-fixed", "fcos-any", "retinanet-any"],
)
def delivered(
    request: pytest.FixtureRequest,
    photographs: list[NDArray[np.uint8]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Delivered:
    decoder, frame_size = request.param
    task, network = trained(decoder, photographs, steps=25)
    module = deploy(network, task, frame_size=frame_size)
    path = tmp_path_factory.mktemp("delivered") / "model.onnx"
    return Delivered(task, module, exported(module, network, path, frame_size))


def test_file_finds_what_pytorch_finds(
    delivered: Delivered, photographs: list[NDArray[np.uint8]]
) -> None:
    parity = check_parity(delivered.module, delivered.path, delivered.task, photographs)
    assert parity.agreement == 1.0
    assert parity.max_difference < 1e-3
    answer = Model(delivered.path).predict(photographs[0])
    assert isinstance(answer, Detection)
    assert answer.labels[answer.classes[0]] == "platelet"
    # 8, 12, 30, 44 of 64 x 64 in a frame of 120 x 100
    np.testing.assert_allclose(answer.boxes[0], [15, 18.75, 56.25, 68.75], atol=10)
    if Model(delivered.path).frame_size is None:
        wide = np.ascontiguousarray(np.tile(photographs[0], (1, 2, 1)))
        other = check_parity(delivered.module, delivered.path, delivered.task, [wide])
        assert other.max_difference < 1e-3


def test_nodes_tell_the_network_from_what_follows(delivered: Delivered) -> None:
    nodes = [node.name for node in onnx.load(str(delivered.path)).graph.node]
    assert {name.partition("/")[0] for name in nodes} == {"preprocess", "network", "postprocess"}
    assert [n for n in nodes if "NonMaxSuppression" in n and n.startswith("postprocess/")]
    assert all(name.startswith("network/") for name in nodes if "Conv" in name)


def test_whole_numbers_leave_the_postprocessing_alone(
    delivered: Delivered, photographs: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    context = QuantizationContext(
        calibration=photographs,
        score=None,
        float_score=None,
        max_drop=0.5,
        instruction_sets=("avx512_vnni",),
        deadline=lambda: False,
    )
    Int8StaticScheme().apply(delivered.path, tmp_path / "int8.onnx", context)
    graph = onnx.load(str(tmp_path / "int8.onnx")).graph
    made_by = {name: node.name for node in graph.node for name in node.output}
    rounded = [node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert len(rounded) > 40
    assert not [name for name in rounded if made_by.get(name, "").startswith("postprocess/")]
    answer = Model(tmp_path / "int8.onnx").predict(photographs[0])
    assert isinstance(answer, Detection)
    assert answer.labels[answer.classes[0]] == "platelet"


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_ranges_are_learnt_from_frames_with_and_without_objects(
    delivered: Delivered,
    method: CalibrationMethod,
    photographs: list[NDArray[np.uint8]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    blank = np.zeros((*FRAME, 3), np.uint8)
    model = Model(delivered.path)
    counts = {len(model.predict(frame).scores) for frame in (*photographs, blank)}
    assert len(counts) > 1
    ranges = tensor_ranges(
        prepare_model(delivered.path, tmp_path).path,
        [*photographs, blank],
        method,
        op_types=QUANTIZED_OPERATORS,
        folder=tmp_path,
    )
    graph = onnx.load(str(delivered.path)).graph
    outside = {
        name for node in graph.node if node.name.startswith("postprocess/") for name in node.output
    }
    convolved = {node.output[0] for node in graph.node if node.op_type == "Conv"}
    assert convolved <= set(ranges.keys())
    assert not outside & set(ranges.keys())
    assert capfd.readouterr().err == ""


def test_frame_in_which_nothing_is_found_has_no_boxes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = open_task("detection", classes=CLASSES, options=TaskOptions())
    network = task.build(
        Architecture("test", "test_efficientnet", 2, SIDE, "retinanet", 8), weights=None
    )
    path = exported(
        deploy(network, task, frame_size=FRAME), network, tmp_path / "model.onnx", FRAME
    )
    answer = Model(path).predict(np.zeros((*FRAME, 3), np.uint8))
    assert isinstance(answer, Detection)
    assert answer.boxes.shape == (0, 4)
    assert answer.text() == "nothing found"


def said(logits: torch.Tensor, boxes: torch.Tensor) -> DetectorOutput:
    """Return one level of FCOS of logits ``(C, h, w)`` and distances ``(4, h, w)`` in strides."""
    sides = boxes.expm1().log()
    return (logits[None],), (sides[None],), (torch.full_like(logits[:1], 30.0)[None],)


def test_boxes_of_one_object_become_one_and_classes_do_not_hide_each_other() -> None:
    logits = torch.full((2, 8, 8), -30.0)
    logits[0, 4, 4], logits[0, 4, 5], logits[1, 4, 4] = 3.0, 2.0, 1.0
    boxes = torch.full((4, 8, 8), 2.0)
    boxes[0, 4, 5], boxes[2, 4, 5] = 3.0, 1.0  # the same box, said from the next point
    found, labels, scores = FoundObjects(image_size=64, classes=2)(said(logits, boxes), 64, 128)
    assert labels.tolist() == [0, 1]
    torch.testing.assert_close(scores, torch.tensor([3.0, 1.0]).sigmoid().sqrt())
    # (36, 36) -+ 16 in the square, twice as wide in the frame
    torch.testing.assert_close(found, torch.tensor([[40.0, 20.0, 104.0, 52.0]] * 2))


def test_boxes_end_at_the_frame_and_there_are_at_most_a_hundred() -> None:
    logits = torch.full((3, 8, 8), 2.0)
    boxes = torch.full((4, 8, 8), 0.4)
    boxes[:, 0, 0] = 3.0
    found, labels, scores = FoundObjects(image_size=64, classes=3)(said(logits, boxes), 32, 64)
    assert found.shape == (MOST_OBJECTS, 4)
    assert labels.shape == scores.shape == (MOST_OBJECTS,)
    assert float(found.min()) == 0.0
    assert float(found[:, [0, 2]].max()) <= 64.0
    assert float(found[:, [1, 3]].max()) <= 32.0
