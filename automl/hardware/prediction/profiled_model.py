"""A device's latency model where the runtime's profile told what every operator took.

A network takes what its operators take together, less what profiling itself costs. Galleries of operators
add to what is known of single ones, and only to that. Intervals come from networks that were left out:
their operators were forgotten before they were asked about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automl.errors import AutomlError
from automl.hardware.prediction.latency_model import FEWEST_NETWORKS, conformal_stretch
from automl.hardware.prediction.operator_times import (
    Key,
    OperatorTimes,
    Settings,
    learn_operator_times,
)
from automl.hardware.prediction.operators import Operator, Profiled
from automl.records.measurement import Interval

__all__ = [
    "Doubt",
    "Fit",
    "Overhead",
    "ProfiledModel",
    "ProfiledNetwork",
    "find_fit",
    "fit_profiled",
]

Array = NDArray[np.float64]

_PARTS = 5
"""The networks are left out in so many parts."""
_RELATIVE = (0.02, 0.03, 0.05, 0.08)
"""Two measurements of one network differ by the first of these."""
_FIXED_US = (0.0, 25.0, 50.0, 100.0, 200.0, 400.0)


@dataclass(frozen=True)
class ProfiledNetwork:
    """One network that ran on the device."""

    name: str
    operators: tuple[Profiled, ...]
    p50_ms: float

    @property
    def is_int8(self) -> bool:
        """Whether it multiplies 8-bit numbers."""
        return _multiplies_int8(one.operator for one in self.operators)


@dataclass(frozen=True)
class Overhead:
    """What profiling costs: ``latency = sum of the operators - an_operator_us * operators``."""

    an_operator_us: float

    def off(self, total_us: float, operators: int) -> float:
        """Return the latency; profiling cannot have cost more than half of what was seen."""
        return max(total_us - self.an_operator_us * operators, 0.5 * total_us)

    def on(self, latency_us: float, operators: int) -> float:
        """Return what the profile says of a latency: the other way round."""
        return min(latency_us + self.an_operator_us * operators, 2.0 * latency_us)


@dataclass(frozen=True)
class Doubt:
    """By how much predictions are off beside what single operators leave open: what short networks take
    depends most on what the processor's caches hold when they begin."""

    relative: float
    fixed_us: float
    stretch: float = 1.0
    """So many standard deviations hold 95 % of the networks that were left out."""

    def factor(self, spread: float, value_us: float) -> float:
        """Return the factor, either way, that a prediction is off by at most in 95 % of all cases."""
        return math.exp(self.stretch * self.of(spread, value_us))

    def of(self, spread: float, value_us: float) -> float:
        """Return the standard deviation of the logarithm of a prediction.

        Args:
            spread: that operators leave open, relative.
            value_us: the prediction.
        """
        return math.hypot(spread, self.relative, self.fixed_us / max(value_us, 1.0))


@dataclass(frozen=True)
class Fit:
    """What takes long to find of a model and little to keep."""

    settings: tuple[tuple[Key, Settings], ...]
    overheads: tuple[Overhead, Overhead]
    """Of float32 and of 8-bit networks."""
    doubts: tuple[Doubt, Doubt]
    """Likewise."""
    left_out_error: float
    """Mean of ``|predicted - measured| / measured`` over networks left out of the fit."""


@dataclass(frozen=True)
class ProfiledModel:
    """What was learnt about one device, runtime and number of threads."""

    times: OperatorTimes
    fit: Fit

    @property
    def left_out_error(self) -> float:
        """Mean of ``|predicted - measured| / measured`` over networks left out of the fit."""
        return self.fit.left_out_error

    def predict(self, networks: Sequence[Sequence[Operator]]) -> tuple[Interval, ...]:
        """Return the median latency (p50) of each network with its 95 % interval, milliseconds."""
        return tuple(self._predict(operators) for operators in networks)

    def _predict(self, operators: Sequence[Operator]) -> Interval:
        scheme = int(_multiplies_int8(operators))
        total, spread = self.times.predict(operators)
        value_us = self.fit.overheads[scheme].off(total, len(operators))
        width = self.fit.doubts[scheme].factor(spread, value_us)
        value = value_us / 1e3
        return Interval(value, value / width, value * width)


def fit_profiled(
    networks: Sequence[ProfiledNetwork],
    galleries: Sequence[Sequence[Profiled]] = (),
    *,
    known: Fit | None = None,
) -> ProfiledModel:
    """Return the model that profiled networks teach.

    Args:
        galleries: timed operators that make up no usual network.
        known: what :func:`find_fit` found of all these earlier; without it this takes half a minute.

    Raises:
        AutomlError: with fewer than five networks, or latencies that are not above zero.
    """
    fit = find_fit(networks, galleries) if known is None else known
    timed = [*(_undisturbed(one, fit.overheads) for one in networks), *galleries]
    return ProfiledModel(learn_operator_times(timed, settings=dict(fit.settings)), fit)


