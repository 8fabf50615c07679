"""A whole run: data, plan, search, proof, bundle, report; and resuming one that was interrupted.

Every stage reads and writes files of the run folder, so a run can end at any moment and go on later.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from automl.errors import RunError, RunInterruptedError, StorageError
from automl.export.metadata import package_versions
from automl.pipeline.climbing import feasible_architectures, ladder_notes, open_ladder
from automl.pipeline.clock import RunClock
from automl.pipeline.compute import check_cluster, search_resources, with_address
from automl.pipeline.context import TrialContext
from automl.pipeline.delivery import deliver
from automl.pipeline.device_names import check_devices
from automl.pipeline.devices import Devices
from automl.pipeline.folder import RunFolder, RunState
from automl.pipeline.guarded import GuardedListener
from automl.pipeline.history import first_deployable_s, make_record, read_run
from automl.pipeline.last_words import last_words
from automl.pipeline.listener import Listener
from automl.pipeline.mirror import mirrored, new_run_path
from automl.pipeline.observer import Observer, Silent
from automl.pipeline.pace import SHORTEST_TRIAL_SECONDS, Pace
from automl.pipeline.planning import make_plan, prepare_data, read_space
from automl.pipeline.proof import Prover, proof_seconds
from automl.pipeline.quality import find_quality, rule_notes
from automl.pipeline.recovery import (
    has_report,
    is_complete,
    is_deliverable,
    is_delivered,
    recover,
    recover_state,
)
from automl.pipeline.remembering import remember, with_experience
from automl.pipeline.reporting import write_report
from automl.pipeline.session import SessionFactory
from automl.pipeline.workers import WorkerPool
from automl.records import (
    DataQuality,
    Host,
    Plan,
    PreparedData,
    RunRecord,
    Spec,
    StageTime,
)
from automl.search.executor import search
from automl.search.recollection import recalled_points
from automl.search.study import StudySpace
from automl.storage import storage_error

__all__ = ["plan_only", "resume", "run"]

_PLANNING_SHARE = 0.5
"""Planning may use at most this share of search.time; the rest trains."""
_VERSIONED = (
    "automl",
    "numpy",
    "onnx",
    "onnxruntime",
    "optuna",
    "ray",
    "timm",
    "torch",
    "torchvision",
    "torchmetrics",
)


def plan_only(spec: Spec, *, observer: Observer | None = None) -> Plan:
    """Say which candidates would fit, without training anything.

    Raises:
        DataError: when the images cannot be used.
        SpecError: when the spec leaves nothing to try.
    """
    watching = observer or Silent()
    devices = Devices.open(spec)
    data = prepare_data(spec, watching)
    with WorkerPool(_worker_count(devices.here), threads=1) as pool:
        quality = find_quality(spec, data, pool=pool, observer=watching, only_rules=True)
        plan = make_plan(spec, data, devices=devices, pool=pool, observer=watching).plan
    return replace(plan, notes=(*plan.notes, *rule_notes(quality, spec)))


def run(spec: Spec, *, observer: Observer | None = None) -> RunRecord:
    """Search, prove and deliver in a new folder below ``spec.output``.

    Raises:
        DataError: when the images cannot be used.
        SpecError: when the spec leaves nothing to try.
        RunInterruptedError: on Ctrl-C; everything finished is kept.
        StorageError: the disk is full, read-only or gone; everything finished is kept.
    """
    check_devices(spec)
    watching = observer or Silent()
    folder = RunFolder(new_run_path(spec.output, spec.name))
    check_cluster(spec, folder.path.parent)
    with folder.lock(), mirrored(spec.output, folder.path, note=watching.note):
        folder.write_spec(spec)
        state = RunState(
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed_s=0.0,
            resumed=0,
            stages=(),
            first_deployable_s=None,
            versions=package_versions(_VERSIONED),
            spec=spec,
        )
        folder.write_state(state)
        return _Run(spec, folder, state, watching).go()


def resume(
    path: Path, *, observer: Observer | None = None, address: str | None = None
) -> RunRecord:
    """Finish a run that was interrupted, keeping every finished trial.

    A run that ended already is returned as it is, unless a device was lost at its end: then its targets
    are decided again, now that it may be back. Damaged files are made again from the rest; the observer
    is told which, and which trials must be repeated.

    Args:
        address: of a Ray cluster, instead of the spec's.

    Raises:
        RunError: no run there, in use, or the data changed since it began.
        RunInterruptedError: on Ctrl-C.
        StorageError: the disk is full, read-only or gone.
    """
    watching = observer or Silent()
    folder = RunFolder.existing(path)
    began = folder.read_spec()
    spec = with_address(began, address)
    with folder.lock(), mirrored(spec.output, path, note=watching.note):
        if is_complete(folder):
            record = read_run(path)
            if not has_report(folder):
                write_report(record)
            return record
        for note in recover(folder, began):
            watching.note(note)
        state = folder.read_state()
        if state is None:
            watching.note("'run.json' is damaged; how far the run is follows from its results.")
            state = recover_state(folder, began, package_versions(_VERSIONED))
        state = replace(state, resumed=state.resumed + 1, spec=began)
        check_cluster(spec, path)
        return _Run(spec, folder, state, watching).go()


class _Run:
    """One run under way in the driver process."""

    def __init__(self, spec: Spec, folder: RunFolder, state: RunState, observer: Observer) -> None:
        self._spec = spec
        self._folder = folder
        self._state = state
        self._observer = observer
        self._clock = RunClock(state.elapsed_s, spec.search.time_s)

    def go(self) -> RunRecord:
        self._folder.log("begin", resumed=self._state.resumed)
        devices = Devices.open(self._spec)
        try:
            with (
                last_words(self._last_words),
                WorkerPool(_worker_count(devices.here), threads=1) as pool,
            ):
                pool.warm_up()
                return self._stages(devices, pool)
        except KeyboardInterrupt:
            self._folder.log("interrupted")
            raise RunInterruptedError(self._last_words()) from None
        except Exception as error:
            failure = storage_error(error)
            if failure is None:
                raise
            raise StorageError(
                f"{failure} Everything finished is kept; when there is room again, {self._go_on}"
            ) from error

    @property
    def _go_on(self) -> str:
        return f"go on with: automl resume {shlex.quote(str(self._folder.path))}"

    def _last_words(self) -> str:
        """Keep how far the run is; return how to go on."""
        self._save()
        return f"Stopped. Everything finished is kept; {self._go_on}"

    def _stages(self, devices: Devices, pool: WorkerPool) -> RunRecord:
        spec, folder = self._spec, self._folder
        with self._stage("data"):
            data = self._data()
        with self._stage("quality"):
            quality = self._quality(data, pool)
        with self._stage("plan"):
            plan = self._plan(data, devices, pool, quality)
        pool.close()
        earlier = folder.read_selection()
        if plan.feasible() and earlier is None:
            with self._stage("search"):
                self._search(plan, data, devices)
        trials = folder.read_trials()
        self._state = replace(self._state, first_deployable_s=first_deployable_s(trials, plan))
        with self._stage("proof"):
            prover = Prover(
                spec,
                data.dataset,
                plan,
                trials,
                folder=folder,
                devices=devices,
                pool=pool,
                observer=self._observer,
                doubtful=() if quality is None else quality.leakage.paths,
                decided=() if earlier is None else [t for t in earlier.targets if not t.lost],
            )
            selection = prover.prove()
            for chosen in selection.targets:
                if is_deliverable(folder, chosen) or not is_delivered(folder, chosen):
                    deliver(chosen, spec=spec, data=data, folder=folder)
            folder.write_selection(selection)
        with self._stage("report"):
            self._observer.stage("report")
            record = make_record(folder, spec, data, plan, trials, selection, self._state)
            write_report(record)
        record = make_record(folder, spec, data, plan, trials, selection, self._state)
        remember(record)
        folder.log("end", seconds=round(self._clock.elapsed_s, 1))
        return record

    def _data(self) -> PreparedData:
        """Prepare the data; a resumed run must find the same as when it began.

        Where its pixels and annotations lie in the cache may have changed since: what is there now
        counts.
        """
        known = self._folder.read_data()
        data = prepare_data(self._spec, self._observer)
        if known is not None and known.dataset.fingerprint != data.dataset.fingerprint:
            raise RunError(
                f"The images in '{data.dataset.root}' changed since this run began: "
                f"{_changed(known, data)}. Restore them, or start a new run."
            )
        if known is not None and known.dataset == data.dataset:
            return known
        self._folder.write_data(data)
        return data

    def _quality(self, data: PreparedData, pool: WorkerPool) -> DataQuality | None:
        known = self._folder.read_quality()
        if known is not None:
            return known
        found = find_quality(self._spec, data, pool=pool, observer=self._observer)
        if found is not None:
            self._folder.write_quality(found)
        return found

    def _plan(
        self,
        data: PreparedData,
        devices: Devices,
        pool: WorkerPool,
        quality: DataQuality | None,
    ) -> Plan:
        known = self._folder.read_plan()
        if known is not None:
            return known
        limit = self._spec.search.time_s * _PLANNING_SHARE
        plan = make_plan(
            self._spec,
            data,
            devices=devices,
            pool=pool,
            observer=self._observer,
            may_go_on=lambda: self._clock.elapsed_s < limit,
        ).plan
        plan = replace(plan, notes=(*plan.notes, *rule_notes(quality, self._spec)))
        plan = with_experience(plan, self._spec, data)
        self._folder.write_plan(plan)
        for note in plan.notes:
            self._observer.note(note)
        return plan

    def _search(self, plan: Plan, data: PreparedData, devices: Devices) -> None:
        spec, folder = self._spec, self._folder
        self._observer.stage("search")
        feasible = plan.feasible()
        architectures = tuple(dict.fromkeys(c.architecture for c in feasible))
        study = StudySpace(read_space(spec), architectures)
        tried = folder.read_trials()
        left = self._clock.left_s - proof_seconds(spec, plan, data.dataset)
        ends = time.monotonic() + left
        resources = search_resources(spec, devices.here)
        ladder = open_ladder(spec, plan, data, study, resources)
        for note in ladder_notes(spec, ladder):
            self._observer.note(note)
        listener = Listener(
            folder,
            self._observer,
            tried=tried,
            left_s=lambda: ends - time.monotonic(),
            changed=self._save,
        )
        guarded = GuardedListener(listener)
        context = TrialContext(
            folder=str(folder.path.resolve()),
            spec=spec,
            schemes={
                a.key: tuple(c.scheme for c in feasible if c.architecture == a)
                for a in architectures
            },
            planned=feasible_architectures(plan),
            weights={p.architecture.backbone: p.weights for p in plan.architectures if p.weights},
            instruction_sets=devices.instruction_sets,
            threads=resources.threads,
            gpus=resources.gpus_per_trial,
            clock=self._clock.shared(),
            ends_after_s=self._clock.elapsed_s + left,
            owner=folder.owner,
        )
        with guarded.raising_failures():
            search(
                study,
                factory=SessionFactory(context),
                listener=guarded,
                resources=resources,
                seed=spec.search.seed,
                ladder=ladder,
                first=recalled_points(plan.recollection, study),
                tried=tried,
                probes=folder.read_probes(),
                unfinished=folder.read_unfinished(),
                trials=spec.search.trials,
                may_start=Pace(folder, left_s=lambda: ends - time.monotonic()).may_start,
                elapsed_s=lambda: self._clock.elapsed_s,
                time_budget_s=left + SHORTEST_TRIAL_SECONDS,
            )
        listener.close()

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        self._folder.log("stage", name=name)
        try:
            yield
        finally:
            took = StageTime(name, round(time.monotonic() - started, 3))
            self._state = replace(self._state, stages=(*self._state.stages, took))
            self._save()

    def _save(self) -> None:
        self._state = replace(self._state, elapsed_s=round(self._clock.elapsed_s, 3))
        self._folder.write_state(self._state)


def _changed(before: PreparedData, after: PreparedData) -> str:
    """Return which files differ between two states of the data, a few of them by name."""
    old = {s.path: s.sha256 for s in before.dataset.samples}
    new = {s.path: s.sha256 for s in after.dataset.samples}
    names = sorted(p for p in old.keys() | new.keys() if old.get(p) != new.get(p))
    if not names:
        return "the labels or the split differ"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    count = "1 file differs" if len(names) == 1 else f"{len(names)} files differ"
    return f"{count} ({', '.join(names[:3])}{more})"


def _worker_count(here: Host) -> int:
    return max(1, min(4, here.cores))
