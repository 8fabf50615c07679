"""Half precision: the network alone, one cast at its borders, and what 16 bits cannot hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from automl.export.graph import is_network_node
from automl.export.schemes import QuantizationContext
from automl.export.schemes.float16 import Float16Scheme
from automl.hardware.answers import raw_outputs
from automl.pipeline.jobs import ExportJob, export_untrained
from automl.records import Architecture, TaskOptions

CONTEXT = QuantizationContext(
    calibration=(),
    score=None,
    float_score=None,
    max_drop=0.0,
    instruction_sets=(),
    deadline=lambda: False,
)
FRAME = (80, 100)
NETWORKS = {
    "classification": Architecture("t", "test_vit", None, 160),
    "segmentation": Architecture("t", "test_resnet", 4, 64, "unet", 16),
    "detection": Architecture("t", "test_resnet", 4, 64, "fcos", 16),
    "anomaly": Architecture("t", "test_resnet", 3, 64, "patchcore", 32),
}


@pytest.fixture(scope="module", params=list(NETWORKS))
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The same untrained network as float32 and as float16."""
    job = ExportJob(
        architecture=NETWORKS[request.param],
        task=request.param,
        classes=("good", "defect"),
        options=TaskOptions(),
        frame_size=FRAME,
        typical_frame=FRAME,
        schemes=("float32", "float16"),
        instruction_sets=(),
        folder=str(tmp_path_factory.mktemp(request.param)),
    )
    made = export_untrained(job)
    assert made.errors == ()
    plain, half = (Path(file.path) for file in made.files)
    return plain, half


def test_the_file_is_valid_and_about_half_as_large(files: tuple[Path, Path]) -> None:
    plain, half = files
    onnx.checker.check_model(onnx.load(half), full_check=True)
    assert half.stat().st_size < 0.65 * plain.stat().st_size


def test_all_of_the_network_is_float16_and_nothing_else(files: tuple[Path, Path]) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(files[1]))
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    types |= {c.name: c.data_type for c in model.graph.initializer}
    types |= {v.name: v.type.tensor_type.elem_type for v in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "Cast" and node.name.startswith("network/Cast_"):
            continue  # at a border
        other = TensorProto.FLOAT if is_network_node(node.name) else TensorProto.FLOAT16
        kept = (1, 2) if node.op_type == "Resize" else ()
        names = [name for i, name in enumerate(node.input) if i not in kept]
        assert other not in [types.get(name) for name in (*names, *node.output)], node.name


def test_answers_hardly_change(files: tuple[Path, Path]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*FRAME, 3), dtype=np.uint8)
    plain, half = (next(raw_outputs(str(path), [frame])) for path in files)
    assert list(plain) == list(half)
    for name, expected in plain.items():
        assert half[name].dtype == expected.dtype
        if name in ("probabilities", "score", "heat_map"):
            np.testing.assert_allclose(half[name], expected, atol=2e-3)
        elif name == "scores":  # how many boxes are left depends on ties of boxes that mean nothing
            np.testing.assert_allclose(half[name][:20], expected[:20], atol=2e-3)
        elif name == "mask":  # of a network that knows nothing: all pixels are near a tie
            assert (half[name] == expected).mean() > 0.97


def _file(path: Path, nodes: Sequence[Any], constants: dict[str, Any], *, side: int = 4) -> Path:
    """Write a graph from ``x`` (1, 1, 4, 4) to ``y`` (1, 1, side, side)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, side, side])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    onnx.save(
        helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("own", 1)],
            ir_version=9,
        ),
        path,
    )
    return path


def _run(path: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": x})
    return result


def test_weights_beyond_16_bits_are_kept_at_the_limits_and_counted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "large"], ["a"], name="network/Mul_0"),
        helper.make_node("Add", ["a", "tiny"], ["y"], name="network/Add_1"),
    ]
    large = np.array([1e6, -1e6, 2.0, np.inf], np.float32)
    plain = _file(tmp_path / "a.onnx", nodes, {"large": large, "tiny": np.float32(1e-12)})
    outcome = Float16Scheme().apply(plain, tmp_path / "b.onnx", CONTEXT)
    assert outcome.details["weights too large for 16 bits"] == "2"
    stored = {
        c.name: numpy_helper.to_array(c) for c in onnx.load(tmp_path / "b.onnx").graph.initializer
    }
    assert stored["large.half"].tolist() == [65504.0, -65504.0, 2.0, np.inf]
    assert stored["tiny.half"] > 0
    assert set(stored) == {"large.half", "tiny.half"}


def test_what_stays_float32_gets_float32(tmp_path: Path) -> None:
    """Scales of a resize, a constant that both sides use, and a node in the middle without float16."""
    nodes = [
        helper.make_node("Add", ["x", "shared"], ["scaled"], name="preprocess/Add_0"),
        helper.make_node("Mul", ["scaled", "shared"], ["a"], name="network/Mul_1"),
        helper.make_node("Resize", ["a", "", "scales"], ["b"], name="network/Resize_2"),
        helper.make_node("Constant", [], ["c"], name="network/Constant_3", value_float=0.5),
        helper.make_node("Mul", ["b", "c"], ["d"], name="network/Mul_4"),
        helper.make_node("Range", ["zero", "end", "one"], ["e"], name="network/Range_5"),
        helper.make_node("Add", ["d", "e"], ["f"], name="network/Add_6"),
        helper.make_node("ConstantOfShape", ["shape"], ["g"], name="network/Fill_7"),
        helper.make_node("Add", ["f", "g"], ["y"], name="network/Add_8"),
    ]
    constants = {
        "shared": np.float32(1.5),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "zero": np.float32(0),
        "end": np.float32(8),
        "one": np.float32(1),
        "shape": np.array([8], np.int64),
    }
    plain = _file(tmp_path / "a.onnx", nodes, constants, side=8)
    half = tmp_path / "b.onnx"
    Float16Scheme().apply(plain, half, CONTEXT)
    onnx.checker.check_model(onnx.load(half), full_check=True)
    x = np.random.default_rng(0).normal(0, 1, (1, 1, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(_run(half, x), _run(plain, x), atol=1e-2)
    kinds = {c.name: c.data_type for c in onnx.load(half).graph.initializer}
    assert kinds["shared"] == kinds["scales"] == kinds["end"] == TensorProto.FLOAT
    assert kinds["shared.half"] == TensorProto.FLOAT16


def test_a_tensor_of_unknown_type_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unknown", ["x"], ["a"], name="network/Unknown_0", domain="own"),
        helper.make_node("Relu", ["a"], ["y"], name="network/Relu_1"),
    ]
    plain = _file(tmp_path / "a.onnx", nodes, {})
    with pytest.raises(ValueError, match=r"^The type of the numbers in 'a' is not known\.$"):
        Float16Scheme().apply(plain, tmp_path / "b.onnx", CONTEXT)