def find_fit(
    networks: Sequence[ProfiledNetwork], galleries: Sequence[Sequence[Profiled]] = ()
) -> Fit:
    """Find how operators of each form vary, and how far networks that are left out are missed.

    Raises:
        AutomlError: with fewer than five networks, or latencies that are not above zero.
    """
    if len(networks) < FEWEST_NETWORKS:
        raise AutomlError(
            f"A device is calibrated with at least {FEWEST_NETWORKS} networks; got {len(networks)}."
        )
    if not all(math.isfinite(one.p50_ms) and one.p50_ms > 0 for one in networks):
        raise AutomlError(
            "Latencies are above zero; got one that is not. Measure the device again."
        )
    overheads = (_overhead(networks, False), _overhead(networks, True))
    timed = [_undisturbed(one, overheads) for one in networks]
    chosen = learn_operator_times([*timed, *galleries]).chosen
    misses, spreads, values_us = _left_out(networks, timed, galleries, chosen, overheads)
    is_int8 = np.array([one.is_int8 for one in networks])
    return Fit(
        settings=tuple(chosen.items()),
        overheads=overheads,
        doubts=(
            _doubt(misses, spreads, values_us, ~is_int8),
            _doubt(misses, spreads, values_us, is_int8),
        ),
        left_out_error=float(np.mean(np.abs(np.expm1(misses)))),
    )


def _doubt(misses: Array, spreads: Array, values_us: Array, alike: NDArray[np.bool_]) -> Doubt:
    """Return the doubt under which the misses of networks left out are most probable.

    Args:
        alike: networks of one precision; all count where these are too few to tell.
    """
    chosen = alike if alike.sum() >= FEWEST_NETWORKS else np.ones_like(alike)
    off, asked = misses[chosen], list(zip(spreads[chosen], values_us[chosen], strict=True))

    def claimed(doubt: Doubt) -> Array:
        return np.array([doubt.of(*one) for one in asked])

    def surprise(doubt: Doubt) -> float:
        sure = claimed(doubt)
        return float((0.5 * (off / sure) ** 2 + np.log(sure)).sum())

    best = min((Doubt(r, fixed) for r in _RELATIVE for fixed in _FIXED_US), key=surprise)
    return replace(best, stretch=conformal_stretch(np.abs(off) / claimed(best)))


def _overhead(networks: Sequence[ProfiledNetwork], is_int8: bool) -> Overhead:
    """Return what profiling cost, from networks whose latency was measured without it as well.

    It makes the sum of relative errors smallest: a weighted median, which a network that was disturbed
    while it was profiled does not move.
    """
    alike = [one for one in networks if one.is_int8 == is_int8] or list(networks)
    counts = np.array([len(one.operators) for one in alike], dtype=np.float64)
    measured = np.array([one.p50_ms * 1e3 for one in alike])
    extra = (np.array([_total_us(one.operators) for one in alike]) - measured) / counts
    order = np.argsort(extra)
    weights = np.cumsum((counts / measured)[order])
    middle = int(np.searchsorted(weights, weights[-1] / 2))
    return Overhead(max(0.0, float(extra[order][middle])))


def _undisturbed(
    network: ProfiledNetwork, overheads: tuple[Overhead, Overhead]
) -> tuple[Profiled, ...]:
    """Return a network's operators with the times that explain its latency.

    A profile is made at once, in one spell of a machine that others may use; the latency was measured in
    several. Where the two differ, operators took as much less or more.
    """
    rows = network.operators
    total_us = _total_us(rows)
    if total_us == 0:
        return rows
    wanted_us = overheads[network.is_int8].on(network.p50_ms * 1e3, len(rows))
    return tuple(replace(row, microseconds=row.microseconds * wanted_us / total_us) for row in rows)


def _left_out(
    networks: Sequence[ProfiledNetwork],
    timed: Sequence[Sequence[Profiled]],
    galleries: Sequence[Sequence[Profiled]],
    settings: Mapping[Key, Settings],
    overheads: tuple[Overhead, Overhead],
) -> tuple[Array, Array, Array]:
    """Return for each network the logarithm of predicted / measured, what operators leave open of it, and
    the prediction, microseconds.

    A network is left out with all its schemes and sizes: they share operators. Galleries stay: nobody asks
    about one.
    """
    families = list(dict.fromkeys(_family(one) for one in networks))
    misses, spreads, values_us = (np.zeros(len(networks)) for _ in range(3))
    for part in range(min(_PARTS, len(families))):
        forgotten = set(families[part::_PARTS])
        others = [
            rows for one, rows in zip(networks, timed, strict=True) if _family(one) not in forgotten
        ]
        known = learn_operator_times([*others, *galleries], settings=settings)
        for place, one in enumerate(networks):
            if _family(one) in forgotten:
                total, spreads[place] = known.predict([row.operator for row in one.operators])
                values_us[place] = overheads[one.is_int8].off(total, len(one.operators))
                misses[place] = math.log(values_us[place] / (one.p50_ms * 1e3))
    return misses, spreads, values_us


def _total_us(rows: Iterable[Profiled]) -> float:
    return sum(row.microseconds for row in rows)


def _multiplies_int8(operators: Iterable[Operator]) -> bool:
    return any(one.is_int8 and one.macs > 0 for one in operators)


def _family(network: ProfiledNetwork) -> str:
    return network.name.partition(".")[0].partition("-full-")[0]
