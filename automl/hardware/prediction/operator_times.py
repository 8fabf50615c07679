"""What single operators take, learnt from the runtime's own profile of files that hold many of them.

Operators of one form (as the runtime names them) share a rough rule, a fixed cost and a cost for each
multiplication and byte, found by non-negative least squares; what shapes add to it is a Gaussian process
over the logarithm of the remaining factor. Where a form was hardly seen, all operators of its kind
stand in; where these are few, those of its kind in other numbers, or all there are.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, chapters 2 and 5; the
idea of adding up kernels: Zhang et al., "nn-Meter", MobiSys 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.hardware.prediction.operators import Operator, Profiled

__all__ = ["FormModel", "Key", "OperatorTimes", "Settings", "TimedOperator", "learn_operator_times"]

Array = NDArray[np.float64]
Key = tuple[str, str, bool]
"""Kind, form, whether its numbers have 8 bits."""

_SHORTEST_US = 0.3
"""The clock of a profile ticks in microseconds: 0 means less than one."""
_GRID = 4.0
"""Shapes that differ by less than a quarter of a doubling count as one."""
_FEWEST = 5
"""A form is learnt from at least so many operators."""
_MOST = 900
_MOST_TO_CHOOSE = 350
"""Operators of a form that are learnt from, and that choose how; more add time, not knowledge."""
_MOST_REPEATS = 4
_SAME = {"FusedConv": "Conv", "FusedGemm": "Gemm", "FusedMatMul": "MatMul"}
"""An activation that is merged costs next to nothing."""
_VECTOR_HALVINGS = 4
_ALWAYS_CACHED_BYTES = 2**17
"""So much stays near any core."""
_LENGTHS = (2.0, 3.0, 5.0, 8.0)
_SPREADS = (0.1, 0.2, 0.4, 0.8)
_NOISES = (0.05, 0.1, 0.2, 0.4)
_UNKNOWN_SPREAD = 0.7
"""Of the logarithm, for operators of a kind that nobody measured."""


@dataclass(frozen=True)
class Settings:
    """How a form's factor varies: over how many doublings of a shape, how far, with how much noise."""

    length: float
    spread: float
    noise: float


@dataclass(frozen=True)
class TimedOperator:
    """An operator of a network that ran."""

    operator: Operator
    microseconds: float
    network_bytes: int
    """Weights of the whole network: those of a small one stay in the processor's caches from one inference
    to the next."""


class FormModel:
    """What operators of one form take.

    Args:
        timed: operators of the form with their times.
        settings: how the factor varies; ``None``: what makes the times most probable.
    """

    def __init__(self, timed: Sequence[TimedOperator], settings: Settings | None = None) -> None:
        seen = np.array([one.microseconds for one in timed], dtype=np.float64)
        times = np.maximum(seen, _SHORTEST_US)
        parts = _parts([one.operator for one in timed])
        self._rule = _rule(parts, times)
        factors = np.log(times / self._by_rule(parts))
        self._middle = float(np.median(factors))
        self._shapes, self._factors, repeats = _merge(
            _features([(one.operator, one.network_bytes) for one in timed]), factors - self._middle
        )
        self._bounds = (float(self._factors.min()), float(self._factors.max()))
        self.settings = settings or _most_probable(self._shapes, self._factors, repeats)
        covariance = self._likeness(self._shapes) + np.diag(self.settings.noise**2 / repeats)
        self._inverse: Array = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
        self._pull: Array = self._inverse @ self._factors

    def predict(self, operators: Sequence[Operator], network_bytes: int) -> tuple[Array, Array]:
        """Return ``(operators,)`` times, microseconds, and the standard deviations of their logarithms.

        Args:
            operators: of one network.
            network_bytes: all weights of it.
        """
        cross = self._likeness(_features([(one, network_bytes) for one in operators]))
        factor = np.clip(cross @ self._pull, *self._bounds)
        known = ((cross @ self._inverse) * cross).sum(axis=1)
        spread = np.sqrt(np.maximum(self.settings.spread**2 - known, 0.0))
        return self._by_rule(_parts(operators)) * np.exp(self._middle + factor), spread

    def _by_rule(self, parts: Array) -> Array:
        return np.maximum(parts @ self._rule, _SHORTEST_US)

    def _likeness(self, shapes: Array) -> Array:
        settings = self.settings
        return settings.spread**2 * np.exp(
            -0.5 * _squares(shapes, self._shapes) / settings.length**2
        )


