"""Who wins on a target: the best of those that keep every limit, by measuring the delivered files again.

On a device that can only be predicted nothing can be proven: there the best of those wins that keep every
limit by prediction, and if none does for sure, the best of those that may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from automl.data.source import as_file
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.pipeline.devices import Devices
from automl.pipeline.folder import RunFolder
from automl.pipeline.gauges import TimedFrame, forecast_file
from automl.pipeline.observer import Observer
from automl.records import (
    Dataset,
    Evidence,
    Measurement,
    Split,
    Target,
    runs_for_bound,
)
from automl.search.limits import limit_failed
from automl.search.selection import Contender, forecast_missed, limit_missed

__all__ = ["PROOF_RUNS", "PROOF_SECONDS", "TOGETHER", "Choice", "Chooser", "timing_seconds"]

PROOF_RUNS = 1_000
PROOF_SECONDS = 20.0
"""A file is timed for this many runs, or for this long when it is slow."""
_TIME_A_RUN = 2.2
"""Of a slow network one run in three is not timed, and the machine may be slower than while planning."""
TOGETHER = 3
"""The best and two runners-up take turns in one process, so that they are compared fairly."""


@dataclass
class Choice:
    """What looking at the contenders led to."""

    winner: Contender | None = None
    known: dict[str, Evidence] = field(default_factory=dict)
    """By artifact SHA-256."""
    missed: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By artifact SHA-256: the (clause, sentence) that rules it out."""
    lost: str | None = None
    """Why the device could not be asked any more."""


class Chooser:
    """Chooses on one run's targets.

    Args:
        dataset: whose images are timed.
        folder: of the run, with the files.
        devices: of the spec.
        observer: told what is being done.
    """

    def __init__(
        self, dataset: Dataset, *, folder: RunFolder, devices: Devices, observer: Observer
    ) -> None:
        self._dataset = dataset
        self._folder = folder
        self._devices = devices
        self._observer = observer

    def choose(self, target: Target, able: Sequence[Contender]) -> Choice:
        """Return the winner among contenders, the best first, or why there is none."""
        if self._devices.is_measured(target):
            return self._choose_measured(target, able)
        return self._choose_predicted(target, able)

    def _choose_measured(self, target: Target, able: Sequence[Contender]) -> Choice:
        """Measure contenders, a few in turns, until one holds every limit."""
        choice = Choice()
        for start in range(0, len(able), TOGETHER):
            part = able[start : start + TOGETHER]
            self._observer.progress(
                f"measuring {', '.join(c.candidate.key for c in part)} in a fresh process"
            )
            for contender, answer in zip(part, self._measure(target, part), strict=True):
                _note(choice, target, contender, answer)
            choice.lost = self._devices.why_lost(target)
            choice.winner = next((c for c in part if c.artifact.sha256 not in choice.missed), None)
            if choice.winner is not None or choice.lost is not None:
                break
        return choice

    def _choose_predicted(self, target: Target, able: Sequence[Contender]) -> Choice:
        """Predict contenders until one keeps every limit for sure; else the best that may keep them."""
        choice = Choice()
        predictor, frame = self._devices.predictor(target), TimedFrame.of(self._dataset)
        possible: list[Contender] = []
        for contender in able:
            sha256 = contender.artifact.sha256
            self._observer.progress(f"predicting {contender.candidate.key} on {target.device}")
            path = str(self._folder.path / contender.artifact.path)
            try:
                forecast = forecast_file(predictor, target, path, sha256, frame)
            except Exception as error:  # noqa: BLE001 - whatever onnxruntime says of one file
                text = f"could not be predicted: {type(error).__name__}: {error}"
                choice.missed[sha256] = ("can be run", text)
                continue
            choice.known[sha256] = forecast
            missed = forecast_missed(target, forecast)
            if missed is None:
                choice.winner = contender
                return choice
            choice.missed[sha256] = missed
            if limit_failed(target, forecast) is None:
                possible.append(contender)
        if possible:
            choice.winner = possible[0]
            del choice.missed[possible[0].artifact.sha256]
        return choice

    def _measure(
        self, target: Target, part: Sequence[Contender]
    ) -> tuple[Measurement | MeasureFailure, ...]:
        """Measure contenders in turns; all once more when other work seems to have made one miss a limit,
        or when none gave a number, as when the link to the device broke."""
        requests = [self._request(target, contender) for contender in part]
        answers = self._devices.measure(target.device, requests)
        if all(isinstance(answer, MeasureFailure) for answer in answers):
            self._observer.note("nothing could be measured; measuring once more")
            answers = self._devices.measure(target.device, requests)
        if any(_is_doubtful(target, *pair) for pair in zip(part, answers, strict=True)):
            self._observer.note("other work disturbed the measurement; measuring once more")
            answers = self._devices.measure(target.device, requests)
        return answers

    def _request(self, target: Target, contender: Contender) -> MeasureRequest:
        sample = self._dataset.samples[self._dataset.indices(Split.VAL)[0]]
        return MeasureRequest(
            path=str(self._folder.path / contender.artifact.path),
            sha256=contender.artifact.sha256,
            threads=target.threads,
            scope=target.scope,
            frame_size=self._dataset.typical_frame,
            min_runs=PROOF_RUNS,
            min_seconds=0.0,
            budgets=target.latency,
            stop_early=False,
            memory=True,
            image=str(as_file(Path(self._dataset.root), sample.path)),
            max_seconds=_seconds(target, contender),
        )


def _note(
    choice: Choice, target: Target, contender: Contender, answer: Measurement | MeasureFailure
) -> None:
    sha256 = contender.artifact.sha256
    if not isinstance(answer, Measurement):
        choice.missed[sha256] = ("can be run", f"could not be measured: {answer.error}")
        return
    choice.known[sha256] = answer
    missed = limit_missed(target, answer)
    if missed is not None:
        choice.missed[sha256] = missed


def _is_doubtful(
    target: Target, contender: Contender, answer: Measurement | MeasureFailure
) -> bool:
    """Whether a miss may not be the file's own: its thread waited, or planning found it well within.

    On a shared machine the processor itself may be slower for a while, which no clock here can tell.
    """
    if not isinstance(answer, Measurement) or limit_missed(target, answer) is None:
        return False
    planned = contender.planned
    fitted = planned is not None and all(
        planned.percentile(budget.percentile).high <= budget.limit_ms for budget in target.latency
    )
    return answer.is_disturbed or fitted


def _seconds(target: Target, contender: Contender) -> float:
    planned = contender.planned
    return timing_seconds(target, 0.0 if planned is None else planned.p99_ms.value)


def timing_seconds(target: Target, run_ms: float) -> float:
    """Return how long a file may be timed: long enough for a bound of every percentile asked."""
    runs = max((runs_for_bound(b.percentile) for b in target.latency), default=0)
    return max(PROOF_SECONDS * 1.25, runs * run_ms * _TIME_A_RUN / 1e3)
