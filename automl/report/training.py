"""What the trials cost and how they went: learning curves, where the time went, whose weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

from automl.records import RunRecord, TrialResult

__all__ = [
    "MAX_CURVES",
    "Curve",
    "TimeRow",
    "WeightsRow",
    "build_curves",
    "build_times",
    "build_trial_times",
    "build_weights",
    "drawn_trials",
    "rank_trials",
]

MAX_CURVES = 60
"""Learning curves drawn: more lines cannot be told apart. The best trials are drawn."""


@dataclass(frozen=True)
class Curve:
    """One point of a learning curve. A loss that is not a number is ``None``."""

    trial: int
    epoch: int
    train_loss: float | None
    val_loss: float | None
    score: float | None


@dataclass(frozen=True)
class TimeRow:
    """Wall time of a stage and its share of the whole, in [0, 1]."""

    stage: str
    seconds: float
    share: float


@dataclass(frozen=True)
class WeightsRow:
    """A source of pretrained weights (empty: none) and the backbones that have them from there."""

    source: str
    backbones: tuple[str, ...]


def rank_trials(record: RunRecord) -> tuple[TrialResult, ...]:
    """Return the trials by their score, best first; those without one last."""
    return tuple(sorted(record.trials, key=_rank))


def _rank(trial: TrialResult) -> tuple[float, int]:
    objective = trial.objective
    if objective is None or not math.isfinite(objective):
        return float("inf"), trial.number
    return -objective, trial.number


def drawn_trials(ranked: tuple[TrialResult, ...], winners: set[int]) -> list[TrialResult]:
    """Return the trials whose curves are drawn, winners among them, by their numbers.

    A single epoch is a point, not a curve: where no trial has more, nothing is drawn.
    """
    with_epochs = [trial for trial in ranked if trial.epochs and trial.rung == "train"]
    if all(len(trial.epochs) == 1 for trial in with_epochs):
        return []
    with_epochs.sort(key=lambda trial: trial.number not in winners)
    return sorted(with_epochs[:MAX_CURVES], key=lambda trial: trial.number)


def build_curves(trial: TrialResult) -> tuple[Curve, ...]:
    """Return the points of one trial."""
    return tuple(
        Curve(
            trial.number,
            epoch.number,
            _finite(epoch.train_loss),
            _finite(epoch.val_loss),
            _finite(epoch.val_score),
        )
        for epoch in trial.epochs
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def build_times(record: RunRecord) -> tuple[TimeRow, ...]:
    """Return the stages of the run."""
    return _times({row.stage: row.seconds for row in record.stages}, record.seconds)


def build_trial_times(record: RunRecord) -> tuple[TimeRow, ...]:
    """Return what all trials together spent on each of their stages."""
    sums: dict[str, float] = {}
    for trial in record.trials:
        for stage, seconds in trial.seconds.items():
            sums[stage] = sums.get(stage, 0.0) + seconds
    return _times(sums, sum(sums.values()))


def _times(seconds: dict[str, float], whole: float) -> tuple[TimeRow, ...]:
    known = sum(seconds.values())
    rest = whole - known
    if rest > 0.01 * whole:
        seconds = seconds | {"everything else": rest}
    total = max(whole, known) or 1.0
    return tuple(TimeRow(stage, value, value / total) for stage, value in seconds.items())


def build_weights(record: RunRecord) -> tuple[WeightsRow, ...]:
    """Group backbones by where their weights came from: what a trial found counts, not the plan."""
    loaded = {trial.architecture.backbone: trial.weights for trial in record.trials}
    sources: dict[str, dict[str, None]] = {}
    for planned in record.plan.architectures:
        backbone = planned.architecture.backbone
        sources.setdefault(loaded.get(backbone, planned.weights) or "", {})[backbone] = None
    return tuple(WeightsRow(source, tuple(names)) for source, names in sorted(sources.items()))
