"""What the schemes decide: number format, calibration method, layers kept in float."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import TensorData
from task_makers import probabilities_of

from automl.export.deployed import Deployed
from automl.export.onnx import export_onnx
from automl.export.schemes import QuantizationContext
from automl.export.schemes.calibration import CalibrationMethod, quiet_quantizer, tensor_ranges
from automl.export.schemes.int8_dynamic import Int8DynamicScheme
from automl.export.schemes.int8_mixed import Int8MixedScheme
from automl.export.schemes.int8_static import Int8StaticScheme
from automl.export.schemes.qdq import QUANTIZED_OPERATORS, choose_format, prepare_model
from automl.export.schemes.sensitivity import find_layers, rank_layers

Build = Callable[..., Deployed]
Noise = Callable[..., list[NDArray[np.uint8]]]


@pytest.fixture(scope="module")
def plain(build: Build, entries: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with SiLU and squeeze-and-excite that takes frames of any size."""
    path = tmp_path_factory.mktemp("plain") / "float32.onnx"
    export_onnx(build("test_efficientnet"), path, frame_size=None, metadata=entries)
    return path


@pytest.fixture(scope="module")
def context(noise: Noise) -> QuantizationContext:
    """Frames of several sizes, and no score."""
    return QuantizationContext(
        calibration=noise(4, 32, 32) + noise(2, 40, 56),
        score=None,
        float_score=None,
        max_drop=0.01,
        instruction_sets=("avx512_vnni",),
        deadline=lambda: False,
    )


class _Closeness:
    """Scores a file by how near its answers are to those of the float file."""

    def __init__(self, plain: Path, frames: list[NDArray[np.uint8]]) -> None:
        self._frames = frames
        self._expected = probabilities_of(plain, frames)
        self.asked: list[str] = []

    def __call__(self, path: Path) -> float:
        self.asked.append(path.stem)
        difference = np.abs(probabilities_of(path, self._frames) - self._expected)
        return 1.0 - float(difference.mean())


def _operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(path)).graph.node)


@pytest.mark.parametrize(
    ("instruction_sets", "name", "signed", "reduced"),
    [
        (("avx2", "avx512_vnni"), "U8S8", False, False),
        (("avx2", "avx_vnni"), "U8S8", False, False),
        (("avx2", "avx512f", "amx_int8"), "U8S8", False, False),
        (("avx2", "avx512f"), "U8S8, 7-bit weights", False, True),
        ((), "U8S8, 7-bit weights", False, True),
        (("neon",), "S8S8", True, False),
        (("neon", "asimddp"), "S8S8", True, False),
    ],
)
def test_number_format_follows_the_processor(
    instruction_sets: tuple[str, ...], name: str, signed: bool, reduced: bool
) -> None:
    number_format = choose_format(instruction_sets)
    assert number_format.name == name
    assert number_format.signed_activations is signed
    assert number_format.reduced_range is reduced


@pytest.mark.parametrize(
    ("instruction_sets", "activations", "largest_weight"),
    [(("avx512_vnni",), np.uint8, 127), (("avx2",), np.uint8, 64), (("neon",), np.int8, 127)],
)
def test_static_file_has_the_number_format(
    instruction_sets: tuple[str, ...],
    activations: type,
    largest_weight: int,
    plain: Path,
    context: QuantizationContext,
    tmp_path: Path,
) -> None:
    chosen = replace(context, instruction_sets=instruction_sets)
    Int8StaticScheme().apply(plain, tmp_path / "model.onnx", chosen)
    graph = onnx.load(str(tmp_path / "model.onnx")).graph
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in graph.initializer}
    zero_points = {
        constants[node.input[2]].dtype.type
        for node in graph.node
        if node.op_type == "QuantizeLinear"
    }
    weights = [c for c in constants.values() if c.dtype == np.int8 and c.ndim == 4]
    assert zero_points == {activations}
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) == largest_weight


def test_static_quantization_leaves_preprocessing_and_softmax_float(
    plain: Path, context: QuantizationContext, tmp_path: Path
) -> None:
    Int8StaticScheme().apply(plain, tmp_path / "model.onnx", context)
    nodes = list(onnx.load(str(tmp_path / "model.onnx")).graph.node)
    makers = {name: node for node in nodes for name in node.output}
    ours = [node for node in nodes if node.name.startswith(("preprocess/", "postprocess/"))]
    assert [node.op_type for node in ours] == [
        "Transpose", "Cast", "Resize", "Sub", "Mul", "Softmax",
    ]  # fmt: skip
    fed_by = [makers[name].op_type for node in ours for name in node.input if name in makers]
    assert "DequantizeLinear" not in fed_by
    assert (tmp_path / "model.onnx").stat().st_size < 0.5 * plain.stat().st_size


