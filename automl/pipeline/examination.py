"""Examining architectures untrained: export in worker processes, then measure on a quiet machine.

What was learnt is kept in the user's cache: what an export gave by architecture and versions, what a
measurement gave by graph, device, runtime and threads. A second plan of the same space reads files only.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from automl import registry
from automl.data.source import as_file
from automl.errors import SpecError
from automl.export.metadata import package_versions
from automl.hardware.cache import MeasurementCache, answers, measurement_key
from automl.hardware.device import Device, MeasureFailure, MeasureRequest
from automl.pipeline.jobs import Exported, ExportedFile, ExportJob, export_untrained
from automl.pipeline.workers import JobFailure, WorkerPool
from automl.records import (
    Architecture,
    Dataset,
    Host,
    LatencyBudget,
    Measurement,
    Scope,
    Target,
    TaskOptions,
    runs_for_bound,
)
from automl.search.feasibility import Examined
from automl.storage import DamagedFileError, cache_folder, read_record, sha256_bytes, write_record

__all__ = ["Examiner", "is_plannable"]

PLANNING_RUNS = 72
"""The fewest with which a 95 % interval of the 95th percentile has an upper end."""
PLANNING_SECONDS = 2.0
PLANNING_LONGEST_SECONDS = 8.0
"""A slow network is timed for so long at most: a plan only chooses what to train, and the proof times
the winner in full."""
_EXPORTED_AT_ONCE = 6
"""Architectures exported before their files are measured: their files lie on disk meanwhile."""
_FILES_AT_ONCE = 12
"""Models measured in turns in one process: they are all in memory at once."""
_EXPORT_VERSION = 4
"""Raised when exporting changes, so that older entries are not used."""


def is_plannable(scheme: str) -> bool:
    """Whether a scheme's latency can be known before training."""
    plannable: bool = registry.load("scheme", scheme).plannable
    return plannable


_Found = dict[tuple[str, str], Measurement | MeasureFailure]
"""By scheme and target name."""


