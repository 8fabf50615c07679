"""How it becomes known what a file costs on a target: measured on its device, or predicted for it.

A gauge serves targets that run a file in the same way, so that it is looked at once for all of them. What
was learnt is kept in the user's cache: a measurement by graph and host, a forecast by graph and by all
that the prediction goes by.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from automl.data.source import as_file
from automl.hardware.cache import MeasurementCache, answers, measurement_key
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.hardware.limits import usable_cores
from automl.pipeline.devices import Devices, Predictor
from automl.pipeline.jobs import ExportedFile
from automl.pipeline.repeating import measure_calmly
from automl.records import (
    Dataset,
    Forecast,
    LatencyBudget,
    Measurement,
    Scope,
    Target,
    runs_for_bound,
)
from automl.storage import (
    DamagedFileError,
    cache_folder,
    read_record,
    sha256_bytes,
    write_record,
)

__all__ = [
    "BRIEF_SECONDS",
    "PLANNING_SECONDS",
    "Answer",
    "Gauge",
    "MeasuringGauge",
    "PredictingGauge",
    "TimedFrame",
    "Unknown",
    "forecast_file",
    "group_alike",
]

PLANNING_RUNS = 72
"""The fewest with which a 95 % interval of the 95th percentile has an upper end."""
PLANNING_SECONDS = 2.0
BRIEF_SECONDS = 0.3
"""Of two forms of a network, where nothing else is open than which is the faster. A slow one takes longer: as
many runs as a percentile needs."""
PLANNING_LONGEST_SECONDS = 8.0
"""A slow network is timed for so long at most: a plan only chooses what to train, and the proof times
the winner in full."""
_FILES_AT_ONCE = 12
"""Models measured in turns in one process, or looked into side by side: they are all in memory at once."""


@dataclass(frozen=True)
class Unknown:
    """A file of which nothing could be learnt, and why, as a verdict says it."""

    reason: str


Answer: TypeAlias = Measurement | Forecast | Unknown


@dataclass(frozen=True)
class TimedFrame:
    """The frame that models are timed on: the first image of the data, at its typical size."""

    size: tuple[int, int]
    """(height, width)."""
    image: str
    """Path of the encoded image."""
    sha256: str
    encoded_bytes: int

    @classmethod
    def of(cls, dataset: Dataset) -> TimedFrame:
        """Return the frame of a data set."""
        sample = dataset.samples[0]
        path = as_file(Path(dataset.root), sample.path)
        return cls(dataset.typical_frame, str(path), sample.sha256, path.stat().st_size)


class Gauge(Protocol):
    """Learns what files cost on targets that run them in the same way."""

    targets: tuple[Target, ...]

    def recall(self, files: Sequence[ExportedFile]) -> list[Answer | None]:
        """Return what is known from before of all files of an architecture, or ``None``; needs no file on
        the disk."""
        ...

    def ask(self, files: Sequence[ExportedFile]) -> list[Answer]:
        """Return one answer a file, in order."""
        ...


class MeasuringGauge:
    """Measures on a device.

    Args:
        targets: all on one device, with the same threads and scope.
        devices: of the spec.
        frame: to be timed on.
        stop_early: whether measuring ends as soon as a file cannot fit.
        progress: told in one line what is being done.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        devices: Devices,
        frame: TimedFrame,
        *,
        stop_early: bool,
        progress: Callable[[str], None],
    ) -> None:
        self.targets = tuple(targets)
        self._devices = devices
        self._name = targets[0].device
        self._frame = frame
        self._stop_early = stop_early
        self._progress = progress
        self._cache = MeasurementCache()

    def recall(
        self, files: Sequence[ExportedFile], *, briefly: Container[ExportedFile] = ()
    ) -> list[Answer | None]:
        """Return earlier measurements of the same graphs that say what is asked now.

        Args:
            briefly: files of which only the speed in comparison is asked.
        """
        return [self._recall(file, file in briefly) for file in files]

    def _recall(self, file: ExportedFile, is_brief: bool) -> Measurement | None:
        measured = self._cache.get(self.key(file))
        if measured is None or not answers(measured, self._request(file, is_brief)):
            return None
        return measured

    def ask(
        self, files: Sequence[ExportedFile], *, briefly: Container[ExportedFile] = ()
    ) -> list[Answer]:
        """Measure files, a dozen in turns, and keep what nothing disturbed.

        Args:
            briefly: likewise; they take less time.
        """
        found: list[Answer] = []
        for start in range(0, len(files), _FILES_AT_ONCE):
            part = files[start : start + _FILES_AT_ONCE]
            requests = [self._request(file, file in briefly) for file in part]
            for file, outcome in zip(part, self._time(requests), strict=True):
                if isinstance(outcome, MeasureFailure):
                    found.append(self._unknown(outcome))
                    continue
                is_worse = file in briefly and self._recall(file, is_brief=False) is not None
                if not (outcome.is_disturbed or is_worse):
                    self._cache.put(self.key(file), outcome)
                found.append(outcome)
        return found

    def key(self, file: ExportedFile) -> str:
        """Return the name under which a file's measurement is kept."""
        target = self.targets[0]
        return measurement_key(
            graph_hash=file.graph_hash,
            host=self._devices.hosts[self._name],
            threads=target.threads,
            scope=target.scope,
            frame_size=self._frame.size,
            image_sha256=self._frame.sha256,
        )

    def _time(self, requests: Sequence[MeasureRequest]) -> list[Measurement | MeasureFailure]:
        """Measure; what other work on the machine disturbed is measured once more."""
        measure = functools.partial(self._devices.measure, self._name, progress=self._progress)
        return measure_calmly(measure, requests)

    def _unknown(self, failure: MeasureFailure) -> Unknown:
        lost = self._devices.why_lost(self.targets[0])
        if lost is not None:
            return Unknown(f"could not be measured: {lost}")
        return Unknown(f"cannot run ({failure.error})")

    def _request(self, file: ExportedFile, is_brief: bool) -> MeasureRequest:
        targets, target = self.targets, self.targets[0]
        return MeasureRequest(
            path=file.path,
            sha256=file.sha256,
            threads=target.threads,
            scope=target.scope,
            frame_size=self._frame.size,
            min_runs=max((PLANNING_RUNS, *(runs_for_bound(b.percentile) for b in target.latency))),
            min_seconds=BRIEF_SECONDS if is_brief else PLANNING_SECONDS,
            budgets=_loosest(targets),
            stop_early=self._stop_early,
            memory=any(t.memory_bytes is not None for t in targets),
            image=self._frame.image if target.scope is Scope.FILE else None,
            max_seconds=PLANNING_LONGEST_SECONDS,
        )


