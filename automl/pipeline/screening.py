"""Sparing measurements: where a device was calibrated, a prediction settles what is sure by far.

A network whose whole interval lies on one side of every limit needs no measuring to be planned for; the
others are measured, and so are a scheme and float32 of which nobody knows the faster. Whoever wins is
measured in the proof in any case, so a wrong prediction may cost a candidate or a training, but never ships.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automl.pipeline.devices import Predictor
from automl.pipeline.gauges import Answer, MeasuringGauge, PredictingGauge, TimedFrame
from automl.pipeline.jobs import ExportedFile
from automl.records import Evidence, Forecast, Measurement, Target
from automl.search.feasibility import is_order_settled
from automl.search.limits import limit_failed

__all__ = ["ScreeningGauge", "is_settled"]


@dataclass(frozen=True)
class _Pair:
    """A forecast that is sure of the limits, but not whether float32 or 8 bits is the faster."""

    forecast: Forecast


class ScreeningGauge:
    """Predicts first, and measures what is not settled by that.

    Args:
        measuring: the gauge that is spared.
        predictor: of the same device and number of threads, fitted on measurements there.
        frame: that a network gets.
    """

    def __init__(self, measuring: MeasuringGauge, predictor: Predictor, frame: TimedFrame) -> None:
        self.targets = measuring.targets
        self._measuring = measuring
        self._predicting = PredictingGauge(measuring.targets, predictor, frame)

    def recall(self, files: Sequence[ExportedFile]) -> list[Answer | None]:
        """Return earlier measurements, or earlier forecasts that settle the case."""
        found = self._screened(files, self._predicting.recall(files))
        measured = self._measuring.recall(files, briefly=_compared(files, found))
        wrong = self._contradicted(files, found, measured)
        again = [file for file in files if file.architecture in wrong]
        whole = dict(zip(again, self._measuring.recall(again), strict=True))
        return [
            whole.get(file, own) or _forecast(one)
            for file, own, one in zip(files, measured, found, strict=True)
        ]

    def ask(self, files: Sequence[ExportedFile]) -> list[Answer]:
        """Predict all files, and measure those that stay open.

        Where a brief measurement is not as sure of the limits as the forecast, or says otherwise, all that
        was measured of its network is measured again in full, in turns.
        """
        found = self._screened(files, self._predicting.ask(files))
        open_files = [f for f, one in zip(files, found, strict=True) if not _forecast(one)]
        brief = _compared(files, found)
        answers = dict(zip(open_files, self._measuring.ask(open_files, briefly=brief), strict=True))
        wrong = self._contradicted(files, found, [answers.get(file) for file in files])
        again = [file for file in answers if file.architecture in wrong]
        answers.update(zip(again, self._measuring.ask(again), strict=True))
        return [_forecast(one) or answers[f] for f, one in zip(files, found, strict=True)]

    def _contradicted(
        self,
        files: Sequence[ExportedFile],
        found: Sequence[Forecast | _Pair | None],
        answers: Sequence[Answer | None],
    ) -> frozenset[str]:
        """Return the architectures of which a brief measurement does not say of the limits, and as surely,
        what the forecast said."""
        return frozenset(
            file.architecture
            for file, one, answer in zip(files, found, answers, strict=True)
            if isinstance(one, _Pair) and isinstance(answer, Measurement)
            if any(_differ(target, one.forecast, answer) for target in self.targets)
        )

    def _screened(
        self, files: Sequence[ExportedFile], predicted: Sequence[Answer | None]
    ) -> list[Forecast | _Pair | None]:
        """Return what settles each file; ``None`` of those that are open.

        What fits in any case is open while it is open whether it is slower than float32, which fits too.
        """
        settled = [self._settled(answer) for answer in predicted]
        plain = {
            file.architecture: place for place, file in enumerate(files) if file.scheme == "float32"
        }
        found: list[Forecast | _Pair | None] = list(settled)
        for place, file in enumerate(files):
            other = plain.get(file.architecture, place)
            own, float32 = settled[place], settled[other]
            if other == place or not (self._fits(own) and self._fits(float32)):
                continue
            if own is None or float32 is None or not is_order_settled(own, float32):
                found[place], found[other] = (one and _Pair(one) for one in (own, float32))
        return found

    def _fits(self, forecast: Forecast | None) -> bool:
        """Whether a network may fit on one target at least; what is not settled may."""
        return forecast is None or any(
            limit_failed(target, forecast) is None for target in self.targets
        )

    def _settled(self, answer: Answer | None) -> Forecast | None:
        if not isinstance(answer, Forecast):
            return None
        return answer if all(is_settled(target, answer) for target in self.targets) else None


def is_settled(target: Target, evidence: Evidence) -> bool:
    """Whether what is known decides for a target: it is sure on every latency limit, and memory, which is
    never predicted, is not limited or measured."""
    if target.memory_bytes is not None and not isinstance(evidence, Measurement):
        return False
    if not target.latency:
        return False
    return all(
        not interval.low <= budget.limit_ms < interval.high
        for budget in target.latency
        for interval in [evidence.percentile(budget.percentile)]
    )


def _differ(target: Target, forecast: Forecast, measured: Measurement) -> bool:
    fits = limit_failed(target, forecast) is None
    return not is_settled(target, measured) or (limit_failed(target, measured) is None) != fits


def _forecast(one: Forecast | _Pair | None) -> Forecast | None:
    return one if isinstance(one, Forecast) else None


def _compared(
    files: Sequence[ExportedFile], found: Sequence[Forecast | _Pair | None]
) -> frozenset[ExportedFile]:
    return frozenset(f for f, one in zip(files, found, strict=True) if isinstance(one, _Pair))