@dataclass(frozen=True)
class OperatorTimes:
    """What was learnt of the operators of one device and number of threads."""

    timed: Mapping[Key, tuple[TimedOperator, ...]]
    settings: Mapping[Key, Settings]
    """Found earlier on more operators; those without are chosen anew."""

    def predict(self, operators: Sequence[Operator]) -> tuple[float, float]:
        """Return what a network's operators take together, microseconds, and the relative standard deviation.

        The errors of one form are taken to go one way, those of different forms to be independent.
        """
        groups: dict[Key, list[Operator]] = {}
        for operator in operators:
            groups.setdefault(_key(operator), []).append(operator)
        weights = _weight_bytes(operators)
        total, variance = 0.0, 0.0
        for key, members in groups.items():
            times, spreads = self._model(key).predict(members, weights)
            if not self._is_known(key):
                spreads = np.maximum(spreads, _UNKNOWN_SPREAD)
            total += float(times.sum())
            variance += float((times * spreads).sum()) ** 2
        return total, math.sqrt(variance) / max(total, 1e-9)

    @cached_property
    def chosen(self) -> Mapping[Key, Settings]:
        """Return the settings of every form that was learnt: for learning it again without some files."""
        return {key: self._model(key).settings for key in self.timed if self._is_known(key)}

    @cached_property
    def _models(self) -> dict[Key, FormModel]:
        return {}

    def _model(self, key: Key) -> FormModel:
        """Return the model of a form, or of what stands in for it."""
        if key in self._models:
            return self._models[key]
        if self._is_known(key):
            self._models[key] = FormModel(self.timed[key], self.settings.get(key))
        else:
            self._models[key] = FormModel(self._stand_ins(key))
        return self._models[key]

    def _is_known(self, key: Key) -> bool:
        return len(self.timed.get(key, ())) >= _FEWEST

    def _stand_ins(self, key: Key) -> tuple[TimedOperator, ...]:
        """Return operators for a form that was hardly seen: the nearest group that is large enough."""
        kind, _, is_int8 = key
        groups = (self._gathered(*one) for one in ((kind, is_int8), (kind, None), ("", is_int8)))
        enough = next((rows for rows in groups if len(rows) >= _FEWEST), None)
        return enough or self._gathered("", None)

    def _gathered(self, kind: str, is_int8: bool | None) -> tuple[TimedOperator, ...]:
        """Return all operators of a kind, of any when it is empty, in numbers of 8 bits, others, or any."""
        return _thinned(
            [
                one
                for (known, _, bits), timed in self.timed.items()
                if kind in ("", known) and is_int8 in (None, bits)
                for one in timed
            ]
        )


def learn_operator_times(
    networks: Iterable[Sequence[Profiled]], *, settings: Mapping[Key, Settings] | None = None
) -> OperatorTimes:
    """Return what the timed operators of networks teach.

    Args:
        settings: of an earlier learning, to save the choice.
    """
    groups: dict[Key, list[TimedOperator]] = {}
    for rows in networks:
        weights = _weight_bytes([row.operator for row in rows])
        for row in rows:
            timed = TimedOperator(row.operator, row.microseconds, weights)
            groups.setdefault(_key(row.operator), []).append(timed)
    return OperatorTimes({key: _thinned(rows) for key, rows in groups.items()}, settings or {})


def _key(operator: Operator) -> Key:
    return (operator.kind, _SAME.get(operator.form, operator.form), operator.is_int8)


def _weight_bytes(operators: Iterable[Operator]) -> int:
    return sum(operator.weight_bytes for operator in operators)


