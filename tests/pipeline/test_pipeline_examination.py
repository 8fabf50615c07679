"""Examining untrained networks: measured once, known afterwards; a failure is a verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_maker import copy_images, make_spec
from record_makers import architecture

from automl.data import prepare
from automl.errors import SpecError
from automl.hardware.cache import MeasurementCache
from automl.hardware.local import LocalDevice
from automl.pipeline.devices import Devices
from automl.pipeline.examination import Examiner, is_plannable
from automl.pipeline.gauges import MeasuringGauge
from automl.pipeline.jobs import EvaluateJob, ExportJob, evaluate_artifact, export_untrained
from automl.pipeline.workers import WorkerPool
from automl.records import (
    Architecture,
    Candidate,
    Dataset,
    LatencyBudget,
    Scope,
    Split,
    Target,
    TaskOptions,
    VerdictStatus,
)
from automl.search.feasibility import judge
from automl.storage import sha256_file

NET = architecture("test_resnet", family="resnet", depth=2, size=32)
SCHEMES = ("float32", "int8-static", "int8-mixed")
# With two threads no measurement counts as disturbed, whatever else the machine does meanwhile.
CALM = Target("calm", "local", 2, (LatencyBudget("p95", 500.0),), Scope.FRAME, None, None)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def dataset(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    data = copy_images(paper_images, tmp_path_factory.mktemp("data"), each=8)
    spec = make_spec(data, limit_ms=100.0, bound=0.0, size_bytes=10**8)
    return prepare(spec.data, truth="label", stored_side=64).dataset


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1, threads=1) as made:
        yield made


def examiner(
    dataset: Dataset,
    pool: WorkerPool,
    *,
    targets: tuple[Target, ...] = (CALM,),
    schemes: tuple[str, ...] = SCHEMES,
) -> Examiner:
    return Examiner(
        task="classification",
        options=TaskOptions(),
        dataset=dataset,
        targets=targets,
        schemes=schemes,
        devices=Devices({"local": LocalDevice()}),
        pool=pool,
        progress=lambda text: None,
    )


class ClosedPool(WorkerPool):
    """A pool in which nothing may be started: what is asked of it is a mistake."""

    def _start(self) -> object:  # type: ignore[override]  # never returns
        raise AssertionError("nothing should be exported again")


def test_a_second_examiner_measures_and_exports_nothing(
    dataset: Dataset, pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    first = examiner(dataset, pool)
    found = first((NET,))
    assert (first.measured, first.cached) == (2, 0)
    second = examiner(dataset, ClosedPool(1, threads=1))
    assert second((NET,)) == found
    assert (second.measured, second.cached) == (0, 2)
    assert second.exported[NET].parameters == first.exported[NET].parameters > 0
    assert found[NET].after_training == {"int8-mixed"}
    assert set(found[NET].measurements) == {("float32", "calm"), ("int8-static", "calm")}
    kept = [*temporary.iterdir(), *Path(os.environ["AUTOML_CACHE"]).rglob("*.onnx")]
    assert kept == [], "files are not kept"


def test_targets_that_run_alike_are_measured_once_and_others_apart(
    dataset: Dataset, pool: WorkerPool
) -> None:
    strict = replace(CALM, name="strict", latency=(LatencyBudget("p95", 0.0001),))
    other = replace(CALM, name="other", scope=Scope.MODEL)
    one = examiner(dataset, pool, targets=(CALM, strict, other), schemes=("float32",))
    examined = one((NET,))[NET]
    assert one.measured == 2
    measurements = examined.measurements
    assert measurements["float32", "calm"] == measurements["float32", "strict"]
    assert measurements["float32", "other"].scope is Scope.MODEL
    candidate = Candidate(NET, "float32")
    assert judge(candidate, CALM, examined).status is VerdictStatus.FITS
    assert judge(candidate, strict, examined).status is VerdictStatus.TOO_SLOW


def test_a_measurement_that_stopped_early_does_not_answer_for_a_looser_budget(
    dataset: Dataset, pool: WorkerPool
) -> None:
    strict = replace(CALM, latency=(LatencyBudget("p95", 0.0001),))
    first = examiner(dataset, pool, targets=(strict,), schemes=("float32",))
    stopped = first((NET,))[NET].measurements["float32", "calm"]
    assert stopped.stopped_early
    again = examiner(dataset, pool, targets=(strict,), schemes=("float32",))
    assert again((NET,))[NET].measurements["float32", "calm"] == stopped
    assert again.cached == 1
    loose = examiner(dataset, pool, schemes=("float32",))
    measured = loose((NET,))[NET].measurements["float32", "calm"]
    assert not measured.stopped_early
    assert (loose.measured, loose.cached) == (1, 0)


@contextmanager
def busy_machine() -> Iterator[None]:
    """Keep every core busy twice over."""
    count = 2 * (os.cpu_count() or 1)
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
        for process in burning:
            process.wait()


@pytest.mark.alone  # others measure too
def test_what_other_work_disturbed_is_not_kept(dataset: Dataset, pool: WorkerPool) -> None:
    alone = replace(CALM, threads=1)
    one = examiner(dataset, pool, targets=(alone,), schemes=("float32",))
    with busy_machine():
        measured = one((NET,))[NET].measurements["float32", "calm"]
    assert measured.is_disturbed
    file = one.exported[NET].files[0]
    (gauge,) = one._gauges
    assert isinstance(gauge, MeasuringGauge)
    assert MeasurementCache().get(gauge.key(file)) is None


def test_a_network_that_does_not_exist_is_for_the_user_to_mend(
    dataset: Dataset, pool: WorkerPool
) -> None:
    unknown = architecture("tset_resnet", family="resnet", size=32)
    with pytest.raises(SpecError) as caught:
        examiner(dataset, pool)((unknown,))
    assert str(caught.value).startswith(
        "Unknown backbone 'tset_resnet'. Did you mean 'test_resnet'?"
    )


def test_a_worker_that_dies_costs_one_network(dataset: Dataset) -> None:
    with WorkerPool(1, threads=1, timeout_s=0.01) as impatient:
        examined = examiner(dataset, impatient)((NET,))[NET]
    assert examined.measurements == {}
    assert set(examined.errors.values()) == {
        "could not be exported (took longer than 0 s and was ended)"
    }
    verdict = judge(Candidate(NET, "int8-mixed"), CALM, examined)
    assert verdict.status is VerdictStatus.FAILED


def export_job(folder: Path, schemes: tuple[str, ...], of: Architecture = NET) -> ExportJob:
    return ExportJob(
        architecture=of,
        task="classification",
        options=TaskOptions(),
        classes=("fail", "pass"),
        frame_size=(64, 64),
        typical_frame=(64, 64),
        schemes=schemes,
        instruction_sets=("avx2",),
        folder=str(folder),
    )


def test_a_scheme_that_fails_is_an_error_of_that_scheme_alone(tmp_path: Path) -> None:
    made = export_untrained(export_job(tmp_path, ("float32", "int9", "int8-static")))
    assert [file.scheme for file in made.files] == ["float32", "int8-static"]
    ((scheme, why),) = made.errors
    assert scheme == "int9"
    assert why.startswith("could not be quantized (SpecError: Unknown scheme 'int9'.")
    for file in made.files:
        assert sha256_file(Path(file.path)) == file.sha256
        assert Path(file.path).stat().st_size == file.size_bytes
    assert len({file.graph_hash for file in made.files}) == 2


def test_an_untrained_file_is_the_same_graph_again(tmp_path: Path) -> None:
    hashes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made = export_untrained(export_job(tmp_path / name, ("float32",)))
        hashes.append(made.files[0].graph_hash)
    assert hashes[0] == hashes[1]


def test_an_artifact_is_judged_image_by_image(tmp_path: Path, dataset: Dataset) -> None:
    job = replace(
        export_job(tmp_path, ("float32",)),
        frame_size=dataset.frame_size,
        typical_frame=dataset.typical_frame,
    )
    made = export_untrained(job)
    file = made.files[0].path
    indices = dataset.indices(Split.TEST)
    doubtful = (dataset.samples[indices[0]].path,)
    job = EvaluateJob(
        artifact=file,
        dataset=dataset,
        split=Split.TEST,
        task="classification",
        options=TaskOptions(),
        threads=1,
        pictures=str(tmp_path / "pictures"),
        doubtful=doubtful,
    )
    judged = evaluate_artifact(job)
    assert {p.path for p in judged.predictions} == {dataset.samples[i].path for i in indices}
    assert [p.quality for p in judged.predictions] == sorted(p.quality for p in judged.predictions)
    assert judged.without_doubtful is not None
    assert judged.without_doubtful.samples == len(indices) - 1
    right = sum(p.label == p.predicted for p in judged.predictions)
    assert judged.scores.values["accuracy"] == pytest.approx(right / len(indices))
    assert judged.scores.samples == len(indices)


@pytest.mark.parametrize(
    ("scheme", "known"), [("float32", True), ("int8-static", True), ("int8-mixed", False)]
)
def test_whether_a_latency_is_known_before_training(scheme: str, known: bool) -> None:
    assert is_plannable(scheme) is known