class Examiner:
    """Learns, for waves of architectures, what each costs on each target.

    Args:
        targets: all on one device.
        schemes: to be tried; those that are known only after training are passed on as such.
        progress: told in one line what is being done.
        may_go_on: asked before each handful; once it says no, the rest of a wave is left out.
        stop_early: whether measuring ends as soon as a file cannot fit.
    """

    def __init__(
        self,
        *,
        task: str,
        options: TaskOptions,
        dataset: Dataset,
        targets: Sequence[Target],
        schemes: Sequence[str],
        device: Device,
        pool: WorkerPool,
        progress: Callable[[str], None],
        may_go_on: Callable[[], bool] = lambda: True,
        stop_early: bool = True,
    ) -> None:
        self._task = task
        self._options = options
        self._dataset = dataset
        self._targets = tuple(targets)
        self._schemes = tuple(scheme for scheme in schemes if is_plannable(scheme))
        self._after_training = frozenset(schemes) - frozenset(self._schemes)
        self._device = device
        self._host: Host = device.host()
        self._pool = pool
        self._progress = progress
        self._may_go_on = may_go_on
        self._stop_early = stop_early
        self._cache = MeasurementCache()
        self._image = str(as_file(Path(dataset.root), dataset.samples[0].path))
        self.exported: dict[Architecture, Exported] = {}
        self.measured = 0
        self.cached = 0

    def __call__(self, wave: tuple[Architecture, ...]) -> Mapping[Architecture, Examined]:
        """Export and measure one wave; nothing is exported when the cache knows all of it.

        Raises:
            SpecError: when the search space names a network that does not exist.
        """
        failures: dict[Architecture, str] = {}
        found: dict[Architecture, _Found] = {}
        with tempfile.TemporaryDirectory(prefix="automl-plan-") as folder:
            fresh = []
            for architecture in wave:
                recalled = self._recall(architecture)
                if recalled is None:
                    fresh.append(architecture)
                else:
                    found[architecture] = recalled
            for start in range(0, len(fresh), _EXPORTED_AT_ONCE):
                if not self._may_go_on():
                    break
                part = fresh[start : start + _EXPORTED_AT_ONCE]
                failures.update(self._export_part(part, folder))
                found.update(self._measure([a for a in part if a not in failures]))
        return {
            a: self._examined(a, found.get(a, {}), failures.get(a))
            for a in wave
            if a in found or a in failures
        }

    def _export_part(self, part: Sequence[Architecture], folder: str) -> dict[Architecture, str]:
        """Export a handful; returns why some could not be."""
        failures = {}
        for architecture, result in zip(part, self._export(part, folder), strict=True):
            if isinstance(result, JobFailure) and result.is_spec_error:
                raise SpecError(result.error)
            if isinstance(result, JobFailure):
                failures[architecture] = f"could not be exported ({result.error})"
            else:
                self.exported[architecture] = result
        return failures

    def _examined(self, architecture: Architecture, found: _Found, failure: str | None) -> Examined:
        if failure is not None:
            broken = dict.fromkeys((*self._schemes, *self._after_training), failure)
        else:
            made = self.exported[architecture]
            broken = dict(made.errors) | dict(made.refused)
        errors = {(s, t.name): why for s, why in broken.items() for t in self._targets}
        measurements = {}
        for key, outcome in found.items():
            if isinstance(outcome, MeasureFailure):
                errors[key] = f"cannot run ({outcome.error})"
            else:
                measurements[key] = outcome
        after_training = self._after_training if failure is None else frozenset()
        return Examined(measurements, errors, after_training)

    def _export(
        self, architectures: Sequence[Architecture], folder: str
    ) -> list[Exported | JobFailure]:
        jobs = [
            ExportJob(
                architecture=architecture,
                task=self._task,
                classes=self._dataset.classes,
                options=self._options,
                frame_size=self._dataset.frame_size,
                typical_frame=self._dataset.typical_frame,
                schemes=self._schemes,
                instruction_sets=self._host.instruction_sets,
                folder=folder,
            )
            for architecture in architectures
        ]
        results: list[Exported | JobFailure] = []
        for architecture, result in zip(
            architectures, self._pool.map(export_untrained, jobs), strict=True
        ):
            self._progress(f"exported {architecture.key} untrained")
            if isinstance(result, Exported) and not result.errors:
                _keep(self._export_key(architecture), result)
            results.append(result)
        return results

    def _measure(self, architectures: Sequence[Architecture]) -> dict[Architecture, _Found]:
        """Measure every file in every distinct way that a target runs it."""
        todo = [
            (architecture, file, alike)
            for architecture in architectures
            for file in self.exported[architecture].files
            for alike in _alike(self._targets)
        ]
        found: dict[Architecture, _Found] = {}
        for start in range(0, len(todo), _FILES_AT_ONCE):
            part = todo[start : start + _FILES_AT_ONCE]
            answered = self._time([self._request(file, alike) for _, file, alike in part])
            for (architecture, file, alike), outcome in zip(part, answered, strict=True):
                if isinstance(outcome, Measurement) and not outcome.is_disturbed:
                    self._cache.put(self._key(file, alike), outcome)
                own = found.setdefault(architecture, {})
                own.update({(file.scheme, target.name): outcome for target in alike})
        self.measured += len(todo)
        return found

    def _time(self, requests: Sequence[MeasureRequest]) -> list[Measurement | MeasureFailure]:
        """Measure; what other work on the machine disturbed is measured once more."""
        answers_ = list(self._device.measure(requests, progress=self._progress))
        again = [i for i, a in enumerate(answers_) if isinstance(a, Measurement) and a.is_disturbed]
        if again:
            repeated = self._device.measure([requests[i] for i in again], progress=self._progress)
            for i, outcome in zip(again, repeated, strict=True):
                answers_[i] = _quieter(answers_[i], outcome)
        return answers_

    def _recall(self, architecture: Architecture) -> _Found | None:
        """Return all that the cache knows of an architecture, or ``None`` when something is missing."""
        try:
            kept = read_record(_export_file(self._export_key(architecture)), Exported)
        except (FileNotFoundError, DamagedFileError):
            return None
        found: _Found = {}
        for file in kept.files:
            for alike in _alike(self._targets):
                measured = self._cache.get(self._key(file, alike))
                if measured is None or not answers(measured, self._request(file, alike)):
                    return None
                found.update({(file.scheme, target.name): measured for target in alike})
        self.exported[architecture] = replace(kept, architecture=architecture)
        self.cached += len(kept.files) * len(_alike(self._targets))
        return found

    def _request(self, file: ExportedFile, alike: Sequence[Target]) -> MeasureRequest:
        target = alike[0]
        return MeasureRequest(
            path=file.path,
            sha256=file.sha256,
            threads=target.threads,
            scope=target.scope,
            frame_size=self._dataset.typical_frame,
            min_runs=max((PLANNING_RUNS, *(runs_for_bound(b.percentile) for b in target.latency))),
            min_seconds=PLANNING_SECONDS,
            budgets=_loosest(alike),
            stop_early=self._stop_early,
            memory=any(t.memory_bytes is not None for t in alike),
            image=self._image if target.scope is Scope.FILE else None,
            max_seconds=PLANNING_LONGEST_SECONDS,
        )

    def _key(self, file: ExportedFile, alike: Sequence[Target]) -> str:
        request = self._request(file, alike)
        return measurement_key(
            graph_hash=file.graph_hash,
            host=self._host,
            threads=request.threads,
            scope=request.scope,
            frame_size=request.frame_size,
            image_sha256=self._dataset.samples[0].sha256,
        )

    def _export_key(self, architecture: Architecture) -> str:
        parts = (
            _EXPORT_VERSION,
            self._task,
            architecture.key,
            len(self._dataset.classes),
            self._options.input,
            self._dataset.frame_size,
            self._dataset.typical_frame,
            self._schemes,
            self._host.instruction_sets,
            package_versions(),
        )
        return sha256_bytes(json.dumps(parts).encode())


def _quieter(
    first: Measurement | MeasureFailure, second: Measurement | MeasureFailure
) -> Measurement | MeasureFailure:
    """Return the one of two answers for the same file that waited less for the processor."""
    if not isinstance(first, Measurement):
        return second
    if not isinstance(second, Measurement):
        return first
    return min(first, second, key=lambda m: m.mean_ms / m.cpu_ms)


def _export_file(key: str) -> Path:
    return cache_folder("exports") / f"{key}.json"


def _keep(key: str, exported: Exported) -> None:
    """Keep what an export gave (not the files: they are quick to make and large)."""
    write_record(_export_file(key), exported)


def _alike(targets: Sequence[Target]) -> list[tuple[Target, ...]]:
    """Group targets that run a file in the same way, so that it is measured once for them."""
    groups: dict[tuple[object, ...], list[Target]] = {}
    for target in targets:
        groups.setdefault((target.device, target.threads, target.scope), []).append(target)
    return [tuple(group) for group in groups.values()]


def _loosest(targets: Sequence[Target]) -> tuple[LatencyBudget, ...]:
    """Return the limits that every target of a group misses when the measurement misses them."""
    percentiles = {b.percentile for t in targets for b in t.latency}
    loosest = []
    for percentile in sorted(percentiles):
        limits = [b.limit_ms for t in targets for b in t.latency if b.percentile == percentile]
        if len(limits) == len(targets):
            loosest.append(LatencyBudget(percentile, max(limits)))
    return tuple(loosest)
