"""Anomaly detection from a fitted network to the delivered file, with its threshold."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from record_makers import RECIPE

from automl.data.truth import DefectTruth
from automl.errors import AutomlError
from automl.export.deployed import deploy
from automl.export.evaluate import score_artifact
from automl.export.graph import graph_hash
from automl.export.metadata import artifact_metadata
from automl.export.onnx import export_onnx
from automl.export.parity import check_parity
from automl.export.schemes.base import QuantizationContext
from automl.export.schemes.int8_static import Int8StaticScheme
from automl.export.untrained import vary_constants
from automl.models.backbones import Network
from automl.predictor import Anomaly, Model, decode_image
from automl.records import Architecture, TaskOptions
from automl.resources import shipped
from automl.storage import sha256_file
from automl.tasks import Judged, Task, open_task
from automl.tasks.threshold_file import read_threshold, write_threshold
from automl.training.examples import ArrayImages, Examples
from automl.training.fitting import Fitter

SIDE = 64
CLASSES = ("good", "defect")
FRAME = np.random.default_rng(0).normal(128, 12, (96, 128, 3)).clip(0, 255).astype(np.uint8)
ARCHITECTURES = [
    Architecture("test", "test_efficientnet", 3, SIDE, "padim"),
    Architecture("test", "test_efficientnet", 3, SIDE, "padim", 20),
    Architecture("test", "test_efficientnet", 3, SIDE, "patchcore", 32),
]


def detector(max_false_alarm: float = 0.01) -> Task:
    return open_task(
        "anomaly", classes=CLASSES, options=TaskOptions(max_false_alarm=max_false_alarm)
    )


@cache
def photographs(folder: str, most: int) -> np.ndarray:
    files = sorted(Path(shipped("specs", "data/piped-small"), folder).glob("*.png"))[:most]
    return np.stack([decode_image(file.read_bytes()) for file in files])


@cache
def fitted(architecture: Architecture) -> Network:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    task = detector()
    network = task.build(architecture, weights=None)
    pixels = np.ascontiguousarray(photographs("train/good", 32)[:, ::2, ::2])
    sets = [
        Examples(ArrayImages(part), [DefectTruth(0, None)] * len(part), (SIDE, SIDE))
        for part in (pixels[:24], pixels[24:])
    ]
    Fitter(
        network,
        task,
        RECIPE,
        train=sets[0],
        val=sets[1],
        objective="image-auroc",
        eval_norms=(),
        device="cpu",
        seed=0,
    ).run_epoch()
    return network


def export(network: Network, path: Path, frame_size: tuple[int, int] | None = (128, 128)) -> Path:
    task = detector()
    export_onnx(
        deploy(network, task, frame_size=frame_size),
        path,
        frame_size=frame_size,
        metadata=artifact_metadata(network, task, spec_sha256=""),
    )
    return path


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=["padim", "padim20", "patchcore"])
def delivered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Network, Path]:
    network = fitted(request.param)
    return network, export(network, tmp_path_factory.mktemp("file") / "model.onnx")


def test_the_file_answers_as_the_network_does(delivered: tuple[Network, Path]) -> None:
    network, path = delivered
    deployed = deploy(network, detector(), frame_size=(128, 128))
    frames = [*photographs("test/good", 2), *photographs("test/defect", 2)]
    parity = check_parity(deployed, path, detector(), frames)
    assert parity.max_difference < 1e-3
    assert parity.agreement == 1.0


def test_an_untrained_network_is_the_same_graph(
    delivered: tuple[Network, Path], tmp_path: Path
) -> None:
    network, path = delivered
    untrained = detector().build(network.architecture, weights=None)
    vary_constants(untrained.module)
    assert graph_hash(export(untrained, tmp_path / "untrained.onnx")) == graph_hash(path)


def test_frames_of_any_size_get_a_heat_map_of_that_size(tmp_path: Path) -> None:
    path = export(fitted(ARCHITECTURES[0]), tmp_path / "any.onnx", frame_size=None)
    model = Model(path)
    for height, width in ((48, 80), (64, 64), (300, 200), (1, 1)):
        frame = np.random.default_rng(height).integers(0, 255, (height, width, 3), dtype=np.uint8)
        answer = model.predict(frame)
        assert isinstance(answer, Anomaly)
        assert answer.heat_map.shape == (height, width)
        assert answer.is_defect == (answer.score >= 1.0)
        assert answer.heat_map.min() >= 0.0


def test_the_same_part_scores_the_same_at_twice_the_size(tmp_path: Path) -> None:
    model = Model(export(fitted(ARCHITECTURES[0]), tmp_path / "any.onnx", frame_size=None))
    frame = photographs("test/defect", 1)[0]
    once, twice = model.predict(frame), model.predict(frame.repeat(2, 0).repeat(2, 1))
    assert isinstance(once, Anomaly)
    assert isinstance(twice, Anomaly)
    assert twice.score == pytest.approx(once.score, rel=0.1)


def test_the_threshold_is_set_on_the_quantized_file_and_nothing_else_changes(
    delivered: tuple[Network, Path], tmp_path: Path
) -> None:
    _, plain = delivered
    path, task = tmp_path / "int8.onnx", detector()
    frames = list(photographs("train/good", 32)[24:])
    context = QuantizationContext(frames[:4], None, None, 0.01, ("avx512_vnni",), lambda: False)
    Int8StaticScheme().apply(plain, path, context)
    before, model = graph_hash(path), Model(path)
    unit = read_threshold(path)
    raw = [_score(model, frame) * unit for frame in frames]
    truths = [DefectTruth(0, None)] * len(frames)
    details = task.settle(path, [model.predict(frame) for frame in frames], truths)
    settled, threshold = Model(path), read_threshold(path)
    assert graph_hash(path) == before
    assert threshold > max(raw)
    assert [_score(settled, f) * threshold for f in frames] == pytest.approx(raw, rel=1e-4)
    assert details == {
        "threshold": f"{threshold:.4g} on the heat map",
        "threshold method": (
            "log-normal tail; expected false alarms 1.00% if good scores are log-normal"
        ),
        "threshold images": "8 good validation images",
        "false alarms asked": "at most 1.00%",
    }
    digest = sha256_file(path)
    task.settle(path, [settled.predict(frame) for frame in frames], truths)
    assert read_threshold(path) == pytest.approx(threshold, rel=1e-4)
    write_threshold(path, threshold)
    assert sha256_file(path) == digest


def _score(model: Model, frame: np.ndarray) -> float:
    answer = model.predict(frame)
    assert isinstance(answer, Anomaly)
    return answer.score


def test_a_lower_limit_of_false_alarms_puts_the_threshold_higher(
    delivered: tuple[Network, Path], tmp_path: Path
) -> None:
    _, plain = delivered
    answers = [Anomaly(CLASSES, s, False, np.zeros((2, 2), np.float32)) for s in (0.5, 0.6, 0.8)]
    defect = Anomaly(CLASSES, 90.0, True, np.zeros((2, 2), np.float32))
    truths = [DefectTruth(0, None)] * 3 + [DefectTruth(1, None)]
    thresholds = []
    for number, rate in enumerate((0.001, 0.05)):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(plain.read_bytes())
        detector(rate).settle(path, [*answers, defect], truths)
        thresholds.append(read_threshold(path) / read_threshold(plain))
    assert thresholds[0] > thresholds[1] > 0.8
    assert thresholds[0] < 10.0  # the defect's score plays no part


def test_a_network_that_saw_good_images_alone_finds_real_defects(
    delivered: tuple[Network, Path],
) -> None:
    _, path = delivered
    judged = [Judged(frame, DefectTruth(0, None)) for frame in photographs("test/good", 16)]
    judged += [Judged(frame, DefectTruth(1, None)) for frame in photographs("test/defect", 24)]
    scores = score_artifact(path, detector(), judged, threads=1)
    assert scores.values["image-auroc"] > 0.75
    assert "pixel-auroc" not in scores.values


def test_a_file_without_a_threshold_is_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    path = tmp_path / "other.onnx"
    onnx.save(helper.make_model(helper.make_graph([], "empty", [], [])), path)
    with pytest.raises(AutomlError) as caught:
        read_threshold(path)
    assert str(caught.value) == (
        f"'{path}' has 0 constants called '…memory.threshold'; an anomaly network has one. "
        "Export it again."
    )


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_threshold_is_a_positive_number(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"A threshold is a positive number; got {value}"):
        write_threshold(tmp_path / "any.onnx", value)
