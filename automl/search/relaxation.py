"""When nothing fits: how close it came, which limit binds, and the smallest change that would work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from automl.records import Candidate, Evidence, Forecast, Plan, Requirement, Target, Verdict
from automl.search.limits import budget_clause
from automl.search.selection import Contender
from automl.units import format_latency, format_size

__all__ = [
    "Shortfall",
    "limits_shortfall",
    "lost_shortfall",
    "plan_shortfall",
    "requirements_shortfall",
]

_MARGIN = 1.1
"""A relaxed limit leaves a tenth of room, because a later measurement will not be exactly this one's."""


@dataclass(frozen=True)
class Shortfall:
    """How far the best candidate is from the spec."""

    best_reached: str
    binding: str
    relaxation: str


@dataclass(frozen=True)
class _Need:
    clause: str
    ratio: float
    """Reached divided by allowed; above 1 the clause is missed."""
    reached: str
    change: str
    """What to write into the spec instead."""


def limits_shortfall(
    target: Target,
    known: Mapping[Candidate, Evidence],
    alternatives: Sequence[Verdict] = (),
) -> Shortfall:
    """Return the shortfall of the candidate that needs the smallest relaxation of the limits.

    Args:
        known: the candidates, with the best measurement there is of each, or a prediction.
        alternatives: verdicts under schemes that the spec does not allow.
    """
    if not known:
        return Shortfall(
            "nothing could be measured",
            "every candidate failed to export or to run",
            "choose another search.space",
        )
    needs = {candidate: _needs(target, one) for candidate, one in known.items()}
    best = min(needs, key=lambda candidate: max((n.ratio for n in needs[candidate]), default=0.0))
    missed = [need for need in needs[best] if need.ratio > 1.0]
    changes = " and ".join(need.change for need in missed)
    allowed = next((v for v in alternatives if v.status.is_feasible), None)
    if allowed is not None:
        scheme = f"allow {allowed.candidate.scheme} in quantization ({allowed.candidate.key} fits)"
        changes = f"{scheme}, or {changes}" if changes else scheme
    binding = max(needs[best], key=lambda need: need.ratio, default=None)
    return Shortfall(
        best_reached=f"{best.key}: " + ", ".join(need.reached for need in needs[best]),
        binding=binding.clause if binding is not None else "none",
        relaxation=changes or "run again: what was measured would fit",
    )


def plan_shortfall(target: Target, plan: Plan) -> Shortfall:
    """Return the shortfall on a target of a plan in which nothing fits."""
    known = {
        v.candidate: v.evidence
        for v in plan.verdicts
        if v.target == target.name and v.evidence is not None
    }
    if not known and target.name in plan.lost:
        return lost_shortfall(target, plan.lost[target.name])
    alternatives = tuple(v for v in plan.alternatives if v.target == target.name)
    return limits_shortfall(target, known, alternatives)


def lost_shortfall(target: Target, why: str) -> Shortfall:
    """Return the shortfall on a target whose device could not be asked any more."""
    return Shortfall(
        f"nothing could be measured: {why}",
        f"the device {target.device} answers",
        "see that it answers, and run again",
    )


def requirements_shortfall(
    requirements: Sequence[Requirement], ranked: Sequence[Contender]
) -> Shortfall:
    """Return the shortfall of the trained candidate that comes closest to the required scores."""
    best = min(ranked, key=lambda c: max(_gap(r, c) for r in requirements))
    missed = [r for r in requirements if _gap(r, best) > 0]
    worst = max(missed, key=lambda r: _gap(r, best), default=requirements[0])
    values = best.artifact.scores.values
    return Shortfall(
        best_reached=f"{best.candidate.key}: "
        + ", ".join(f"{r.key} {values.get(r.key, float('nan')):.4f}" for r in requirements),
        binding=f"{worst.key} {worst.relation} {worst.bound:g}",
        relaxation=" and ".join(
            f'require {r.key}: "{r.relation} {_toward(r, values.get(r.key, 0.0))}"' for r in missed
        )
        + ", or allow more: a longer search.time, a larger latency budget, more images",
    )


def _needs(target: Target, known: Evidence) -> list[_Need]:
    source = "predicted " if isinstance(known, Forecast) else ""
    needs = []
    for budget in target.latency:
        interval = known.percentile(budget.percentile)
        relaxed = _round_up(interval.high * _MARGIN)
        needs.append(
            _Need(
                budget_clause(budget),
                interval.high / budget.limit_ms,
                f"{source}{budget.percentile} {format_latency(interval.value)} "
                f"(upper bound {format_latency(interval.high)})",
                f"latency: {{{budget.percentile}: {relaxed:g}ms}}",
            )
        )
    if target.size_bytes is not None:
        relaxed = _round_up(known.size_bytes / 1e6)
        needs.append(
            _Need(
                f"size <= {format_size(target.size_bytes)}",
                known.size_bytes / target.size_bytes,
                format_size(known.size_bytes),
                f"size: {relaxed:g}MB",
            )
        )
    if target.memory_bytes is not None and known.memory_bytes is not None:
        relaxed = _round_up(known.memory_bytes * _MARGIN / 1e6)
        needs.append(
            _Need(
                f"memory <= {format_size(target.memory_bytes)}",
                known.memory_bytes / target.memory_bytes,
                f"{source}{format_size(known.memory_bytes)} of memory",
                f"memory: {relaxed:g}MB",
            )
        )
    return needs


def _round_up(value: float) -> float:
    """Return a value rounded up to two significant digits."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step) * step:.6g}")


def _gap(requirement: Requirement, contender: Contender) -> float:
    value = contender.artifact.scores.values.get(requirement.key)
    if value is None:
        return 1.0
    sign = 1.0 if requirement.relation in (">=", ">") else -1.0
    return sign * (requirement.bound - value)


def _toward(requirement: Requirement, value: float) -> float:
    """Return a bound that the value meets, to three digits."""
    if requirement.relation in (">=", ">"):
        return math.floor(value * 1000) / 1000
    return math.ceil(value * 1000) / 1000
