"""A calibrated device is measured less, and predictions that are far too good never ship a slow model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from bundle_maker import copy_images, make_spec
from predictors import Optimist, Table
from record_makers import architecture, artifact, trial

from automl.data import prepare
from automl.hardware.local import LocalDevice
from automl.pipeline.choice import Choice, Chooser
from automl.pipeline.devices import Devices, Predictor
from automl.pipeline.examination import Examiner
from automl.pipeline.folder import RunFolder
from automl.pipeline.gauges import MeasuringGauge, TimedFrame, Unknown
from automl.pipeline.jobs import Exported, ExportJob, export_untrained
from automl.pipeline.observer import Silent
from automl.pipeline.workers import WorkerPool
from automl.records import (
    Candidate,
    Dataset,
    LatencyBudget,
    Measurement,
    Scope,
    Target,
    TaskOptions,
    VerdictStatus,
)
from automl.search.feasibility import judge
from automl.search.limits import judge_evidence
from automl.search.selection import Contender

SIZES = (32, 96, 224)
NETS = [architecture("test_resnet", family="resnet", size=size) for size in SIZES]
pytestmark = pytest.mark.alone  # what is measured in one test must hold in the next

FREE = Target("bench", "local", 2, (LatencyBudget("p50", 10_000.0),), Scope.FRAME, None, None)


class Screened(Devices):
    """This machine, as if it were calibrated with a given predictor."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__({"local": LocalDevice()})
        self._predictor = predictor

    def screen(self, target: Target) -> Predictor:
        return self._predictor


@dataclass
class Known:
    """Three files that grow, with what each truly takes."""

    dataset: Dataset
    exported: list[Exported]
    p50_ms: list[float]

    def optimist(self, factor: float) -> Optimist:
        truth = {
            f"{net.key}.float32.onnx": ms / 0.9 for net, ms in zip(NETS, self.p50_ms, strict=True)
        }
        return Optimist(Table(truth, 0.02), factor)  # the p50 of a forecast is 0.9 of its p95


@pytest.fixture(scope="module")
def known(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    folder = tmp_path_factory.mktemp("screening")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_CACHE", str(folder / "cache"))
        data = copy_images(paper_images, folder / "data", each=8)
        spec = make_spec(data, limit_ms=100.0, bound=0.0, size_bytes=10**8)
        dataset = prepare(spec.data, truth="label", stored_side=64).dataset
        (folder / "run").mkdir()
        exported = [
            export_untrained(
                ExportJob(
                    architecture=net,
                    task="classification",
                    options=TaskOptions(),
                    classes=dataset.classes,
                    frame_size=dataset.frame_size,
                    typical_frame=dataset.typical_frame,
                    schemes=("float32",),
                    instruction_sets=("avx2",),
                    folder=str(folder / "run"),
                )
            )
            for net in NETS
        ]
        yield Known(dataset, exported, measure(dataset, exported))


def measure(dataset: Dataset, exported: Sequence[Exported]) -> list[float]:
    """Return the median latency of each file, ms."""
    gauge = MeasuringGauge(
        [FREE],
        Devices({"local": LocalDevice()}),
        TimedFrame.of(dataset),
        stop_early=True,
        progress=lambda text: None,
    )
    answers = gauge.ask([made.files[0] for made in exported])
    return [one.p50_ms.value for one in answers if not isinstance(one, Unknown)]


def _examiner(dataset: Dataset, devices: Devices, target: Target, pool: WorkerPool) -> Examiner:
    return Examiner(
        task="classification",
        options=TaskOptions(),
        dataset=dataset,
        targets=(target,),
        schemes=("float32",),
        devices=devices,
        pool=pool,
        progress=lambda text: None,
    )


def contenders_of(known: Known, target: Target, predictor: Predictor) -> list[Contender]:
    """Return the files as if trained, the largest the best, planned by a predictor."""
    found = []
    for made, score in zip(known.exported, (0.8, 0.9, 0.99), strict=True):
        (file,) = made.files
        planned = predictor.forecast(
            file.path, file.sha256, scope=target.scope, frame_size=(64, 64), frame_bytes=None
        )
        status, _ = judge_evidence(target, planned)
        if status.is_feasible:
            kept = replace(artifact(score=score, sha256=file.sha256), path=Path(file.path).name)
            found.append(Contender(trial(made.architecture, kept), kept, planned, score))
    return sorted(found, key=lambda one: -one.score)


def test_sure_cases_are_predicted_and_open_ones_measured(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    small, middle, large = known.p50_ms
    assert small < middle < large
    target = replace(FREE, latency=(LatencyBudget("p50", middle),))
    with WorkerPool(1, threads=1) as pool:
        examiner = _examiner(known.dataset, Screened(known.optimist(1.0)), target, pool)
        found = examiner(tuple(NETS))
        assert (examiner.predicted, examiner.measured) == (2, 1)
        assert [set(found[net].forecasts) == {("float32", "bench")} for net in NETS] == [
            True,
            False,
            True,
        ]
        verdicts = [judge(Candidate(net, "float32"), target, found[net]) for net in NETS]
        assert (verdicts[0].status, verdicts[2].status) == (
            VerdictStatus.FITS,
            VerdictStatus.TOO_SLOW,
        )
        assert isinstance(verdicts[1].evidence, Measurement)
        again = _examiner(known.dataset, Screened(known.optimist(1.0)), target, pool)
        assert again(tuple(NETS)) == found
        assert (again.predicted, again.measured, again.cached) == (0, 0, 3)


ATTEMPTS = 4
"""A shared machine may become a fifth faster between two measurements: then the network does fit."""


def test_predictions_that_are_far_too_good_never_ship_a_slow_model(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned with what is 30 % too fast, a network above its budget comes first, and does not win."""
    for attempt in range(ATTEMPTS):
        monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / f"cache-{attempt}"))
        fresh = replace(known, p50_ms=measure(known.dataset, known.exported))
        small, middle, _ = fresh.p50_ms
        limit_ms = middle * 0.8
        assert limit_ms > 1.5 * small, "so that noise does not decide"
        able, choice = choose(fresh, fresh.optimist(0.7), limit_ms)
        assert [c.candidate.architecture.image_size for c in able] == [96, 32], "96 is too slow"
        assert choice.winner is not None
        proven = choice.known[choice.winner.artifact.sha256]
        assert isinstance(proven, Measurement)
        assert proven.p50_ms.high <= limit_ms
        assert proven.fresh_process
        if choice.winner is not able[0]:
            break
    assert choice.winner.candidate.architecture.image_size == 32
    (clause, text) = choice.missed[able[0].artifact.sha256]
    assert clause == f"latency p50 <= {limit_ms:g} ms"
    assert text.startswith("in a fresh process p50 was ")


def choose(known: Known, optimist: Optimist, limit_ms: float) -> tuple[list[Contender], Choice]:
    """Return what is able by prediction, and what measuring that leads to."""
    target = replace(FREE, latency=(LatencyBudget("p50", limit_ms),))
    able = contenders_of(known, target, optimist)
    folder = RunFolder(Path(known.exported[0].files[0].path).parent)
    chooser = Chooser(known.dataset, folder=folder, devices=Screened(optimist), observer=Silent())
    return able, chooser.choose(target, able)
