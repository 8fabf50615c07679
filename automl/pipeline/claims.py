"""What a delivered model claims: one row for each thing that the spec asked, with how it was measured."""

from __future__ import annotations

from collections.abc import Sequence

from automl.records import Claim, LatencyBudget, Measurement, Requirement, Scores, Target
from automl.search.feasibility import budget_clause
from automl.units import format_latency, format_share, format_size

__all__ = ["state_claims"]

_UNKNOWN = "not known: the test images do not show it"
"""Of an objective that asks for images which the test split has none of, such as defects."""
_WORDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def state_claims(
    target: Target,
    measured: Measurement,
    requirements: Sequence[Requirement],
    scores: Scores,
    objective: str,
) -> tuple[Claim, ...]:
    """Return the claims of a winner: its limits, its required scores, and the objective.

    Args:
        measured: in a fresh process.
        scores: on the test split, by the delivered file.
    """
    claims = [_latency_claim(budget, measured) for budget in target.latency]
    if target.size_bytes is not None:
        claims.append(
            _bytes_claim("size", target.size_bytes, measured.size_bytes, "the delivered file")
        )
    if target.memory_bytes is not None and measured.memory_bytes is not None:
        how = "peak of a fresh process that loads and runs the file, less the bare interpreter"
        claims.append(_bytes_claim("memory", target.memory_bytes, measured.memory_bytes, how))
    tested = f"{scores.samples:,} test images, by the delivered file"
    claims.extend(_score_claim(requirement, scores, tested) for requirement in requirements)
    if all(requirement.key != objective for requirement in requirements):
        value = scores.values.get(objective)
        claims.append(
            Claim(
                requirement=f"objective {objective}",
                asked="as high as possible",
                got=_UNKNOWN if value is None else format_share(value),
                how=tested,
                holds=True,
            )
        )
    return tuple(claims)


def _latency_claim(budget: LatencyBudget, measured: Measurement) -> Claim:
    interval = measured.percentile(budget.percentile)
    threads = f"{measured.threads} thread{'s' if measured.threads != 1 else ''}"
    return Claim(
        requirement=budget_clause(budget),
        asked=f"at most {budget.limit_ms:g} ms",
        got=f"{format_latency(interval.value)} (95 % interval {format_latency(interval.low)} to "
        f"{format_latency(interval.high)})",
        how=f"measured on {measured.host.device} ({measured.host.cpu}), {threads}, "
        f"{measured.runs:,} runs in a fresh process, scope {measured.scope.value}",
        holds=interval.high <= budget.limit_ms,
    )


def _bytes_claim(what: str, limit_bytes: int, got_bytes: int, how: str) -> Claim:
    return Claim(
        requirement=f"{what} <= {format_size(limit_bytes)}",
        asked=f"at most {format_size(limit_bytes)}",
        got=format_size(got_bytes),
        how=how,
        holds=got_bytes <= limit_bytes,
    )


def _score_claim(requirement: Requirement, scores: Scores, how: str) -> Claim:
    value = scores.values.get(requirement.key)
    return Claim(
        requirement=f"{requirement.key} {requirement.relation} {requirement.bound:g}",
        asked=f"{_WORDS[requirement.relation]} {format_share(requirement.bound)}",
        got="could not be computed" if value is None else format_share(value),
        how=how,
        holds=value is not None and requirement.is_met_by(value),
    )
