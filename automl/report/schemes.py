"""What each quantization scheme did to each network: time, size, score, and what it decided."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from automl import registry
from automl.records import Architecture, Artifact, Candidate, RunRecord, Target, Verdict
from automl.report.budgets import percentile_of
from automl.units import plural

__all__ = ["SchemeRow", "SchemesView", "build_scheme_rows", "build_schemes"]

_FLOAT = "float32"


@dataclass(frozen=True)
class SchemeRow:
    """One network under one scheme; score and drop of its best trial, on validation images."""

    network: str
    scheme: str
    latency_ms: float | None
    median_ms: float | None
    """The p50, which other work on the machine moves least."""
    speedup: float | None
    """Time of float32 divided by this one's; more than 1 is faster."""
    size_bytes: int | None
    score: float | None
    drop: float | None
    rejected: str
    details: tuple[tuple[str, str], ...]
    is_predicted: bool = False
    """Whether the latencies were predicted; else they were measured."""


@dataclass(frozen=True)
class SchemesView:
    """The rows, network by network, and one sentence for each scheme."""

    sentences: tuple[str, ...]
    rows: tuple[SchemeRow, ...]
    explanations: tuple[tuple[str, str], ...]
    """Each scheme of the rows with what it does, in plain words."""


def build_schemes(record: RunRecord, target: Target) -> SchemesView:
    """Return what every scheme did on one target, from plan-time latency and trained artifacts."""
    rows = tuple(row for _, row in build_scheme_rows(record, target))
    return SchemesView(_sentences(rows), rows, _explanations(rows))


def build_scheme_rows(
    record: RunRecord, target: Target
) -> tuple[tuple[Architecture, SchemeRow], ...]:
    """Return every candidate of a target with its row, in the order of the plan's networks."""
    verdicts = {v.candidate: v for v in record.plan.verdicts if v.target == target.name}
    best = _best_artifacts(record)
    candidates = dict.fromkeys((*verdicts, *best))
    order = {planned.architecture: i for i, planned in enumerate(record.plan.architectures)}
    ordered = sorted(candidates, key=lambda c: order.get(c.architecture, len(order)))
    return tuple((c.architecture, _row(record, target, c, verdicts, best.get(c))) for c in ordered)


def _best_artifacts(record: RunRecord) -> dict[Candidate, Artifact]:
    objective = record.spec.objective
    best: dict[Candidate, Artifact] = {}
    for trial in record.trials:
        for artifact in trial.artifacts:
            candidate = Candidate(trial.architecture, artifact.scheme)
            known = best.get(candidate)
            score = artifact.scores.values.get(objective, float("-inf"))
            if known is None or score > known.scores.values.get(objective, float("-inf")):
                best[candidate] = artifact
    return best


def _row(
    record: RunRecord,
    target: Target,
    candidate: Candidate,
    verdicts: dict[Candidate, Verdict],
    artifact: Artifact | None,
) -> SchemeRow:
    verdict = verdicts.get(candidate)
    own = _latency(verdict, target)
    base = _latency(verdicts.get(Candidate(candidate.architecture, _FLOAT)), target)
    size = None
    if verdict is not None and verdict.evidence is not None:
        size = verdict.evidence.size_bytes
    return SchemeRow(
        network=candidate.architecture.key,
        scheme=candidate.scheme,
        latency_ms=own,
        median_ms=_median(verdict),
        speedup=base / own if own and base and candidate.scheme != _FLOAT else None,
        size_bytes=size if artifact is None else artifact.size_bytes,
        score=None if artifact is None else artifact.scores.values.get(record.spec.objective),
        drop=None if artifact is None or candidate.scheme == _FLOAT else artifact.drop,
        rejected=_why_not(verdict, artifact) or _skipped(record, candidate),
        details=() if artifact is None else tuple(artifact.details.items()),
        is_predicted=verdict is not None and verdict.forecast is not None,
    )


def _latency(verdict: Verdict | None, target: Target) -> float | None:
    if verdict is None or verdict.evidence is None:
        return None
    return verdict.evidence.percentile(percentile_of(target)).value


def _median(verdict: Verdict | None) -> float | None:
    if verdict is None or verdict.evidence is None:
        return None
    return verdict.evidence.p50_ms.value


def _why_not(verdict: Verdict | None, artifact: Artifact | None) -> str:
    if artifact is not None and artifact.rejected:
        return artifact.rejected
    if verdict is not None and not verdict.status.is_feasible:
        return verdict.reason
    return ""


def _skipped(record: RunRecord, candidate: Candidate) -> str:
    """Return why no trial of the network made a file of the scheme."""
    return next(
        (
            trial.skipped[candidate.scheme]
            for trial in record.trials
            if trial.architecture == candidate.architecture and candidate.scheme in trial.skipped
        ),
        "",
    )


def _explanations(rows: tuple[SchemeRow, ...]) -> tuple[tuple[str, str], ...]:
    """Return what the schemes say of themselves; nothing of those that this version lacks."""
    known = registry.names("scheme")
    return tuple(
        (scheme, str(registry.load("scheme", scheme).explanation))
        for scheme in dict.fromkeys(row.scheme for row in rows)
        if scheme in known
    )


def _sentences(rows: tuple[SchemeRow, ...]) -> tuple[str, ...]:
    schemes = dict.fromkeys(row.scheme for row in rows if row.scheme != _FLOAT)
    return tuple(
        sentence
        for scheme in schemes
        if (sentence := _sentence(scheme, [row for row in rows if row.scheme == scheme]))
    )


def _sentence(scheme: str, rows: list[SchemeRow]) -> str:
    """Return e.g. ``int8-static was faster than float32 on 6 of 8 networks (median …) …``."""
    speedups = [row.speedup for row in rows if row.speedup is not None]
    drops = [row.drop for row in rows if row.drop is not None]
    parts = []
    if speedups:
        faster = sum(value > 1 for value in speedups)
        middle = statistics.median(speedups)
        where = f"faster than float32 on {faster} of {plural(len(speedups), 'network')}"
        if faster == 0:
            where = f"not faster than float32 on any of {plural(len(speedups), 'network')}"
        parts.append(f"was {where} (median {middle:.1f} times as fast)")
    if drops:
        worst = max(drops)
        cost = f"at most {100 * worst:.1f} points of score" if worst > 0 else "no score"
        parts.append(f"cost {cost} on {plural(len(drops), 'trained network')}")
    return f"{scheme} {' and '.join(parts)}." if parts else ""