def _thinned(rows: Sequence[TimedOperator]) -> tuple[TimedOperator, ...]:
    if len(rows) <= _MOST:
        return tuple(rows)
    places = np.linspace(0, len(rows) - 1, _MOST).astype(int)
    return tuple(rows[place] for place in places)


def _parts(operators: Sequence[Operator]) -> Array:
    """Return ``(operators, 4)``: one, multiplications, bytes, bytes of weights to multiply with."""
    rows = []
    for one in operators:
        moved, weights = one.read_bytes + one.written_bytes, one.weight_bytes
        known = (moved, weights) if one.macs else (moved + weights, 0)
        rows.append([1.0, one.macs, *known])
    return np.array(rows, dtype=np.float64)


def _features(operators: Sequence[tuple[Operator, int]]) -> Array:
    """Return ``(operators, 12)`` of operators with the weights of their networks, bytes: shapes as powers of
    two, a window twice as telling as a channel, and how often channels can be halved: vectors hold 16
    numbers, and what is left over is slow."""
    return np.array(
        [
            [
                _log(o.in_channels),
                _log(o.out_channels),
                _log(o.places),
                2 * _log(o.window),
                2 * _log(o.shrinking),
                _log(o.read_bytes),
                _log(o.written_bytes),
                _log(o.weight_bytes),
                _log(o.row),
                _halvings(o.in_channels),
                _halvings(o.out_channels),
                _log(max(network_bytes, _ALWAYS_CACHED_BYTES)),
            ]
            for o, network_bytes in operators
        ]
    )


def _halvings(channels: int) -> float:
    return (
        float(min((channels & -channels).bit_length() - 1, _VECTOR_HALVINGS)) if channels else 0.0
    )


def _log(value: float) -> float:
    return math.log2(max(value, 1.0))


def _rule(parts: Array, times: Array) -> Array:
    """Return non-negative costs of one operator, a multiplication and a byte; relative errors count."""
    from scipy.optimize import nnls

    scale = parts.max(0) + 1e-9
    costs, _ = nnls(parts / scale / times[:, None], np.ones(len(times)))
    rule: Array = costs / scale
    return rule


def _merge(shapes: Array, factors: Array) -> tuple[Array, Array, Array]:
    """Join operators of nearly one shape: their median factor, and how many they were."""
    groups: dict[tuple[float, ...], list[float]] = {}
    for shape, factor in zip(np.round(shapes * _GRID) / _GRID, factors, strict=True):
        groups.setdefault(tuple(shape), []).append(float(factor))
    repeats = [min(len(rows), _MOST_REPEATS) for rows in groups.values()]
    medians = [np.median(rows) for rows in groups.values()]
    return np.array(list(groups)), np.array(medians), np.array(repeats, dtype=np.float64)


def _most_probable(shapes: Array, factors: Array, repeats: Array) -> Settings:
    """Return the settings under which the factors are most probable (their evidence)."""
    if len(factors) > _MOST_TO_CHOOSE:
        some = np.linspace(0, len(factors) - 1, _MOST_TO_CHOOSE).astype(int)
        shapes, factors, repeats = shapes[some], factors[some], repeats[some]
    root = np.sqrt(repeats)
    squares = _squares(shapes, shapes)
    best, chosen = -math.inf, Settings(_LENGTHS[0], _SPREADS[0], _NOISES[0])
    for length in _LENGTHS:
        # One decomposition serves all spreads and noises: in units of the root of the repeats, noise is
        # the same for all.
        values, vectors = np.linalg.eigh(np.exp(-0.5 * squares / length**2) * np.outer(root, root))
        turned = (vectors.T @ (factors * root)) ** 2
        for spread in _SPREADS:
            for noise in _NOISES:
                variance = np.maximum(values, 0.0) * spread**2 + noise**2
                evidence = -0.5 * float((turned / variance + np.log(variance)).sum())
                if evidence > best:
                    best, chosen = evidence, Settings(length, spread, noise)
    return chosen


def _squares(left: Array, right: Array) -> Array:
    """Return ``(left, right)`` squared distances."""
    squares: Array = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    return np.maximum(squares, 0.0)
