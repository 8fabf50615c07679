"""What a scope covers decides who wins: a decoder that becomes slow takes the time of the larger network.

The larger one scores better, so it wins wherever it fits. Both are planned and proven for two targets
with the same limit, one for decoded frames and one for encoded files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from bundle_maker import copy_images
from record_makers import artifact, trial

from automl.pipeline.devices import Devices
from automl.pipeline.folder import RunFolder
from automl.pipeline.jobs import ExportJob, export_untrained
from automl.pipeline.observer import Silent
from automl.pipeline.planning import make_plan, prepare_data
from automl.pipeline.proof import Prover
from automl.pipeline.workers import WorkerPool
from automl.records import (
    Architecture,
    LatencyBudget,
    Measurement,
    Plan,
    PreparedData,
    Selection,
    Spec,
    TargetSelection,
    TrialResult,
    VerdictStatus,
)
from automl.spec import parse_spec

SMALL, LARGE = 32, 512
SPACE = """\
version: 1
description: One tiny network at two sizes.
tasks: [classification]
architectures:
  - {family: test-resnet, backbones: [test_resnet], image_sizes: [32, 512]}
recipe:
  learning_rate: {low: 0.001, high: 0.01}
  weight_decay: {low: 0.00001, high: 0.001}
  epochs: [3]
  batch_size: [16]
  augmentation: [light]
augmentations:
  light: {}
schemes: [float32]
"""
SPEC = """\
task: classification
data: {path: ./images, split: {val: 0.2, test: 0.2}}
targets:
  - {name: frames, device: local, threads: 2, scope: frame, latency: {p50: 10s}}
  - {name: files, device: local, threads: 2, scope: file, latency: {p50: 10s}}
weights: none
search: {space: ./space.yaml}
"""
SLOW_DECODER = """\
import sys

if "automl.hardware.worker" in sys.orig_argv:
    import time

    from PIL.JpegImagePlugin import JpegImageFile

    decode = JpegImageFile.load

    def decode_slowly(image):
        if image.tile:
            time.sleep(DELAY_S)
        return decode(image)

    JpegImageFile.load = decode_slowly
"""
"""Put in the way of the measuring process alone: a JPEG's pixels take so much longer to be there."""

pytestmark = pytest.mark.alone  # who fits is measured


@dataclass(frozen=True)
class Known:
    """A small and a large network as files, and what each takes from an encoded image to the answer."""

    spec: Spec
    data: PreparedData
    folder: RunFolder
    pool: WorkerPool
    trials: list[TrialResult]
    p50_ms: dict[int, float]
    """By image size."""

    @property
    def delay_ms(self) -> float:
        return 6.0 * self.p50_ms[LARGE]

    def held_to_limit(self) -> Spec:
        """The spec with a limit that the larger network keeps, unless decoding takes the time.

        It would keep it were it six times as slow, and miss it were it three times as fast: other work on
        the machine changes less than that.
        """
        budget = (LatencyBudget("p50", self.delay_ms + 0.3 * self.p50_ms[LARGE]),)
        return replace(
            self.spec, targets=tuple(replace(t, latency=budget) for t in self.spec.targets)
        )

    def plan(self) -> Plan:
        devices = Devices.open(self.spec)
        spec = self.held_to_limit()
        return make_plan(spec, self.data, devices=devices, pool=self.pool, observer=Silent()).plan

    def prove(self, plan: Plan) -> Selection:
        return Prover(
            self.held_to_limit(),
            self.data.dataset,
            plan,
            self.trials,
            folder=self.folder,
            devices=Devices.open(self.spec),
            pool=self.pool,
            observer=Silent(),
        ).prove()


