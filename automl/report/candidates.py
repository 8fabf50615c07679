"""Every candidate of one target as one row: what it scored, how fast it is, and why it lost.

The same rows feed the chart, its table twin and the filterable table, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator

from automl.records import (
    Artifact,
    Candidate,
    Evidence,
    Forecast,
    Reason,
    RunRecord,
    Target,
    TargetSelection,
    TrialResult,
    TrialStatus,
    Verdict,
    VerdictStatus,
)
from automl.report.budgets import exceeded_budget, percentile_of
from automl.report.candidate_row import (
    NOT_NEEDED,
    CandidateRow,
    CandidateState,
    mark_front,
    order_of,
)
from automl.units import format_size

__all__ = ["CandidateRow", "CandidateState", "build_candidates"]


def build_candidates(
    record: RunRecord, target: Target, chosen: TargetSelection | None
) -> tuple[CandidateRow, ...]:
    """Return every candidate of a target: the winner first, then by score, then by latency."""
    builder = _Builder(record, target, chosen)
    return mark_front(tuple(sorted(builder.rows(), key=order_of)))


class _Builder:
    """Joins verdicts, trials and reasons of one target; each candidate of a trial once."""

    def __init__(self, record: RunRecord, target: Target, chosen: TargetSelection | None) -> None:
        self.record = record
        self.chosen = chosen
        self.target = target
        self.percentile = percentile_of(target)
        self.verdicts = {v.candidate: v for v in record.plan.verdicts if v.target == target.name}
        self.trials = {trial.id: trial for trial in record.trials}
        self.artifacts = {
            (trial.id, artifact.scheme): artifact
            for trial in record.trials
            for artifact in trial.artifacts
        }
        self.final: dict[Candidate, Evidence] = {} if chosen is None else dict(chosen.runners_up)
        known = None if chosen is None else chosen.measurement or chosen.forecast
        if chosen is not None and chosen.candidate is not None and known is not None:
            self.final[chosen.candidate] = known
        self.seen: set[tuple[str | None, Candidate]] = set()
        self.ended: set[str] = set()

    def rows(self) -> Iterator[CandidateRow]:
        """Yield the winner, what the selection gives reasons for, then all that it leaves out."""
        chosen = self.chosen
        if chosen is not None:
            if chosen.winner is not None and chosen.candidate is not None:
                self.seen.add((chosen.trial_id, chosen.candidate))
                yield self._winner(chosen, chosen.winner, chosen.candidate)
            yield from self._explained(chosen.reasons)
        yield from self._left_out()

    def _explained(self, reasons: tuple[Reason, ...]) -> Iterator[CandidateRow]:
        """Yield a row a reason, but one for all schemes of a trial that made no file.

        A candidate that the plan set aside and that was made all the same, with another scheme of
        its network, is left for later: its files have a score.
        """
        made = {
            Candidate(t.architecture, a.scheme) for t in self.trials.values() for a in t.artifacts
        }
        for reason in reasons:
            key = (reason.trial_id, reason.candidate)
            trial = self.trials.get(reason.trial_id or "")
            if key in self.seen or (trial is None and reason.candidate in made):
                continue
            self.seen.add(key)
            if trial is None or trial.artifacts:
                yield self._reason(reason)
            elif trial.id not in self.ended:
                self.ended.add(trial.id)
                yield _ended(trial, reason.clause, reason.text)

    def _left_out(self) -> Iterator[CandidateRow]:
        judged = {candidate for _, candidate in self.seen}
        tried = {trial.architecture for trial in self.record.trials}
        for trial in self.record.trials:
            for artifact in trial.artifacts:
                candidate = Candidate(trial.architecture, artifact.scheme)
                judged.add(candidate)
                if (trial.id, candidate) not in self.seen:
                    yield self._undecided(trial, candidate, artifact)
            if not trial.artifacts and trial.id not in self.ended:
                text = trial.error or "others were better at the same epoch"
                if trial.rung == "glance" and trial.error is None:
                    text = (
                        "a glance: one epoch on small images, some of them, to see what it promises"
                    )
                yield _ended(trial, "training", text)
        for verdict in self.verdicts.values():
            is_open = verdict.status.is_feasible and verdict.candidate.architecture in tried
            if verdict.candidate not in judged and not is_open:
                yield self._verdict(verdict)

    def _winner(
        self, chosen: TargetSelection, artifact: Artifact, candidate: Candidate
    ) -> CandidateRow:
        return CandidateRow(
            trial=self._number(chosen.trial_id),
            architecture=candidate.architecture,
            scheme=candidate.scheme,
            score=self._score(artifact),
            latency_ms=self._latency(candidate),
            size_bytes=artifact.size_bytes,
            state=CandidateState.WINNER,
            status="",
            clause="",
            text=_chosen_text(chosen),
            is_predicted=self._is_predicted(candidate),
        )

    def _reason(self, reason: Reason) -> CandidateRow:
        artifact = self.artifacts.get((reason.trial_id or "", reason.candidate.scheme))
        verdict = self.verdicts.get(reason.candidate)
        latency = self._latency(reason.candidate)
        return CandidateRow(
            trial=self._number(reason.trial_id),
            architecture=reason.candidate.architecture,
            scheme=reason.candidate.scheme,
            score=reason.score if reason.score is not None else self._score(artifact),
            latency_ms=reason.latency_ms if latency is None else latency,
            size_bytes=_size(artifact, verdict),
            state=_state(reason, artifact),
            status="" if verdict is None else verdict.status.value,
            clause=reason.clause,
            text=reason.text,
            is_predicted=self._is_predicted(reason.candidate),
        )

    def _undecided(
        self, trial: TrialResult, candidate: Candidate, artifact: Artifact
    ) -> CandidateRow:
        verdict = self.verdicts.get(candidate)
        state, clause = CandidateState.WAITING, ""
        text = "Trained and exported; the choice has not been made."
        if artifact.rejected:
            state, clause, text = CandidateState.REJECTED, "quantization", artifact.rejected
        elif verdict is not None and not verdict.status.is_feasible:
            is_slower = verdict.status is VerdictStatus.SLOWER_THAN_FLOAT
            state = CandidateState.REJECTED if is_slower else CandidateState.MISSED
            clause, text = self._clause(verdict), verdict.reason
        return CandidateRow(
            trial=trial.number,
            architecture=candidate.architecture,
            scheme=candidate.scheme,
            score=self._score(artifact),
            latency_ms=self._latency(candidate),
            size_bytes=artifact.size_bytes,
            state=state,
            status="",
            clause=clause,
            text=text,
            is_predicted=self._is_predicted(candidate),
        )

    def _verdict(self, verdict: Verdict) -> CandidateRow:
        feasible = verdict.status.is_feasible
        return CandidateRow(
            trial=0,
            architecture=verdict.candidate.architecture,
            scheme=verdict.candidate.scheme,
            score=None,
            latency_ms=self._latency(verdict.candidate),
            size_bytes=_size(None, verdict),
            state=CandidateState.UNTRAINED,
            status=verdict.status.value,
            clause="not tried" if feasible else self._clause(verdict),
            text=f"{verdict.reason} No trial tried it." if feasible else verdict.reason,
            is_predicted=verdict.forecast is not None,
        )

    def _clause(self, verdict: Verdict) -> str:
        """Return the clause of the spec that a verdict stands for, as the spec says it."""
        target = self.target
        if verdict.status is VerdictStatus.TOO_SLOW and target.latency:
            budget = exceeded_budget(target, verdict.evidence)
            return f"latency {budget.percentile} <= {budget.limit_ms:g} ms"
        if verdict.status is VerdictStatus.TOO_LARGE and target.size_bytes is not None:
            return f"size <= {format_size(target.size_bytes)}"
        if verdict.status is VerdictStatus.TOO_MUCH_MEMORY and target.memory_bytes is not None:
            return f"memory <= {format_size(target.memory_bytes)}"
        return verdict.status.value.replace("-", " ")

    def _number(self, trial_id: str | None) -> int:
        trial = self.trials.get(trial_id or "")
        return 0 if trial is None else trial.number

    def _score(self, artifact: Artifact | None) -> float | None:
        return None if artifact is None else artifact.scores.values.get(self.record.spec.objective)

    def _evidence(self, candidate: Candidate) -> Evidence | None:
        known = self.final.get(candidate)
        verdict = self.verdicts.get(candidate)
        return verdict.evidence if known is None and verdict is not None else known

    def _latency(self, candidate: Candidate) -> float | None:
        known = self._evidence(candidate)
        return None if known is None else known.percentile(self.percentile).value

    def _is_predicted(self, candidate: Candidate) -> bool:
        return isinstance(self._evidence(candidate), Forecast)


def _chosen_text(chosen: TargetSelection) -> str:
    if chosen.forecast is None:
        return "Chosen: the best score among those that meet every requirement."
    keep = "keep" if all(c.holds for c in chosen.claims if not c.proven) else "may keep"
    return f"Chosen: the best score among those that, by prediction, {keep} every limit."


def _size(artifact: Artifact | None, verdict: Verdict | None) -> int | None:
    if artifact is not None:
        return artifact.size_bytes
    if verdict is None or verdict.evidence is None:
        return None
    return verdict.evidence.size_bytes


def _state(reason: Reason, artifact: Artifact | None) -> CandidateState:
    """Return how a candidate ended; ``artifact`` is what its trial made for the scheme, if it did."""
    if reason.stage == "plan" or reason.trial_id is None:
        return CandidateState.UNTRAINED
    if reason.stage == "quantization" and artifact is None:
        is_needed = not reason.text.startswith(NOT_NEEDED)
        return CandidateState.FAILED if is_needed else CandidateState.UNNEEDED
    if reason.stage == "quantization":
        return CandidateState.REJECTED
    is_outscored = reason.clause.startswith("objective")
    return CandidateState.OUTSCORED if is_outscored else CandidateState.MISSED


def _ended(trial: TrialResult, clause: str, text: str) -> CandidateRow:
    """Return the one row of a trial that made no file."""
    failed = trial.status is TrialStatus.FAILED
    return CandidateRow(
        trial=trial.number,
        architecture=trial.architecture,
        scheme="",
        score=trial.objective,
        latency_ms=None,
        size_bytes=None,
        state=CandidateState.FAILED if failed else CandidateState.STOPPED,
        status="",
        clause=clause,
        text=text,
    )
