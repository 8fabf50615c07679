"""A run as pure numbers and words, apart from how it looks: everything that the report shows.

The templates and the charts read this and nothing else, so that what is said can be tested without
a browser.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass

from automl.records import (
    Candidate,
    Claim,
    Measurement,
    Prediction,
    RunRecord,
    Target,
    TargetSelection,
    TrialResult,
)
from automl.report.answer import Answer, Outcome, build_answer, bundle_path, outcome_of
from automl.report.audit import (
    AuditView,
    ConfusionView,
    build_audit,
    build_confusion,
    order_predictions,
)
from automl.report.candidates import (
    CandidateRow,
    CandidateState,
    budget_of,
    build_candidates,
    percentile_of,
)
from automl.report.schemes import SchemesView, build_schemes
from automl.units import format_size, plural

__all__ = ["Curve", "MetricRow", "TargetView", "TimeRow", "View", "WeightsRow", "build_view"]

MAX_CURVES = 60
"""Learning curves drawn: more lines cannot be told apart. The best trials are drawn."""
MAX_METRICS = 40
MAX_PREDICTIONS = 24


@dataclass(frozen=True)
class MetricRow:
    """One metric of the delivered file on the validation and on the test split."""

    name: str
    validation: float | None
    test: float | None


@dataclass(frozen=True)
class TargetView:
    """All that concerns one target."""

    name: str
    device: str
    outcome: Outcome
    answer: Answer
    percentile: str
    limit_ms: float | None
    claims: tuple[Claim, ...]
    asked: tuple[str, ...]
    """Every requirement in words, for when there are no claims yet."""
    measurement: Measurement | None
    parity: str
    artifact_sha256: str
    bundle: str
    runners_up: tuple[tuple[Candidate, Measurement], ...]
    candidates: tuple[CandidateRow, ...]
    states: tuple[tuple[CandidateState, int], ...]
    """How many candidates ended how, in the order of the states."""
    schemes: SchemesView
    metrics: tuple[MetricRow, ...]
    confusion: ConfusionView | None
    predictions: tuple[Prediction, ...]
    winner_trial: int


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


@dataclass(frozen=True)
class View:
    """The whole report."""

    record: RunRecord
    outcome: Outcome
    headline: str
    targets: tuple[TargetView, ...]
    audit: AuditView
    trials: tuple[TrialResult, ...]
    """By their score, best first; those without one last."""
    curves: tuple[Curve, ...]
    curve_trials: int
    times: tuple[TimeRow, ...]
    trial_times: tuple[TimeRow, ...]
    weights: tuple[WeightsRow, ...]
    command: str


def build_view(record: RunRecord) -> View:
    """Return what the report of a run says."""
    chosen = (
        {}
        if record.selection is None
        else {selection.target.name: selection for selection in record.selection.targets}
    )
    targets = tuple(
        _target(record, target, chosen.get(target.name)) for target in record.spec.targets
    )
    ranked = tuple(sorted(record.trials, key=_rank))
    drawn = _drawn(ranked, {target.winner_trial for target in targets})
    outcome = _overall(targets)
    return View(
        record=record,
        outcome=outcome,
        headline=_headline(outcome, targets),
        targets=targets,
        audit=build_audit(record.data),
        trials=ranked,
        curves=tuple(point for trial in drawn for point in _curve(trial)),
        curve_trials=len(drawn),
        times=_times({row.stage: row.seconds for row in record.stages}, record.seconds),
        trial_times=_trial_times(record),
        weights=_weights(record),
        command=f"automl run {shlex.quote(record.spec.source)}",
    )


def _rank(trial: TrialResult) -> tuple[float, int]:
    objective = trial.objective
    if objective is None or not math.isfinite(objective):
        return float("inf"), trial.number
    return -objective, trial.number


def _drawn(ranked: tuple[TrialResult, ...], winners: set[int]) -> list[TrialResult]:
    """Return the trials whose curves are drawn, winners among them, by their numbers."""
    with_epochs = [trial for trial in ranked if trial.epochs]
    with_epochs.sort(key=lambda trial: trial.number not in winners)
    return sorted(with_epochs[:MAX_CURVES], key=lambda trial: trial.number)


def _overall(targets: tuple[TargetView, ...]) -> Outcome:
    outcomes = {target.outcome for target in targets}
    if len(outcomes) == 1:
        return outcomes.pop()
    return Outcome.UNFINISHED if Outcome.UNFINISHED in outcomes else Outcome.PARTLY


def _headline(outcome: Outcome, targets: tuple[TargetView, ...]) -> str:
    if len(targets) == 1:
        return targets[0].answer.headline
    if outcome is Outcome.UNFINISHED:
        return "This run has not finished."
    fits = sum(target.outcome is Outcome.FITS for target in targets)
    if fits == len(targets):
        return f"Each of the {fits} targets has a model that meets every requirement."
    verb = "has" if fits == 1 else "have"
    return (
        f"{fits} of {plural(len(targets), 'target')} {verb} a model that meets every requirement."
    )


def _target(record: RunRecord, target: Target, chosen: TargetSelection | None) -> TargetView:
    candidates = build_candidates(record, target, chosen)
    winner = None if chosen is None else chosen.winner
    scores = None if chosen is None else chosen.test_scores
    winners = [row.trial for row in candidates if row.state is CandidateState.WINNER]
    return TargetView(
        name=target.name,
        device=target.device,
        outcome=outcome_of(chosen, record.spec.objective),
        answer=build_answer(record, target, chosen),
        percentile=percentile_of(target),
        limit_ms=budget_of(target),
        claims=() if chosen is None else chosen.claims,
        asked=_asked(record, target),
        measurement=None if chosen is None else chosen.measurement,
        parity=_parity(chosen),
        artifact_sha256="" if winner is None else winner.sha256,
        bundle="" if winner is None else bundle_path(record, target),
        runners_up=() if chosen is None else chosen.runners_up,
        candidates=candidates,
        states=tuple(
            (state, count)
            for state in CandidateState
            if (count := sum(row.state is state for row in candidates))
        ),
        schemes=build_schemes(record, target),
        metrics=_metrics(chosen),
        confusion=None if scores is None else build_confusion(scores, record.data.dataset.classes),
        predictions=() if chosen is None else order_predictions(chosen.predictions),
        winner_trial=winners[0] if winners else 0,
    )


def _asked(record: RunRecord, target: Target) -> tuple[str, ...]:
    budgets = (f"latency {b.percentile} <= {b.limit_ms:g} ms" for b in target.latency)
    sizes = (("size", target.size_bytes), ("memory", target.memory_bytes))
    limits = (f"{name} <= {format_size(size)}" for name, size in sizes if size is not None)
    metrics = (f"{r.key} {r.relation} {r.bound:g}" for r in record.spec.requirements)
    return (*budgets, *limits, *metrics)


def _parity(chosen: TargetSelection | None) -> str:
    if chosen is None or chosen.winner is None:
        return ""
    parity = chosen.winner.parity
    same = round(parity.agreement * parity.images)
    return (
        f"The delivered file gives the same answer as the trained network on {same:,} of "
        f"{plural(parity.images, 'validation image')}; the largest difference of a probability is "
        f"{parity.max_difference:.2g}."
    )


def _metrics(chosen: TargetSelection | None) -> tuple[MetricRow, ...]:
    if chosen is None or chosen.winner is None:
        return ()
    validation = chosen.winner.scores.values
    test = {} if chosen.test_scores is None else chosen.test_scores.values
    names = dict.fromkeys((*test, *validation))
    return tuple(MetricRow(n, validation.get(n), test.get(n)) for n in names)[:MAX_METRICS]


def _curve(trial: TrialResult) -> tuple[Curve, ...]:
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


def _times(seconds: dict[str, float], whole: float) -> tuple[TimeRow, ...]:
    known = sum(seconds.values())
    rest = whole - known
    if rest > 0.01 * whole:
        seconds = seconds | {"everything else": rest}
    total = max(whole, known) or 1.0
    return tuple(TimeRow(stage, value, value / total) for stage, value in seconds.items())


def _trial_times(record: RunRecord) -> tuple[TimeRow, ...]:
    sums: dict[str, float] = {}
    for trial in record.trials:
        for stage, seconds in trial.seconds.items():
            sums[stage] = sums.get(stage, 0.0) + seconds
    return _times(sums, sum(sums.values()))


def _weights(record: RunRecord) -> tuple[WeightsRow, ...]:
    """Group backbones by where their weights came from: what a trial found counts, not the plan."""
    loaded = {trial.architecture.backbone: trial.weights for trial in record.trials}
    sources: dict[str, dict[str, None]] = {}
    for planned in record.plan.architectures:
        backbone = planned.architecture.backbone
        sources.setdefault(loaded.get(backbone, planned.weights) or "", {})[backbone] = None
    return tuple(WeightsRow(source, tuple(names)) for source, names in sorted(sources.items()))