class PredictingGauge:
    """Predicts for a device that cannot be measured, or need not be.

    Args:
        targets: all on one device, with the same threads and scope.
        predictor: of that device and number of threads.
        frame: that a network gets.
        unsupported: operators that the device cannot run.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        predictor: Predictor,
        frame: TimedFrame,
        *,
        unsupported: Sequence[str] = (),
    ) -> None:
        self.targets = tuple(targets)
        self._predictor = predictor
        self._frame = frame
        self._unsupported = frozenset(unsupported)
        self._basis = sha256_bytes(repr(predictor).encode() + _code_of_prediction())

    def recall(self, files: Sequence[ExportedFile]) -> list[Answer | None]:
        """Return earlier forecasts of the same graphs on the same grounds."""
        return [self._recall(file) for file in files]

    def _recall(self, file: ExportedFile) -> Forecast | Unknown | None:
        refused = sorted(self._unsupported.intersection(file.operators))
        if refused:
            return Unknown(
                f"cannot run on {self.targets[0].device}: it has no {', '.join(refused)}"
            )
        try:
            return read_record(self._kept(file), Forecast)
        except (FileNotFoundError, DamagedFileError):
            return None

    def ask(self, files: Sequence[ExportedFile]) -> list[Answer]:
        """Predict files, and keep what was predicted.

        Each is looked at by onnxruntime with one thread, so several are looked at side by side.
        """
        with ThreadPoolExecutor(min(usable_cores(), _FILES_AT_ONCE)) as threads:
            return list(threads.map(self._predict, files))

    def _predict(self, file: ExportedFile) -> Answer:
        known = self._recall(file)
        if known is not None:
            return known
        try:
            forecast = forecast_file(
                self._predictor, self.targets[0], file.path, file.sha256, self._frame
            )
        except Exception as error:  # noqa: BLE001 - whatever onnxruntime says of a file is a verdict
            return Unknown(f"could not be predicted ({type(error).__name__}: {error})")
        write_record(self._kept(file), forecast)
        return forecast

    def _kept(self, file: ExportedFile) -> Path:
        target = self.targets[0]
        parts = (
            self._basis,
            file.graph_hash,
            target.scope.value,
            *self._frame.size,
            self._frame.encoded_bytes,
        )
        return cache_folder("forecasts") / f"{sha256_bytes(json.dumps(parts).encode())}.json"


def forecast_file(
    predictor: Predictor, target: Target, path: str, sha256: str, frame: TimedFrame
) -> Forecast:
    """Return what is expected of a file on a target.

    Raises:
        Exception: of onnxruntime, when the file is no model that it can run.
    """
    return predictor.forecast(
        path,
        sha256,
        scope=target.scope,
        frame_size=frame.size,
        frame_bytes=frame.encoded_bytes,
    )


def group_alike(targets: Sequence[Target]) -> list[tuple[Target, ...]]:
    """Group targets that run a file in the same way, so that it is looked at once for them."""
    groups: dict[tuple[object, ...], list[Target]] = {}
    for target in targets:
        groups.setdefault((target.device, target.threads, target.scope), []).append(target)
    return [tuple(group) for group in groups.values()]


@functools.cache
def _code_of_prediction() -> bytes:
    """Return the predictor's own code: another one says something else of the same file."""
    import automl.hardware.prediction

    folder = Path(automl.hardware.prediction.__file__).parent
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))


def _loosest(targets: Sequence[Target]) -> tuple[LatencyBudget, ...]:
    """Return the limits that every target of a group misses when the measurement misses them."""
    percentiles = {b.percentile for t in targets for b in t.latency}
    loosest = []
    for percentile in sorted(percentiles):
        limits = [b.limit_ms for t in targets for b in t.latency if b.percentile == percentile]
        if len(limits) == len(targets):
            loosest.append(LatencyBudget(percentile, max(limits)))
    return tuple(loosest)