def test_planning_takes_minmax_on_a_few_frames(
    plain: Path, context: QuantizationContext, tmp_path: Path
) -> None:
    outcome = Int8StaticScheme().apply(plain, tmp_path / "model.onnx", context)
    assert outcome.details == {"calibration": "minmax", "format": "U8S8"}
    assert outcome.rejected is None


@pytest.mark.parametrize(
    ("scores", "chosen", "tried"),
    [
        ({"static-minmax": 0.9}, "minmax", "minmax loses nothing"),
        ({"static-minmax": 0.95}, "minmax", "minmax gains 0.0500"),
        (
            {"static-minmax": 0.88, "static-percentile": 0.9},
            "percentile",
            "minmax loses 0.0200, percentile loses nothing",
        ),
        (
            {"static-minmax": 0.88, "static-percentile": 0.85, "static-entropy": 0.895},
            "entropy",
            "minmax loses 0.0200, percentile loses 0.0500, entropy loses 0.0050",
        ),
        (
            {"static-minmax": 0.89, "static-percentile": 0.89, "static-entropy": 0.89},
            "minmax",
            "minmax loses 0.0100, percentile loses 0.0100, entropy loses 0.0100",
        ),
    ],
)
def test_calibration_is_chosen_by_validation_score(
    scores: dict[str, float],
    chosen: str,
    tried: str,
    plain: Path,
    context: QuantizationContext,
    tmp_path: Path,
) -> None:
    scored = replace(context, score=lambda path: scores[path.stem], float_score=0.9)
    outcome = Int8StaticScheme().apply(plain, tmp_path / "model.onnx", scored)
    assert outcome.details["calibration"] == chosen
    assert outcome.details["calibrations tried"] == tried
    assert outcome.rejected is None


def test_calibration_stops_at_the_deadline(
    plain: Path, context: QuantizationContext, tmp_path: Path
) -> None:
    late = replace(context, score=lambda _: 0.5, float_score=0.9, deadline=lambda: True)
    outcome = Int8StaticScheme().apply(plain, tmp_path / "model.onnx", late)
    assert outcome.details["calibrations tried"] == "minmax loses 0.4000"
    assert outcome.rejected == (
        "int8-static loses 0.4000 of the objective against float32 (0.9000 -> 0.5000); "
        "at most 0.01 is allowed"
    )


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_other_methods_cut_off_a_part_of_the_whole_range(
    method: str, plain: Path, noise: Noise, tmp_path: Path
) -> None:
    prepared = prepare_model(plain, tmp_path)
    whole, cut = (
        tensor_ranges(
            prepared.path,
            noise(12, 32, 32),
            chosen,
            op_types=QUANTIZED_OPERATORS,
            folder=tmp_path,
        )
        for chosen in (CalibrationMethod.MINMAX, CalibrationMethod(method))
    )
    assert set(whole.keys()) == set(cut.keys())
    narrower = 0
    for name in whole.keys():  # noqa: SIM118 - it is no mapping
        (low, high), (cut_low, cut_high) = whole[name].range_value, cut[name].range_value
        assert low <= cut_low <= cut_high <= high
        narrower += bool(cut_high - cut_low < high - low)
    assert narrower > len(whole.keys()) / 4


def test_calibration_needs_a_frame(
    plain: Path, context: QuantizationContext, tmp_path: Path
) -> None:
    with pytest.raises(ValueError) as raised:
        Int8StaticScheme().apply(plain, tmp_path / "m.onnx", replace(context, calibration=[]))
    assert str(raised.value) == (
        "Calibration needs at least one frame of the training split; got none."
    )
    assert not (tmp_path / "m.onnx").exists()


