"""A run as pure numbers and words, apart from how it looks: everything that the report shows.

The templates and the charts read this and nothing else, so that what is said can be tested without
a browser. No part of it asks which task a run is of: words come from one table
(:mod:`automl.report.tasks`), and a part without anything to show is empty.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from automl.records import (
    Candidate,
    Claim,
    Forecast,
    Measurement,
    RunRecord,
    Split,
    SplitCounts,
    Target,
    TargetSelection,
    TrialResult,
)
from automl.report.answer import Answer, Outcome, build_answer, bundle_path, outcome_of
from automl.report.asked import AskedRate, build_asked_rate
from automl.report.audit import AuditView, build_audit
from automl.report.budgets import budget_of, percentile_of
from automl.report.candidate_row import listed_rows
from automl.report.candidates import CandidateRow, CandidateState, build_candidates
from automl.report.depth import DepthView, build_depth
from automl.report.legend import LegendEntry, build_legend
from automl.report.quality import QualityView, build_quality
from automl.report.results import (
    ClassTable,
    ConfusionView,
    MetricRow,
    build_classes,
    build_confusion,
    build_metrics,
)
from automl.report.samples import (
    Picture,
    SampleGroup,
    build_samples,
    each_once,
    pictures_of,
)
from automl.report.schemes import SchemesView, build_schemes
from automl.report.tasks import TaskWords, words_of
from automl.report.training import (
    Curve,
    TimeRow,
    WeightsRow,
    build_curves,
    build_times,
    build_trial_times,
    build_weights,
    drawn_trials,
    rank_trials,
)
from automl.units import format_size, plural

__all__ = ["Results", "TargetView", "View", "build_view"]

_MOST_ROWS = 300
"""Trained candidates of one end in the tables of all targets together, and trials in theirs: with them,
its pictures and its charts a page of a thousand trials has less than 3 MB."""
_FEWEST_ROWS = 50
"""The same of one target, however many there are."""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Results:
    """What the delivered file answered on the test images."""

    confusion: ConfusionView | None
    metrics: tuple[MetricRow, ...]
    classes: ClassTable | None
    curves: dict[str, Points]
    samples: tuple[SampleGroup, ...]
    legend: tuple[LegendEntry, ...]
    """Which colour stands for which class in the pictures."""

    @property
    def has_scores(self) -> bool:
        """Whether there is anything but samples to show."""
        return bool(self.confusion or self.metrics or self.classes)


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
    rate: AskedRate | None
    """Shown beside the claims, unless it is one of them."""
    asked: tuple[str, ...]
    """Every requirement in words, for when there are no claims yet."""
    measurement: Measurement | None
    parity: str
    artifact_sha256: str
    bundle: str
    runners_up: tuple[tuple[Candidate, Measurement], ...]
    candidates: tuple[CandidateRow, ...]
    listed: tuple[CandidateRow, ...]
    """Those in the table: after a long night not all of them."""
    states: tuple[tuple[CandidateState, int], ...]
    """How many candidates ended how, in the order of the states."""
    schemes: SchemesView
    depth: DepthView | None
    results: Results
    winner_trial: int
    forecast: Forecast | None = None
    """Of the winner, where nothing could be measured."""
    is_predicted: bool = False
    """Whether nothing was measured on the device, so that all latencies are predictions."""
    same_file_as: str = ""
    """An earlier target for which the same file was chosen: it shows the sample answers."""

    @property
    def latency_words(self) -> str:
        """What the axes of charts call it: ``latency`` or ``predicted latency``."""
        return "predicted latency" if self.is_predicted else "latency"


@dataclass(frozen=True)
class View:
    """The whole report."""

    record: RunRecord
    words: TaskWords
    outcome: Outcome
    headline: str
    targets: tuple[TargetView, ...]
    audit: AuditView
    quality: QualityView | None
    trials: tuple[TrialResult, ...]
    """By their score, best first; those without one last."""
    listed: tuple[TrialResult, ...]
    """Those in the table: after a long night the best."""
    curves: tuple[Curve, ...]
    curve_trials: int
    times: tuple[TimeRow, ...]
    trial_times: tuple[TimeRow, ...]
    weights: tuple[WeightsRow, ...]
    command: str

    def pictures(self) -> tuple[Picture, ...]:
        """Return every picture that the page shows, each once, the most important first."""
        wanted = [p for target in self.targets for p in pictures_of(target.results.samples)]
        if self.quality is not None:
            wanted.extend(suspect.picture for suspect in self.quality.shown)
        return each_once(wanted)


def build_view(record: RunRecord) -> View:
    """Return what the report of a run says."""
    words = words_of(record.spec.task)
    chosen = (
        {}
        if record.selection is None
        else {selection.target.name: selection for selection in record.selection.targets}
    )
    targets = _samples_once(
        tuple(
            _target(record, target, chosen.get(target.name), words)
            for target in record.spec.targets
        )
    )
    ranked = rank_trials(record)
    drawn = drawn_trials(ranked, {target.winner_trial for target in targets})
    outcome = _overall(targets)
    return View(
        record=record,
        words=words,
        outcome=outcome,
        headline=_headline(outcome, targets),
        targets=targets,
        audit=build_audit(record.data, words=words),
        quality=build_quality(record),
        trials=ranked,
        listed=ranked[:_MOST_ROWS],
        curves=tuple(point for trial in drawn for point in build_curves(trial)),
        curve_trials=len(drawn),
        times=build_times(record),
        trial_times=build_trial_times(record),
        weights=build_weights(record),
        command=f"automl run {shlex.quote(record.spec.source)}",
    )


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
    fitting = [target for target in targets if target.outcome is Outcome.FITS]
    fits, predicted = len(fitting), sum(target.is_predicted for target in fitting)
    aside = f" ({predicted} of them by prediction alone, which proves nothing)" if predicted else ""
    if fits == len(targets):
        return f"Each of the {fits} targets has a model that meets every requirement{aside}."
    verb = "has" if fits == 1 else "have"
    return (
        f"{fits} of {plural(len(targets), 'target')} {verb} a model that meets every requirement"
        f"{aside}."
    )


def _target(
    record: RunRecord, target: Target, chosen: TargetSelection | None, words: TaskWords
) -> TargetView:
    candidates = build_candidates(record, target, chosen)
    winner = None if chosen is None else chosen.winner
    winners = [row.trial for row in candidates if row.state is CandidateState.WINNER]
    return TargetView(
        name=target.name,
        device=target.device,
        outcome=outcome_of(chosen, record.spec),
        answer=build_answer(record, target, chosen),
        percentile=percentile_of(target),
        limit_ms=budget_of(target),
        claims=() if chosen is None else chosen.claims,
        rate=build_asked_rate(words.rate, record.spec, chosen),
        asked=_asked(record, target),
        measurement=None if chosen is None else chosen.measurement,
        parity=_parity(chosen, words),
        artifact_sha256="" if winner is None else winner.sha256,
        bundle="" if winner is None else bundle_path(record, target),
        runners_up=() if chosen is None else chosen.runners_up,
        candidates=candidates,
        listed=listed_rows(
            candidates, at_most=max(_FEWEST_ROWS, _MOST_ROWS // len(record.spec.targets))
        ),
        states=tuple(
            (state, count)
            for state in CandidateState
            if (count := sum(row.state is state for row in candidates))
        ),
        schemes=build_schemes(record, target),
        depth=build_depth(record, target, chosen, words=words),
        results=_results(record, chosen, words),
        winner_trial=winners[0] if winners else 0,
        forecast=None if chosen is None else chosen.forecast,
        is_predicted=_is_predicted(record, target),
    )


def _samples_once(targets: tuple[TargetView, ...]) -> tuple[TargetView, ...]:
    """Leave the answers of a file to the first target that it was chosen for."""
    first: dict[str, str] = {}
    views = []
    for target in targets:
        name = first.setdefault(target.artifact_sha256 or target.name, target.name)
        if name != target.name:
            results = replace(target.results, samples=())
            target = replace(target, results=results, same_file_as=name)
        views.append(target)
    return tuple(views)


def _is_predicted(record: RunRecord, target: Target) -> bool:
    return target.device not in record.plan.hosts and any(
        verdict.forecast is not None
        for verdict in record.plan.verdicts
        if verdict.target == target.name
    )


def _results(record: RunRecord, chosen: TargetSelection | None, words: TaskWords) -> Results:
    task, classes = record.spec.task, record.data.dataset.classes
    scores = None if chosen is None else chosen.test_scores
    return Results(
        confusion=None if scores is None else build_confusion(scores, classes, words=words),
        metrics=build_metrics(chosen, task=task, objective=record.spec.objective),
        classes=build_classes(chosen, classes, _test_counts(record), task=task, words=words),
        curves={} if scores is None else scores.curves,
        samples=() if chosen is None else build_samples(chosen.predictions, words=words),
        legend=build_legend(classes) if words.has_legend else (),
    )


def _test_counts(record: RunRecord) -> SplitCounts | None:
    """Return what the test split holds of each class, when it speaks of the same classes."""
    audit = record.data.audit
    if audit.classes != record.data.dataset.classes:
        return None
    return next((counts for counts in audit.counts if counts.split is Split.TEST), None)


def _asked(record: RunRecord, target: Target) -> tuple[str, ...]:
    budgets = (f"latency {b.percentile} <= {b.limit_ms:g} ms" for b in target.latency)
    sizes = (("size", target.size_bytes), ("memory", target.memory_bytes))
    limits = (f"{name} <= {format_size(size)}" for name, size in sizes if size is not None)
    metrics = (f"{r.key} {r.relation} {r.bound:g}" for r in record.spec.requirements)
    return (*budgets, *limits, *metrics)


def _parity(chosen: TargetSelection | None, words: TaskWords) -> str:
    if chosen is None or chosen.winner is None:
        return ""
    parity = chosen.winner.parity
    same = round(parity.agreement * parity.images)
    return (
        f"The delivered file gives the same answer as the trained network on {same:,} of "
        f"{plural(parity.images, 'validation image')}; the largest difference, as {words.parity}, "
        f"is {parity.max_difference:.2g}."
    )
