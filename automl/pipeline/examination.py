"""Examining architectures untrained: export in worker processes, then find out what each file costs.

What was learnt is kept in the user's cache: what an export gave by architecture and versions, what a file
costs by its graph (:mod:`automl.pipeline.gauges`). A second plan of the same space reads files only.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from automl import registry
from automl.errors import SpecError
from automl.export.metadata import package_versions
from automl.pipeline.devices import Devices
from automl.pipeline.gauges import (
    Answer,
    Gauge,
    MeasuringGauge,
    PredictingGauge,
    TimedFrame,
    group_alike,
)
from automl.pipeline.jobs import Exported, ExportJob, export_untrained
from automl.pipeline.screening import ScreeningGauge
from automl.pipeline.workers import JobFailure, WorkerPool
from automl.records import (
    Architecture,
    Dataset,
    Forecast,
    Measurement,
    Target,
    TaskOptions,
)
from automl.search.feasibility import Examined
from automl.storage import DamagedFileError, cache_folder, read_record, sha256_bytes, write_record

__all__ = ["Examiner", "is_plannable"]

_EXPORTED_AT_ONCE = 6
"""Architectures exported before their files are looked at: their files lie on disk meanwhile."""
_EXPORT_VERSION = 6
"""Raised when exporting changes, so that older entries are not used."""


def is_plannable(scheme: str) -> bool:
    """Whether a scheme's latency can be known before training."""
    plannable: bool = registry.load("scheme", scheme).plannable
    return plannable


_Found = dict[tuple[str, str], Answer]
"""By scheme and target name."""


class Examiner:
    """Learns, for waves of architectures, what each costs on each target.

    Args:
        targets: of the spec, or some of them.
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
        devices: Devices,
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
        self._devices = devices
        self._pool = pool
        self._progress = progress
        self._may_go_on = may_go_on
        frame = TimedFrame.of(dataset)
        self._gauges = [
            _gauge_for(group, devices, frame, stop_early=stop_early, progress=progress)
            for group in group_alike(self._targets)
        ]
        self.exported: dict[Architecture, Exported] = {}
        self.measured = 0
        self.predicted = 0
        self.cached = 0

    def __call__(self, wave: tuple[Architecture, ...]) -> Mapping[Architecture, Examined]:
        """Export one wave and look at its files; nothing is exported when the cache knows all of it.

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
                found.update(self._look([a for a in part if a not in failures]))
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
        measurements: dict[tuple[str, str], Measurement] = {}
        forecasts: dict[tuple[str, str], Forecast] = {}
        for key, answer in found.items():
            if isinstance(answer, Measurement):
                measurements[key] = answer
            elif isinstance(answer, Forecast):
                forecasts[key] = answer
            else:
                errors[key] = answer.reason
        after_training = self._after_training if failure is None else frozenset()
        return Examined(measurements, errors, after_training, forecasts)

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
                instruction_sets=self._devices.instruction_sets,
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

    def _look(self, architectures: Sequence[Architecture]) -> dict[Architecture, _Found]:
        """Let every gauge look at every file."""
        todo = [(a, file) for a in architectures for file in self.exported[a].files]
        found: dict[Architecture, _Found] = {a: {} for a in architectures}
        for gauge in self._gauges:
            answered = gauge.ask([file for _, file in todo])
            for (architecture, file), answer in zip(todo, answered, strict=True):
                own = {(file.scheme, target.name): answer for target in gauge.targets}
                found[architecture].update(own)
                self.measured += not isinstance(answer, Forecast)
                self.predicted += isinstance(answer, Forecast)
        return found

    def _recall(self, architecture: Architecture) -> _Found | None:
        """Return all that the cache knows of an architecture, or ``None`` when something is missing."""
        try:
            kept = read_record(_export_file(self._export_key(architecture)), Exported)
        except (FileNotFoundError, DamagedFileError):
            return None
        found: _Found = {}
        for gauge in self._gauges:
            for file, known in zip(kept.files, gauge.recall(kept.files), strict=True):
                if known is None:
                    return None
                found.update({(file.scheme, target.name): known for target in gauge.targets})
        self.exported[architecture] = replace(kept, architecture=architecture)
        self.cached += len(kept.files) * len(self._gauges)
        return found

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
            self._devices.instruction_sets,
            package_versions(),
        )
        return sha256_bytes(json.dumps(parts).encode())


def _gauge_for(
    targets: Sequence[Target],
    devices: Devices,
    frame: TimedFrame,
    *,
    stop_early: bool,
    progress: Callable[[str], None],
) -> Gauge:
    """Return what looks at files for targets that are alike.

    A device that is measured in full, because nothing fits, is not screened.
    """
    if not devices.is_measured(targets[0]):
        predictor = devices.predictor(targets[0])
        return PredictingGauge(
            targets, predictor, frame, unsupported=devices.unsupported(targets[0])
        )
    measuring = MeasuringGauge(targets, devices, frame, stop_early=stop_early, progress=progress)
    screen = devices.screen(targets[0]) if stop_early else None
    return measuring if screen is None else ScreeningGauge(measuring, screen, frame)


def _export_file(key: str) -> Path:
    return cache_folder("exports") / f"{key}.json"


def _keep(key: str, exported: Exported) -> None:
    """Keep what an export gave (not the files: they are quick to make and large)."""
    write_record(_export_file(key), exported)
