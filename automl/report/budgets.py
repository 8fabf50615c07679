"""The latency budgets of a target, and which of them a drawing or a column is about: the first."""

from __future__ import annotations

from automl.records import Evidence, LatencyBudget, Target
from automl.records.spec import Percentile

__all__ = ["budget_of", "exceeded_budget", "percentile_of"]


def percentile_of(target: Target) -> Percentile:
    """Return the percentile that the target's first latency budget names, else ``p95``."""
    return target.latency[0].percentile if target.latency else "p95"


def budget_of(target: Target) -> float | None:
    """Return the limit of the target's first latency budget in milliseconds."""
    return target.latency[0].limit_ms if target.latency else None


def exceeded_budget(target: Target, known: Evidence | None) -> LatencyBudget:
    """Return the latency budget that a measurement or prediction is above, the first where none is.

    The target must have a budget.
    """
    return next(
        (
            budget
            for budget in target.latency
            if known is not None and known.percentile(budget.percentile).low > budget.limit_ms
        ),
        target.latency[0],
    )
