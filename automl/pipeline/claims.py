"""What a delivered model claims: one row for each thing that the spec asked, with how it was found out.

A limit on a device that could only be predicted is claimed as predicted, is not proven, and says what to
run to prove it.
"""

from __future__ import annotations

from collections.abc import Sequence

from automl.records import (
    Claim,
    Evidence,
    Forecast,
    LatencyBudget,
    Measurement,
    Requirement,
    Scores,
    Target,
)
from automl.search.limits import budget_clause
from automl.units import format_latency, format_share, format_size

__all__ = ["state_claims"]

_UNKNOWN = "not known: the test images do not show it"
"""Of an objective that asks for images which the test split has none of, such as defects."""
_WORDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def state_claims(
    target: Target,
    known: Evidence,
    requirements: Sequence[Requirement],
    scores: Scores,
    objective: str,
) -> tuple[Claim, ...]:
    """Return the claims of a winner: its limits, its required scores, and the objective.

    Args:
        known: measured in a fresh process on the target's device, or predicted for it.
        scores: on the test split, by the delivered file.
    """
    claims = [_latency_claim(budget, known) for budget in target.latency]
    if target.size_bytes is not None:
        claims.append(
            _bytes_claim("size", target.size_bytes, known.size_bytes, "the delivered file")
        )
    if target.memory_bytes is not None:
        claims.extend(_memory_claims(target.memory_bytes, known))
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


def _latency_claim(budget: LatencyBudget, known: Evidence) -> Claim:
    interval = known.percentile(budget.percentile)
    source = "predicted " if isinstance(known, Forecast) else ""
    return Claim(
        requirement=budget_clause(budget),
        asked=f"at most {budget.limit_ms:g} ms",
        got=f"{source}{format_latency(interval.value)} (95 % interval "
        f"{format_latency(interval.low)} to {format_latency(interval.high)})",
        how=_predicted(known) if isinstance(known, Forecast) else _measured(known),
        holds=interval.high <= budget.limit_ms,
        proven=isinstance(known, Measurement),
    )


def _measured(known: Measurement) -> str:
    return (
        f"measured on {known.host.device} ({known.host.runs_on}), {_threads(known)}, "
        f"{known.runs:,} runs in a fresh process, scope {known.scope.value}"
    )


def _predicted(known: Forecast) -> str:
    return (
        f"predicted for {known.device}, {_threads(known)}, scope {known.scope.value}: "
        f"{known.explanation}; to prove it, start 'automl agent' on the device and run 'automl verify' "
        "on this bundle with --device http://DEVICE:8420"
    )


def _threads(known: Evidence) -> str:
    return f"{known.threads} thread{'s' if known.threads != 1 else ''}"


def _memory_claims(limit_bytes: int, known: Evidence) -> list[Claim]:
    """Return the claim on memory; none when a measurement could not find it out."""
    if isinstance(known, Measurement):
        how = "peak of a fresh process that loads and runs the file, less the bare interpreter"
        memory = known.memory_bytes
        return [] if memory is None else [_bytes_claim("memory", limit_bytes, memory, how)]
    limit = format_size(limit_bytes)
    memory = known.memory_bytes
    return [
        Claim(
            requirement=f"memory <= {limit}",
            asked=f"at most {limit}",
            got="not known" if memory is None else f"predicted {format_size(memory)}",
            how=_predicted(known),
            holds=memory is not None and memory <= limit_bytes,
            proven=False,
        )
    ]


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