def test_dynamic_quantization_is_for_transformers(
    build: Build, context: QuantizationContext, entries: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "vit.onnx"
    export_onnx(build("test_vit"), path, frame_size=(32, 32), metadata=entries)
    outcome = Int8DynamicScheme().apply(path, tmp_path / "model.onnx", context)
    assert outcome.rejected is None
    assert outcome.details == {"weights in matrix products": "82%"}
    assert _operators(tmp_path / "model.onnx")["MatMulInteger"] > 20
    assert (tmp_path / "model.onnx").stat().st_size < 0.5 * path.stat().st_size


def test_dynamic_quantization_leaves_convolutions_float(
    plain: Path, context: QuantizationContext, tmp_path: Path
) -> None:
    outcome = Int8DynamicScheme().apply(plain, tmp_path / "model.onnx", context)
    assert _operators(tmp_path / "model.onnx")["ConvInteger"] == 0
    assert outcome.rejected == (
        "only 1% of the weights are in matrix products, which is all that int8-dynamic quantizes; "
        "at least 50% is needed"
    )


def test_layers_hold_a_product_and_what_follows_it(plain: Path, tmp_path: Path) -> None:
    layers = find_layers(prepare_model(plain, tmp_path).path)
    first = layers[0]
    assert first.name == "network/conv_stem/Conv_5"
    assert [name.split("/")[-1].split("_")[0] for name in first.nodes] == ["Conv", "Sigmoid", "Mul"]
    assert layers[-1].name.startswith("network/classifier/Gemm_")
    assert len(layers) == _operators(plain)["Conv"] + _operators(plain)["Gemm"]


def test_ranking_finds_the_layer_whose_range_is_wrong(
    plain: Path, noise: Noise, tmp_path: Path
) -> None:
    prepared = prepare_model(plain, tmp_path)
    frames = noise(4, 32, 32)
    ranges = tensor_ranges(
        prepared.path,
        frames,
        CalibrationMethod.MINMAX,
        op_types=QUANTIZED_OPERATORS,
        folder=tmp_path,
    )
    layers = find_layers(prepared.path)
    victim = layers[6]
    output = next(
        node.output[0]
        for node in onnx.load(str(prepared.path)).graph.node
        if node.name == victim.name
    )
    low, high = ranges[output].range_value
    ranges[output] = TensorData(lowest=low * 100, highest=high * 100)
    ranked = rank_layers(
        prepared,
        layers,
        frames=frames,
        ranges=ranges,
        number_format=choose_format(("avx512_vnni",)),
        folder=tmp_path,
        deadline=lambda: False,
    )
    assert ranked[0][0] == victim
    assert [damage for _, damage in ranked] == sorted((d for _, d in ranked), reverse=True)


def test_mixed_is_not_needed_when_static_is_good_enough(
    plain: Path, context: QuantizationContext, tmp_path: Path
) -> None:
    scored = replace(context, score=lambda _: 0.895, float_score=0.9)
    outcome = Int8MixedScheme().apply(plain, tmp_path / "model.onnx", scored)
    assert outcome.rejected == "not needed: int8-static loses 0.0050, within 0.01"


def test_mixed_is_known_only_after_training(
    plain: Path, context: QuantizationContext, tmp_path: Path
) -> None:
    outcome = Int8MixedScheme().apply(plain, tmp_path / "model.onnx", context)
    assert outcome.rejected == "which layers stay float is known only after training"


def test_mixed_keeps_as_few_layers_float_as_the_limit_asks(
    plain: Path, context: QuantizationContext, noise: Noise, tmp_path: Path
) -> None:
    score = _Closeness(plain, noise(6, 32, 32, seed=9))
    static = replace(context, score=score, float_score=1.0, max_drop=0.0)
    lost = 1.0 - score(_static(plain, static, tmp_path))
    halved = replace(static, max_drop=0.6 * lost)
    outcome = Int8MixedScheme().apply(plain, tmp_path / "model.onnx", halved)
    assert outcome.rejected is None
    assert 1.0 - score(tmp_path / "model.onnx") <= halved.max_drop
    kept = int(outcome.details["kept in float"].split(" of 18 layers: ")[0])
    assert 1 <= kept <= 9
    counts = sorted({int(name.split("-")[1]) for name in score.asked if "mixed" in name})
    assert kept in counts
    floating = _operators(_static(plain, static, tmp_path))["QuantizeLinear"]
    assert _operators(tmp_path / "model.onnx")["QuantizeLinear"] < floating


def _static(plain: Path, context: QuantizationContext, folder: Path) -> Path:
    Int8StaticScheme().apply(plain, folder / "static.onnx", context)
    return folder / "static.onnx"


def test_mixed_gives_the_best_it_reached_when_no_mixture_is_good_enough(
    plain: Path, context: QuantizationContext, noise: Noise, tmp_path: Path
) -> None:
    score = _Closeness(plain, noise(6, 32, 32, seed=9))
    impossible = replace(context, score=score, float_score=1.1, max_drop=0.01)
    outcome = Int8MixedScheme().apply(plain, tmp_path / "model.onnx", impossible)
    assert outcome.rejected is not None
    assert outcome.rejected.startswith("int8-mixed loses 0.1")
    assert max(score(tmp_path / "model.onnx"), 0.9) > 0.9
    assert "mixed-9" in score.asked
    assert "mixed-10" not in score.asked


def test_mixed_stops_at_the_deadline(
    plain: Path, context: QuantizationContext, tmp_path: Path
) -> None:
    late = replace(context, score=lambda _: 0.5, float_score=0.9, deadline=lambda: True)
    outcome = Int8MixedScheme().apply(plain, tmp_path / "model.onnx", late)
    assert outcome.details["kept in float"] == "0 of 18 layers"
    assert outcome.rejected is not None


def test_only_the_quantizer_is_silenced(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO), quiet_quantizer():
        logging.warning("of the user's own")
        print("of onnxruntime")
    assert [record.message for record in caplog.records] == ["of the user's own"]
    assert capsys.readouterr().out == ""
