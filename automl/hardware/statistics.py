"""Percentiles of a latency with distribution-free intervals, and when to stop measuring.

Latencies are skewed and have several modes, so no distribution is assumed: if ``B`` is the number
of runs below the true percentile, ``B`` is binomial, which bounds the percentile by two of the
sorted runs. Source: G. J. Hahn, W. Q. Meeker, "Statistical Intervals", Wiley 1991, section 5.2; H.
A. David, H. N. Nagaraja, "Order Statistics", 3rd ed., Wiley 2003, section 7.1. Runs count as
independent; a slow spell of the machine breaks that, which is why candidates are measured in turns
and winners again in another process.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from automl.records.measurement import Interval

__all__ = [
    "PERCENTILES",
    "cannot_fit",
    "order_bounds",
    "percentile_interval",
    "runs_for_upper_bound",
]

PERCENTILES: Mapping[str, float] = MappingProxyType(
    {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
)
CONFIDENCE = 0.95

_STOP_RUNS = 16
_STOP_CONFIDENCE = 0.998
"""Stricter than the intervals that are reported, since the question is asked again after every
block."""
_HOPELESS_RUNS = 3
_HOPELESS_FACTOR = 2.0


def percentile_interval(times_ms: Sequence[float] | NDArray[np.float64], share: float) -> Interval:
    """Return a percentile of ``(runs,)`` latencies with its 95 % interval, in milliseconds.

    With too few runs for a bound (:func:`runs_for_upper_bound`) the largest run stands for the
    upper and the smallest for the lower one: the interval then covers less than 95 %.

    Args:
        times_ms: one latency a run, in any order, milliseconds.
        share: the percentile as a fraction, e.g. 0.95.

    Raises:
        ValueError: when there are no runs or the share is not between 0 and 1.
    """
    ordered = np.sort(np.asarray(times_ms, dtype=np.float64))
    if ordered.size == 0:
        raise ValueError("A percentile needs at least one run; got none.")
    low, high = order_bounds(ordered.size, share)
    return Interval(
        value=float(np.quantile(ordered, share)),
        low=float(ordered[(low or 1) - 1]),
        high=float(ordered[(high or ordered.size) - 1]),
    )


@functools.lru_cache(maxsize=4096)
def order_bounds(
    runs: int, share: float, confidence: float = CONFIDENCE
) -> tuple[int | None, int | None]:
    """Return the ranks (from 1) of the sorted runs that bound a percentile, each tail alike.

    ``None`` where the runs are too few for a bound on that side.

    Raises:
        ValueError: when the share or the confidence is not between 0 and 1.
    """
    if not (0 < share < 1 and 0 < confidence < 1):
        raise ValueError(f"Shares lie between 0 and 1; got {share} and {confidence}.")
    tail = (1 - confidence) / 2
    below = np.cumsum(_binomial(runs, share))  # below[k] = P(B <= k)
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return low or None, high if high <= runs else None


def runs_for_upper_bound(share: float, confidence: float = CONFIDENCE) -> int:
    """Return how many runs a percentile's upper bound needs: 72 for p95, 368 for p99."""
    return math.ceil(math.log((1 - confidence) / 2) / math.log(share))


def cannot_fit(times_ms: Sequence[float], budgets: Sequence[tuple[str, float]]) -> bool:
    """Whether one of the budgets ``(percentile, limit in ms)`` can no longer be met.

    Sure after 3 runs when not one came within twice the limit. Otherwise after 16, when the lower
    bound of the percentile is above the limit in the earlier and in the later half of the runs
    alike: a single slow spell is not enough.
    """
    return any(_exceeds(times_ms, PERCENTILES[name], limit_ms) for name, limit_ms in budgets)


def _exceeds(times_ms: Sequence[float], share: float, limit_ms: float) -> bool:
    runs = len(times_ms)
    if runs >= _HOPELESS_RUNS and min(times_ms) > _HOPELESS_FACTOR * limit_ms:
        return True
    if runs < _STOP_RUNS:
        return False
    halves = (times_ms[: runs // 2], times_ms[runs // 2 :])
    return all(_low_bound(half, share) > limit_ms for half in halves)


def _low_bound(times_ms: Sequence[float], share: float) -> float:
    """Return what a percentile exceeds at high confidence, or 0 with too few runs."""
    rank, _ = order_bounds(len(times_ms), share, _STOP_CONFIDENCE)
    return 0.0 if rank is None else sorted(times_ms)[rank - 1]


def _binomial(runs: int, share: float) -> NDArray[np.float64]:
    """Return ``(runs + 1,)``: the probability of k successes in n trials, through logarithms."""
    counts = np.arange(runs + 1)
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, runs + 1)))))
    log_choose = log_factorial[runs] - log_factorial - log_factorial[::-1]
    logarithm = log_choose + counts * math.log(share) + (runs - counts) * math.log1p(-share)
    probability: NDArray[np.float64] = np.exp(logarithm)
    return probability
