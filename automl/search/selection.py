"""Who may win on a target, in which order, and why every other candidate did not.

Pure decisions on records: measuring and judging artifacts is done by the caller, who asks
:func:`contenders`, measures the first of them again, and asks :func:`limit_missed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from automl.records import (
    Artifact,
    Candidate,
    Evidence,
    Forecast,
    Measurement,
    Plan,
    Reason,
    Requirement,
    Scores,
    Target,
    TrialResult,
    TrialStatus,
    Verdict,
    VerdictStatus,
    runs_for_bound,
)
from automl.search.limits import budget_clause, describe_median, judge_evidence
from automl.units import format_latency, format_size

__all__ = [
    "Contender",
    "choosing_requirements",
    "contenders",
    "forecast_missed",
    "limit_missed",
    "losing_reasons",
    "requirement_missed",
]


@dataclass(frozen=True)
class Contender:
    """One delivered file that may win: trained, not rejected, feasible on the target."""

    trial: TrialResult
    artifact: Artifact
    planned: Evidence | None
    """What planning measured or predicted; ``None`` for schemes that are known only after training."""
    score: float
    """The objective, by this file, on the validation split."""

    @property
    def candidate(self) -> Candidate:
        """Architecture and scheme."""
        return Candidate(self.trial.architecture, self.artifact.scheme)


def contenders(
    target: Target, plan: Plan, trials: Sequence[TrialResult], *, objective: str
) -> tuple[Contender, ...]:
    """Return who may win on a target, the best validation score first, the faster first among equals."""
    verdicts = {v.candidate: v for v in plan.verdicts if v.target == target.name}
    found = [
        Contender(
            trial,
            artifact,
            verdicts[candidate].evidence,
            artifact.scores.values[objective],
        )
        for trial in trials
        if trial.status is TrialStatus.FINISHED
        for artifact in trial.artifacts
        if artifact.rejected is None
        and (candidate := Candidate(trial.architecture, artifact.scheme)) in verdicts
        and verdicts[candidate].status.is_feasible
    ]
    return tuple(sorted(found, key=lambda c: (-c.score, _expected_ms(c), c.trial.number)))


def _expected_ms(contender: Contender) -> float:
    return contender.planned.p50_ms.value if contender.planned is not None else float("inf")


def limit_missed(target: Target, measured: Measurement) -> tuple[str, str] | None:
    """Return the first limit that a measurement does not prove, as (clause, sentence), or ``None``.

    A prediction proves nothing: see :func:`forecast_missed`.

    A latency passes only when the upper bound of its confidence interval is within the budget.
    """
    for budget in target.latency:
        interval = measured.percentile(budget.percentile)
        if not measured.has_bound(budget.percentile):
            needed = runs_for_bound(budget.percentile)
            return (
                budget_clause(budget),
                f"{measured.runs} runs in {measured.seconds:.0f} s are too few to bound "
                f"{budget.percentile}, which takes {needed}",
            )
        if interval.high > budget.limit_ms:
            return (
                budget_clause(budget),
                f"in a fresh process {budget.percentile} was {format_latency(interval.value)} with an "
                f"upper bound of {format_latency(interval.high)}, above {budget.limit_ms:g} ms",
            )
    if target.size_bytes is not None and measured.size_bytes > target.size_bytes:
        return (
            f"size <= {format_size(target.size_bytes)}",
            f"the file has {format_size(measured.size_bytes)}",
        )
    memory = measured.memory_bytes
    if target.memory_bytes is not None and memory is not None and memory > target.memory_bytes:
        return (
            f"memory <= {format_size(target.memory_bytes)}",
            f"a fresh process that ran it took {format_size(memory)}",
        )
    return None


def forecast_missed(target: Target, forecast: Forecast) -> tuple[str, str] | None:
    """Return the first limit that a prediction does not hold for sure, as (clause, sentence), or ``None``.

    A latency holds only when the upper end of its interval is within the budget.
    """
    status, reason = judge_evidence(target, forecast)
    if status is VerdictStatus.FITS:
        return None
    clause, _, sentence = reason.partition(": ")
    return clause, sentence


def choosing_requirements(
    requirements: Sequence[Requirement], scores: Scores
) -> tuple[Requirement, ...]:
    """Return the bounds that validation scores may be held against: those judged on real images."""
    return tuple(one for one in requirements if one.key not in scores.synthetic)


def requirement_missed(
    requirements: Sequence[Requirement], values: Mapping[str, float]
) -> tuple[str, str] | None:
    """Return the first bound that scores do not meet, as (clause, sentence), or ``None``."""
    for requirement in requirements:
        value = values.get(requirement.key)
        if value is None or not requirement.is_met_by(value):
            got = "could not be computed" if value is None else f"was {value:.4f}"
            return (
                f"{requirement.key} {requirement.relation} {requirement.bound:g}",
                f"{requirement.key} {got} on the validation images",
            )
    return None


def losing_reasons(
    target: Target,
    plan: Plan,
    trials: Sequence[TrialResult],
    *,
    winner: Contender | None,
    missed: Mapping[str, tuple[str, str]],
    objective: str,
) -> tuple[Reason, ...]:
    """Return why each candidate of the plan did not win on a target.

    Args:
        missed: by artifact SHA-256, the (clause, sentence) that ruled a contender out at the end.
    """
    by_architecture: dict[str, list[TrialResult]] = {}
    for trial in trials:
        by_architecture.setdefault(trial.architecture.key, []).append(trial)
    by_architecture = {key: _closest_looks(own) for key, own in by_architecture.items()}
    reasons: list[Reason] = []
    for verdict in plan.verdicts:
        if verdict.target != target.name:
            continue
        own = by_architecture.get(verdict.candidate.architecture.key, [])
        if not verdict.status.is_feasible:
            reasons.append(_planning_reason(verdict, target))
        elif not own:
            reasons.append(_untried_reason(verdict, target))
        else:
            reasons.extend(
                _trial_reason(verdict, target, trial, winner, missed, objective)
                for trial in own
                if not _is_winner(trial, verdict.candidate, winner)
            )
    return tuple(reasons)


def _closest_looks(trials: list[TrialResult]) -> list[TrialResult]:
    """Return the trials of one architecture that say most: glances only where there is nothing else."""
    closer = [trial for trial in trials if trial.rung != "glance"]
    return closer or trials[-1:]


def _is_winner(trial: TrialResult, candidate: Candidate, winner: Contender | None) -> bool:
    return winner is not None and trial.id == winner.trial.id and candidate == winner.candidate


_CLAUSES = {
    VerdictStatus.SLOWER_THAN_FLOAT: "quantization: faster than float32",
    VerdictStatus.FAILED: "can be made and run",
    VerdictStatus.NOT_EXAMINED: "search.time",
}


def _planning_reason(verdict: Verdict, target: Target) -> Reason:
    clause = _CLAUSES.get(verdict.status) or _limit_clause(verdict, target)
    return Reason(
        candidate=verdict.candidate,
        trial_id=None,
        stage="plan",
        clause=clause,
        text=verdict.reason,
        score=None,
        latency_ms=_latency_ms(verdict.evidence, target),
    )


def _limit_clause(verdict: Verdict, target: Target) -> str:
    if verdict.status is VerdictStatus.TOO_LARGE and target.size_bytes is not None:
        return f"size <= {format_size(target.size_bytes)}"
    if verdict.status is VerdictStatus.TOO_MUCH_MEMORY and target.memory_bytes is not None:
        return f"memory <= {format_size(target.memory_bytes)}"
    known = verdict.evidence
    for budget in target.latency:
        if known is None or known.percentile(budget.percentile).low > budget.limit_ms:
            return budget_clause(budget)
    return "limits of the target"


def _untried_reason(verdict: Verdict, target: Target) -> Reason:
    return Reason(
        candidate=verdict.candidate,
        trial_id=None,
        stage="training",
        clause="search.time, search.trials",
        text="fits, but the search ended before it was this network's turn",
        score=None,
        latency_ms=_latency_ms(verdict.evidence, target),
    )


def _trial_reason(
    verdict: Verdict,
    target: Target,
    trial: TrialResult,
    winner: Contender | None,
    missed: Mapping[str, tuple[str, str]],
    objective: str,
) -> Reason:
    candidate = verdict.candidate
    latency_ms = _latency_ms(verdict.evidence, target)
    if trial.status is not TrialStatus.FINISHED or trial.rung == "glance":
        clause, text = _unfinished(trial)
        return Reason(candidate, trial.id, "training", clause, text, trial.objective, latency_ms)
    artifact = next((a for a in trial.artifacts if a.scheme == candidate.scheme), None)
    if artifact is None:
        text = trial.skipped.get(candidate.scheme, "its file was not made in this trial")
        return Reason(candidate, trial.id, "quantization", candidate.scheme, text, None, latency_ms)
    score = artifact.scores.values[objective]
    if artifact.rejected is not None:
        return Reason(
            candidate,
            trial.id,
            "quantization",
            "quantization.max_drop" if artifact.drop > 0 else candidate.scheme,
            artifact.rejected,
            score,
            latency_ms,
        )
    if artifact.sha256 in missed:
        clause, text = missed[artifact.sha256]
        return Reason(candidate, trial.id, "selection", clause, text, score, latency_ms)
    text = "no winner was chosen"
    if winner is not None:
        text = _compared(score, verdict.evidence, winner)
    return Reason(
        candidate, trial.id, "selection", f"objective {objective}", text, score, latency_ms
    )


def _compared(score: float, known: Evidence | None, winner: Contender) -> str:
    if score < winner.score:
        return (
            f"scored {score:.4f} on the validation images, the winner {winner.score:.4f} "
            f"({winner.score - score:.4f} less)"
        )
    planned = winner.planned
    if known is not None and planned is not None and known.p50_ms.value > planned.p50_ms.value:
        return (
            f"scored the same ({score:.4f}) but is slower: p50 {describe_median(known)} against "
            f"{describe_median(planned)}"
        )
    return f"scored the same ({score:.4f}) as the winner, which was found first"


def _unfinished(trial: TrialResult) -> tuple[str, str]:
    if trial.status is TrialStatus.FAILED:
        return "the trial finishes", f"failed: {trial.error}"
    if trial.rung == "glance":
        score = f": it scored {trial.epochs[-1].val_score:.4f}" if trial.epochs else ""
        return (
            "search: a glance",
            f"trained for one epoch on small images, to see what it promises{score}. There was time to "
            "train only those that promised more",
        )
    if trial.skipped:
        return "search: files of the best only", next(iter(trial.skipped.values()))
    epochs = len(trial.epochs)
    return (
        "search: early stopping",
        f"stopped after epoch {epochs} of {trial.recipe.epochs}: others scored better by then",
    )


def _latency_ms(known: Evidence | None, target: Target) -> float | None:
    if known is None:
        return None
    percentile = target.latency[0].percentile if target.latency else "p50"
    return known.percentile(percentile).value