@pytest.fixture(scope="module")
def known(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    folder = tmp_path_factory.mktemp("scope")
    copy_images(paper_images, folder / "images", each=24)
    (folder / "space.yaml").write_text(SPACE)
    spec = parse_spec(SPEC, source="spec.yaml", base=folder)
    data = prepare_data(spec, Silent())
    run = RunFolder(folder / "run")
    with WorkerPool(1, threads=1) as pool:
        devices = Devices.open(spec)
        plan = make_plan(spec, data, devices=devices, pool=pool, observer=Silent()).plan
        nets = [candidate.architecture for candidate in plan.feasible()]
        yield Known(
            spec,
            data,
            run,
            pool,
            [_as_trained(net, spec, data, devices, run) for net in nets],
            {
                v.candidate.architecture.image_size: v.evidence.p50_ms.value
                for v in plan.verdicts
                if v.target == "files" and v.evidence is not None
            },
        )


def _as_trained(
    net: Architecture, spec: Spec, data: PreparedData, devices: Devices, run: RunFolder
) -> TrialResult:
    """Return a trial that delivers an untrained file: it is timed alike. The larger scores better."""
    dataset = data.dataset
    folder = run.path / net.key
    folder.mkdir(parents=True)
    job = ExportJob(
        architecture=net,
        task=spec.task,
        options=spec.options,
        classes=dataset.classes,
        frame_size=dataset.frame_size,
        typical_frame=dataset.typical_frame,
        schemes=("float32",),
        instruction_sets=devices.instruction_sets,
        folder=str(folder),
    )
    (file,) = export_untrained(job).files
    made = artifact(score=0.9 if net.image_size == LARGE else 0.8, sha256=file.sha256)
    path = Path(file.path).relative_to(run.path).as_posix()
    return trial(net, replace(made, path=path), number=net.image_size)


@pytest.fixture
def _few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prove with fewer runs: these limits are wide, and the proof is the same."""
    monkeypatch.setattr("automl.pipeline.choice.PROOF_RUNS", 24)


@pytest.fixture
def slow_decoder(known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow decoding in every process that measures from now on, which remembers no earlier one."""
    delay_s = str(known.delay_ms / 1e3)
    (tmp_path / "sitecustomize.py").write_text(SLOW_DECODER.replace("DELAY_S", delay_s))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))


def winning_size(selection: Selection, target: str) -> int:
    chosen = found(selection, target)
    assert chosen.candidate is not None, chosen.best_reached
    assert chosen.measurement is not None
    (budget,) = chosen.target.latency
    assert chosen.measurement.p50_ms.high <= budget.limit_ms
    return chosen.candidate.architecture.image_size


def found(selection: Selection, target: str) -> TargetSelection:
    return next(t for t in selection.targets if t.target.name == target)


def statuses(plan: Plan) -> dict[tuple[str, int], VerdictStatus]:
    return {(v.target, v.candidate.architecture.image_size): v.status for v in plan.verdicts}


def test_the_larger_network_is_much_the_slower(known: Known) -> None:
    assert known.p50_ms[LARGE] > 8 * known.p50_ms[SMALL], "so that noise does not decide"


@pytest.mark.usefixtures("_few_runs")
def test_with_a_fast_decoder_the_larger_network_wins_for_frames_and_for_files(
    known: Known,
) -> None:
    plan = known.plan()
    assert set(statuses(plan).values()) == {VerdictStatus.FITS}
    selection = known.prove(plan)
    assert [winning_size(selection, name) for name in ("frames", "files")] == [LARGE, LARGE]


@pytest.mark.usefixtures("_few_runs", "slow_decoder")
def test_with_a_slow_decoder_another_network_wins_for_files_and_the_same_for_frames(
    known: Known,
) -> None:
    plan = known.plan()
    assert statuses(plan) == {
        ("frames", SMALL): VerdictStatus.FITS,
        ("frames", LARGE): VerdictStatus.FITS,
        ("files", SMALL): VerdictStatus.FITS,
        ("files", LARGE): VerdictStatus.TOO_SLOW,
    }
    (slow,) = [v.measurement for v in plan.verdicts if v.status is VerdictStatus.TOO_SLOW]
    assert isinstance(slow, Measurement)
    assert slow.p50_ms.value > known.delay_ms
    selection = known.prove(plan)
    assert [winning_size(selection, name) for name in ("frames", "files")] == [LARGE, SMALL]


@pytest.mark.usefixtures("_few_runs")
def test_a_decoder_that_became_slow_after_planning_is_found_by_the_proof(
    known: Known, request: pytest.FixtureRequest
) -> None:
    plan = known.plan()
    assert set(statuses(plan).values()) == {VerdictStatus.FITS}
    request.getfixturevalue("slow_decoder")
    selection = known.prove(plan)
    assert winning_size(selection, "files") == SMALL
    (why,) = [
        r for r in found(selection, "files").reasons if r.candidate.architecture.image_size == LARGE
    ]
    assert why.clause.startswith("latency p50 <= ")
