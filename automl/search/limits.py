"""Whether a file keeps a target's limits, by what is known of it: a measurement, or a prediction.

Both are judged by the same rule, and every sentence says which of the two it rests on.
"""

from __future__ import annotations

from automl.records import Evidence, Forecast, LatencyBudget, Measurement, Target, VerdictStatus
from automl.units import format_latency, format_size

__all__ = ["budget_clause", "describe_median", "judge_evidence", "limit_failed"]


def judge_evidence(target: Target, known: Evidence) -> tuple[VerdictStatus, str]:
    """Return whether a file keeps a target's limits by what is known of it, with the reason in numbers.

    It fits when the interval's upper end is within every limit, is out when the lower end is above one,
    and the case is unsure when an interval straddles a limit.
    """
    failed = limit_failed(target, known)
    if failed is not None and _is_in_doubt(failed[0], target, known):
        reason = f"{failed[1]}; other work disturbed it, so the final measurement decides"
        return VerdictStatus.UNSURE, reason
    if failed is not None:
        return failed
    unsure = _straddled(target, known)
    if unsure:
        return VerdictStatus.UNSURE, f"{'; '.join(unsure)}, {_who_decides(known)}"
    return VerdictStatus.FITS, _fits_reason(target, known)


def describe_median(known: Evidence) -> str:
    """Return the p50 as a sentence names it: ``2.70 ms``, or ``predicted 2.70 ms``."""
    source = "predicted " if isinstance(known, Forecast) else ""
    return f"{source}{format_latency(known.p50_ms.value)}"


def budget_clause(budget: LatencyBudget) -> str:
    """Return a latency limit as the report names it: ``latency p95 <= 10 ms``."""
    return f"latency {budget.percentile} <= {budget.limit_ms:g} ms"


def limit_failed(target: Target, known: Evidence) -> tuple[VerdictStatus, str] | None:
    """Return the first limit that is broken for sure, with the reason in numbers, or ``None``."""
    for budget in target.latency:
        interval = known.percentile(budget.percentile)
        if interval.low > budget.limit_ms:
            times = interval.value / budget.limit_ms
            is_early = isinstance(known, Measurement) and known.stopped_early
            early = " (measuring stopped early)" if is_early else ""
            return (
                VerdictStatus.TOO_SLOW,
                f"{budget_clause(budget)}: {_found(known, budget)}, "
                f"{times:.1f} times the budget{early}",
            )
    if target.size_bytes is not None and known.size_bytes > target.size_bytes:
        return (
            VerdictStatus.TOO_LARGE,
            f"size <= {format_size(target.size_bytes)}: the file has "
            f"{format_size(known.size_bytes)}",
        )
    memory = known.memory_bytes
    if target.memory_bytes is not None and memory is not None and memory > target.memory_bytes:
        took = "would take" if isinstance(known, Forecast) else "took"
        guess = " by prediction" if isinstance(known, Forecast) else ""
        return (
            VerdictStatus.TOO_MUCH_MEMORY,
            f"memory <= {format_size(target.memory_bytes)}: running it {took} "
            f"{format_size(memory)}{guess}",
        )
    return None


def _straddled(target: Target, known: Evidence) -> list[str]:
    """Return the limits that what is known neither holds nor breaks, with the numbers."""
    unsure = [
        f"{budget_clause(budget)}: {_found(known, budget)}"
        for budget in target.latency
        if known.percentile(budget.percentile).high > budget.limit_ms
    ]
    asks_memory = target.memory_bytes is not None and isinstance(known, Forecast)
    if asks_memory and known.memory_bytes is None:
        unsure.append(f"memory <= {format_size(target.memory_bytes or 0)}: nothing predicts it")
    return unsure


def _who_decides(known: Evidence) -> str:
    if isinstance(known, Forecast):
        return "so only a measurement on the device can decide"
    return "so the final measurement decides"


def _is_in_doubt(status: VerdictStatus, target: Target, known: Evidence) -> bool:
    """Whether a network is only too slow because its thread waited: its own time would fit."""
    return (
        status is VerdictStatus.TOO_SLOW
        and isinstance(known, Measurement)
        and known.is_disturbed
        and all(known.cpu_ms <= budget.limit_ms for budget in target.latency)
    )


def _fits_reason(target: Target, known: Evidence) -> str:
    parts = [f"{budget_clause(b)}: {_found(known, b)}" for b in target.latency]
    if target.size_bytes is not None:
        parts.append(f"size <= {format_size(target.size_bytes)}: {format_size(known.size_bytes)}")
    return "; ".join(parts) or "no limit was asked"


def _found(known: Evidence, budget: LatencyBudget) -> str:
    """Return ``measured 5.00 ms (4.75 ms to 5.25 ms)``."""
    interval = known.percentile(budget.percentile)
    source = "predicted" if isinstance(known, Forecast) else "measured"
    return (
        f"{source} {format_latency(interval.value)} "
        f"({format_latency(interval.low)} to {format_latency(interval.high)})"
    )
