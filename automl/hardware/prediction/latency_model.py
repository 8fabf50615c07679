"""A device's latency model: fitted on a few measured networks, asked about any other.

What to believe beforehand is not tuned by hand, unless the caller knows it: many sets of beliefs are
compared by how well they explain the measured networks, and the best answer together, weighted by that.
Intervals come from networks that were left out: how far the prediction of each from all others was off,
against how sure it claimed to be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.errors import AutomlError
from automl.hardware.prediction.expectation import GENERIC, Rates
from automl.hardware.prediction.gaussian_process import (
    Hyperparameters,
    Kernels,
    OperatorTable,
    Posterior,
    condition,
    explain,
)
from automl.hardware.prediction.operators import Operator
from automl.records.measurement import Interval

__all__ = ["FEWEST_NETWORKS", "LatencyModel", "conformal_stretch", "fit"]

FEWEST_NETWORKS = 5
"""With fewer, nothing could be said of how sure a prediction is."""
_TRUST_IN_EVIDENCE = 0.25
"""Ten networks say little about which beliefs are right, and the best of many explains by chance as well: its
lead counts for a quarter. Found on the published tables in docs/measurements.md."""
_ASKED_TOGETHER = 100
"""Sets of beliefs that answer; more change nothing."""
_CELLS_TOGETHER = 1_500
"""Operators whose likeness to one another is held in memory at once."""
_COVERAGE = 0.95
_NORMAL = 1.96
"""Standard deviations that hold 95 % of a normal distribution: never fewer, however well few networks met."""


@dataclass(frozen=True)
class LatencyModel:
    """What was learnt about one device, runtime and number of threads."""

    posteriors: tuple[Posterior, ...]
    weights: tuple[float, ...]
    """Of the posteriors' answers; they add up to 1."""
    stretch: float
    """By how much the claimed standard deviation is to be multiplied to hold the left-out networks."""
    left_out_error: float
    """Mean of ``|predicted - measured| / measured`` over networks left out of the fit."""

    def predict(self, networks: Sequence[Sequence[Operator]]) -> tuple[Interval, ...]:
        """Return the median latency (p50) of each network with its 95 % interval, milliseconds."""
        asked = OperatorTable(networks)
        if len(asked.kinds) > _CELLS_TOGETHER and len(networks) > 1:
            middle = len(networks) // 2
            return (*self.predict(networks[:middle]), *self.predict(networks[middle:]))
        kernels = Kernels()
        found = [posterior.predict(asked, kernels) for posterior in self.posteriors]
        mean = sum(w * m for w, (m, _) in zip(self.weights, found, strict=True))
        square = sum(
            w * (s**2 + (m - mean) ** 2) for w, (m, s) in zip(self.weights, found, strict=True)
        )
        return tuple(
            _interval(float(m), self.stretch * math.sqrt(float(s)))
            for m, s in zip(np.atleast_1d(mean), np.atleast_1d(square), strict=True)
        )


def fit(
    networks: Sequence[Sequence[Operator]],
    measured_ms: Sequence[float],
    *,
    base: Rates = GENERIC,
    beliefs: Hyperparameters | None = None,
) -> LatencyModel:
    """Return the model that measured networks teach.

    Args:
        networks: operators of each.
        measured_ms: median latency of each, milliseconds, in that order.
        base: what is expected of the device beforehand; only ratios matter.
        beliefs: to be held in place of the many that are compared; they have rates of their own.

    Raises:
        AutomlError: with fewer than five networks, or latencies that are not above zero.
    """
    if len(networks) < FEWEST_NETWORKS:
        raise AutomlError(
            f"A device is calibrated with at least {FEWEST_NETWORKS} networks; got {len(networks)}."
        )
    measured = np.asarray(measured_ms, dtype=np.float64) * 1e3
    if not (np.isfinite(measured).all() and (measured > 0).all()):
        raise AutomlError(
            "Latencies are above zero; got one that is not. Measure the device again."
        )
    table = OperatorTable(networks)
    if beliefs is None:
        compared = explain(table, measured, base)[:_ASKED_TOGETHER]
    else:
        compared = [condition(table, measured, beliefs, Kernels().of(table, table, beliefs))]
    evidence = np.array([one.evidence for one in compared])
    weights = np.exp(_TRUST_IN_EVIDENCE * (evidence - evidence.max()))
    weights /= weights.sum()
    left_out = sum(w * one.left_out for w, one in zip(weights, compared, strict=True))
    spread = np.sqrt(
        sum(
            w * (one.left_out_spread**2 + (one.left_out - left_out) ** 2)
            for w, one in zip(weights, compared, strict=True)
        )
    )
    off = np.abs(left_out - measured)
    return LatencyModel(
        posteriors=tuple(compared),
        weights=tuple(float(w) for w in weights),
        stretch=conformal_stretch(off / spread),
        left_out_error=float(np.mean(off / measured)),
    )


def conformal_stretch(misses: NDArray[np.float64]) -> float:
    """Return the number of standard deviations that holds 95 % of networks left out.

    The next network falls within the largest of n misses with probability n / (n + 1): with few
    networks that is less than 95 %, and the largest is taken (split conformal prediction; Vovk,
    Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005).
    """
    ordered = np.sort(misses)
    rank = min(len(ordered), math.ceil(_COVERAGE * (len(ordered) + 1)))
    return max(_NORMAL, float(ordered[rank - 1]))


def _interval(mean_us: float, half_us: float) -> Interval:
    """Return a prediction in milliseconds; a latency below a hundredth of it is not believed."""
    value = max(mean_us, 1.0) / 1e3
    return Interval(value, max(value * 0.01, value - half_us / 1e3), value + half_us / 1e3)
