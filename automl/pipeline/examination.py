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
    Target,
)
from automl.search.feasibility import Examined
from automl.storage import DamagedFileError, cache_folder, read_record, sha256_bytes, write_record

__all__ = ["Examiner", "is_plannable"]

PLANNING_RUNS = 64
PLANNING_SECONDS = 2.0
_FILES_AT_ONCE = 12
"""Models measured in turns in one process: they are all in memory at once."""
_EXPORT_VERSION = 1
"""Raised when exporting changes, so that older entries are not used."""


def is_plannable(scheme: str) -> bool:
    """Whether a scheme's latency can be known before training."""
    plannable: bool = registry.load("scheme", scheme).plannable
    return plannable


class Examiner:
    """Learns, for waves of architectures, what each costs on each target.

    Args:
        targets: all on one device.
        schemes: to be tried; those that are known only after training are passed on as such.
        progress: told in one line what is being done.
    """

    def __init__(
        self,
        *,
        task: str,
        dataset: Dataset,
        targets: Sequence[Target],
        schemes: Sequence[str],
        device: Device,
        pool: WorkerPool,
        progress: Callable[[str], None],
    ) -> None:
        self._task = task
        self._dataset = dataset
        self._targets = tuple(targets)
        self._schemes = tuple(scheme for scheme in schemes if is_plannable(scheme))
        self._after_training = frozenset(schemes) - frozenset(self._schemes)
        self._device = device
        self._host: Host = device.host()
        self._pool = pool
        self._progress = progress
        self._cache = MeasurementCache()
        self.exported: dict[Architecture, Exported] = {}
        self.measured = 0
        self.cached = 0

    def __call__(self, wave: tuple[Architecture, ...]) -> Mapping[Architecture, Examined]:
        """Export and measure one wave; nothing is exported when the cache knows all of it."""
        with tempfile.TemporaryDirectory(prefix="automl-plan-") as folder:
            known = {a: self._known(a) for a in wave}
            found = {a: self._recall(e) for a, e in known.items() if e is not None}
            fresh = [a for a in wave if a not in found or found[a] is None]
            measurements = {a: found[a] or {} for a in wave if a not in fresh}
            failures: dict[Architecture, str] = {}
            for architecture, result in zip(fresh, self._export(fresh, folder), strict=True):
                if isinstance(result, JobFailure):
                    failures[architecture] = f"could not be exported ({result.error})"
                else:
                    self.exported[architecture] = result
            made = [a for a in fresh if a not in failures]
            errors = self._measure(made, measurements)
        for architecture in wave:
            if known[architecture] is not None and architecture not in self.exported:
                self.exported[architecture] = known[architecture]  # type: ignore[assignment]  # not None
        return {
            a: self._examined(a, measurements.get(a, {}), errors.get(a, {}), failures.get(a))
            for a in wave
        }

    def _examined(
        self,
        architecture: Architecture,
        measurements: Mapping[tuple[str, str], Measurement],
        errors: Mapping[str, str],
        failure: str | None,
    ) -> Examined:
        broken = dict(errors)
        if failure is not None:
            broken = dict.fromkeys((*self._schemes, *self._after_training), failure)
        elif architecture in self.exported:
            broken = {**dict(self.exported[architecture].errors), **broken}
        return Examined(
            measurements=measurements,
            errors={(s, t.name): why for s, why in broken.items() for t in self._targets},
            after_training=self._after_training if failure is None else frozenset(),
        )

    def _export(
        self, architectures: Sequence[Architecture], folder: str
    ) -> list[Exported | JobFailure]:
        jobs = [
            ExportJob(
                architecture=architecture,
                task=self._task,
                classes=self._dataset.classes,
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
            if isinstance(result, Exported):
                _keep(self._export_key(architecture), result)
            results.append(result)
        return results

    def _measure(
        self,
        architectures: Sequence[Architecture],
        measurements: dict[Architecture, dict[tuple[str, str], Measurement]],
    ) -> dict[Architecture, dict[str, str]]:
        """Measure every file for every distinct way a target runs it; returns errors by scheme."""
        todo = [
            (architecture, file, alike)
            for architecture in architectures
            for file in self.exported[architecture].files
            for alike in _alike(self._targets)
        ]
        errors: dict[Architecture, dict[str, str]] = {}
        for start in range(0, len(todo), _FILES_AT_ONCE):
            part = todo[start : start + _FILES_AT_ONCE]
            requests = [self._request(file, alike) for _, file, alike in part]
            kept = [
                self._cache.get(self._key(r, f))
                for r, (_, f, _) in zip(requests, part, strict=True)
            ]
            open_ = [
                i
                for i, (m, r) in enumerate(zip(kept, requests, strict=True))
                if m is None or not answers(m, r)
            ]
            self.cached += len(part) - len(open_)
            answered = (
                self._device.measure([requests[i] for i in open_], progress=self._progress)
                if open_
                else ()
            )
            fresh = dict(zip(open_, answered, strict=True))
            for i, (architecture, file, alike) in enumerate(part):
                outcome = fresh.get(i, kept[i])
                if isinstance(outcome, MeasureFailure) or outcome is None:
                    reason = outcome.error if outcome is not None else "was not measured"
                    errors.setdefault(architecture, {})[file.scheme] = f"cannot run ({reason})"
                    continue
                if i in fresh:
                    self.measured += 1
                    self._cache.put(self._key(requests[i], file), outcome)
                for target in alike:
                    measurements.setdefault(architecture, {})[file.scheme, target.name] = outcome
        return errors

    def _recall(self, exported: Exported) -> dict[tuple[str, str], Measurement] | None:
        """Return all measurements of an architecture from the cache, or ``None`` when one is missing."""
        found: dict[tuple[str, str], Measurement] = {}
        for file in exported.files:
            for alike in _alike(self._targets):
                request = self._request(file, alike)
                kept = self._cache.get(self._key(request, file))
                if kept is None or not answers(kept, request):
                    return None
                found.update({(file.scheme, t.name): kept for t in alike})
        self.cached += len(exported.files) * len(_alike(self._targets))
        return found

    def _request(self, file: ExportedFile, alike: Sequence[Target]) -> MeasureRequest:
        target = alike[0]
        return MeasureRequest(
            path=file.path,
            sha256=file.sha256,
            threads=target.threads,
            scope=target.scope,
            frame_size=self._dataset.typical_frame,
            min_runs=PLANNING_RUNS,
            min_seconds=PLANNING_SECONDS,
            budgets=_loosest(alike),
            stop_early=True,
            memory=any(t.memory_bytes is not None for t in alike),
        )

    def _key(self, request: MeasureRequest, file: ExportedFile) -> str:
        return measurement_key(
            graph_hash=file.graph_hash,
            host=self._host,
            threads=request.threads,
            scope=request.scope,
            frame_size=request.frame_size,
        )

    def _export_key(self, architecture: Architecture) -> str:
        parts = (
            _EXPORT_VERSION,
            self._task,
            architecture.key,
            len(self._dataset.classes),
            self._dataset.frame_size,
            self._dataset.typical_frame,
            self._schemes,
            self._host.instruction_sets,
            package_versions(),
        )
        return sha256_bytes(json.dumps(parts).encode())

    def _known(self, architecture: Architecture) -> Exported | None:
        try:
            kept = read_record(_export_file(self._export_key(architecture)), Exported)
        except (FileNotFoundError, DamagedFileError):
            return None
        return replace(kept, architecture=architecture)


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
