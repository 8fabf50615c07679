"""How long an operator takes, learnt from a few networks' latencies: a Gaussian process over operators.

A latency is the sum of what its operators take, and what an operator takes is a rough expectation
(:mod:`automl.hardware.prediction.expectation`) times an unknown factor that changes smoothly with its
shape. A Gaussian process over that factor makes sums of operators jointly normal, so ten latencies of
whole networks, or the times of single operators, teach it in closed form. Where nothing like an operator
was seen, the expectation stands, with a wide interval.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, chapters 2 and 5
(posterior, evidence, leave-one-out).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automl.hardware.prediction.expectation import Rates, prices
from automl.hardware.prediction.kinds import KINDS
from automl.hardware.prediction.operators import Operator

__all__ = ["Hyperparameters", "Kernels", "OperatorTable", "Posterior", "condition", "explain"]

Array = NDArray[np.float64]
_SPREAD_OF_ALL = 0.3
_GRID = 0.25
"""Shapes that differ by less than this many doublings count as one."""
_CLASSES = tuple((kind, is_int8) for kind in KINDS for is_int8 in (False, True))
_WITH_MACS = ("pointwise", "convolution", "grouped", "depthwise", "matrix")


class OperatorTable:
    """The operators of several networks, added up where they are of one kind and nearly one shape.

    Attributes:
        kinds: ``(cells,)``: kind and precision of each cell.
        shapes: ``(cells, 5)``: channels in and out, places, window and shrinking, as powers of two.
        macs: ``(networks, cells)``, multiply-accumulates.
        moved: ``(networks, cells)``, bytes read and written.
        held: ``(networks, cells)``, bytes of weights.
        count: ``(networks, cells)``, operators.
    """

    def __init__(self, networks: Sequence[Sequence[Operator]]) -> None:
        places: dict[tuple[object, ...], int] = {}
        rows = [
            [(places.setdefault(_cell(one), len(places)), one) for one in operators]
            for operators in networks
        ]
        cells = list(places)
        self.kinds = np.array([_CLASSES.index((c[0], c[1])) for c in cells], dtype=int)
        self.with_macs = np.array([c[0] in _WITH_MACS for c in cells], dtype=bool)
        self.shapes = np.array([c[2:] for c in cells], dtype=np.float64).reshape(-1, 5) * _GRID
        self.macs, self.moved, self.held, self.count = np.zeros((4, len(rows), len(cells)))
        for row, operators in enumerate(rows):
            for cell, one in operators:
                self.macs[row, cell] += one.macs
                self.moved[row, cell] += one.read_bytes + one.written_bytes
                self.held[row, cell] += one.weight_bytes
                self.count[row, cell] += 1

    def weights(self, rates: Rates) -> Array:
        """Return ``(networks, cells)``: what the operators are expected to take, microseconds."""
        every = [prices(kind, rates, is_int8=is_int8) for kind, is_int8 in _CLASSES]
        expected: Array = (
            self.macs * np.array([one.mac for one in every])[self.kinds]
            + self.moved * np.array([one.frame_byte for one in every])[self.kinds]
            + self.held * np.array([one.weight_byte for one in every])[self.kinds]
            + self.count * np.array([one.operator for one in every])[self.kinds]
        )
        return expected


def _cell(operator: Operator) -> tuple[object, ...]:
    shape = (
        operator.in_channels,
        operator.out_channels,
        operator.places,
        operator.window,
        operator.shrinking,
    )
    steps = (round(math.log2(max(one, 1)) / _GRID) for one in shape)
    return (operator.kind, operator.is_int8, *steps)


@dataclass(frozen=True)
class Hyperparameters:
    """What is believed before anything was measured. Spreads are relative: 0.3 is 30 %."""

    rates: Rates
    spread_of_all: float
    """Of a factor that all operators share."""
    spread_of_kind: float
    """Of a factor that operators of a kind share."""
    spread_of_shape: float
    """Of a factor that operators of a kind and a similar shape share."""
    spread_of_product: float
    """Of a factor that all operators with multiplications and a similar shape share."""
    length: float
    """Shapes are similar within this many doublings of channels and places."""
    window_length: float
    noise: float
    """Relative scatter of what is measured."""


OPTIONS: dict[str, tuple[float, ...]] = {
    "depthwise": (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0),
    "operator": (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0),
    "bytes": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    "spread_of_kind": (0.05, 0.1, 0.2, 0.4),
    "spread_of_shape": (0.05, 0.1, 0.2, 0.4, 0.8),
    "spread_of_product": (0.05, 0.1, 0.2, 0.4),
    "length": (1.5, 2.5, 4.0, 6.0),
    "window_length": (1.0, 2.0, 4.0),
    "noise": (0.005, 0.01, 0.02, 0.04, 0.08, 0.15),
}
"""What may be believed: depthwise convolutions' share of the dense rate, factors of the base's next two
rates, and the rest as it is. A processor of many cores multiplies hundreds of times faster than the base,
and begins an operator hardly faster: the options reach as far since the table of one was seen
(docs/measurements.md)."""
_START = {
    "spread_of_kind": 0.2,
    "spread_of_shape": 0.2,
    "spread_of_product": 0.2,
    "length": 2.5,
    "window_length": 2.0,
    "noise": 0.01,
}
_STARTS = tuple(
    {"depthwise": depthwise, "operator": operator, "bytes": moved} | _START
    for depthwise in (0.1, 0.4, 1.5)
    for operator, moved in ((1.0, 1.0), (300.0, 0.03))
)
_ROUNDS = 2


def explain(table: OperatorTable, measured_us: Array, base: Rates) -> list[Posterior]:
    """Return posteriors under many sets of beliefs, the best explanation of the measurements first.

    From several starts each belief in turn takes the value that makes the measurements most probable
    (coordinate ascent on the evidence).
    """
    kernels = Kernels()
    known: dict[tuple[float, ...], Posterior] = {}

    def look(chosen: dict[str, float]) -> Posterior:
        key = tuple(chosen.values())
        if key not in known:
            beliefs = _beliefs(chosen, base)
            kernel = kernels.of(table, table, beliefs)
            known[key] = condition(table, measured_us, beliefs, kernel)
        return known[key]

    for start in _STARTS:
        chosen = dict(start)
        for _ in range(_ROUNDS):
            for name, options in OPTIONS.items():
                best = max(options, key=lambda one: look(chosen | {name: one}).evidence)
                chosen[name] = best
    return sorted(known.values(), key=lambda one: -one.evidence)


def _beliefs(chosen: dict[str, float], base: Rates) -> Hyperparameters:
    rates = replace(
        base,
        depthwise_share=chosen["depthwise"],
        operator_us=base.operator_us * chosen["operator"],
        bytes_us=base.bytes_us * chosen["bytes"],
    )
    return Hyperparameters(
        rates, spread_of_all=_SPREAD_OF_ALL, **{name: chosen[name] for name in _START}
    )


class Kernels:
    """Kernels between two tables, computed once for all beliefs that agree on them."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Array] = {}

    def of(self, left: OperatorTable, right: OperatorTable, beliefs: Hyperparameters) -> Array:
        """Return ``(left cells, right cells)``: how alike the factors of their operators are."""
        key = (id(left), id(right), *_kernel_key(beliefs))
        if key not in self._known:
            self._known[key] = _kernel(left, right, beliefs)
        return self._known[key]


@dataclass(frozen=True)
class Posterior:
    """What measured networks teach under one set of beliefs."""

    beliefs: Hyperparameters
    table: OperatorTable
    scale: float
    """Of all expectations, so that they meet the measured latencies in the median."""
    pull: Array
    """``(operators,)``: what each operator of the table pulls on the factor of a similar one."""
    carried: Array
    """``(networks, operators)``: weights, scaled."""
    factor: Array
    """Cholesky factor of the covariance of what was measured, ``(networks, networks)``."""
    evidence: float
    """Logarithm of the probability of what was measured, up to a constant."""
    left_out: Array
    """``(networks,)``: prediction of each network from all others, microseconds."""
    left_out_spread: Array
    """``(networks,)``: standard deviation of that, microseconds."""

    def predict(self, asked: OperatorTable, kernels: Kernels) -> tuple[Array, Array]:
        """Return ``(networks,)`` latencies and their standard deviations, microseconds.

        Args:
            kernels: of the same ``asked``; many posteriors share them.
        """
        weights = asked.weights(self.beliefs.rates) * self.scale
        cross = kernels.of(asked, self.table, self.beliefs)
        mean = weights.sum(1) + weights @ (cross @ self.pull)
        shared = weights @ cross @ self.carried.T
        own = ((weights @ kernels.of(asked, asked, self.beliefs)) * weights).sum(1)
        solved = np.linalg.solve(self.factor, shared.T)
        spread = np.sqrt(np.maximum(own - (solved**2).sum(0), 0.0))
        return mean, spread


def condition(
    table: OperatorTable, measured_us: Array, beliefs: Hyperparameters, kernel: Array
) -> Posterior:
    """Return what ``(networks,)`` measured latencies teach; ``kernel`` is that of the table's cells."""
    weights = table.weights(beliefs.rates)
    scale = float(np.exp(np.median(np.log(measured_us / weights.sum(1)))))
    carried = weights * scale
    covariance = carried @ kernel @ carried.T + np.diag((beliefs.noise * measured_us) ** 2)
    rest = measured_us - carried.sum(1)
    factor: Array = np.linalg.cholesky(covariance).astype(np.float64)
    inverse = np.linalg.inv(covariance)
    solved = inverse @ rest
    relative = np.linalg.solve(factor, rest)
    evidence = -0.5 * relative @ relative - float(np.log(np.diag(factor) / measured_us).sum())
    spread = 1.0 / np.diag(inverse)
    return Posterior(
        beliefs=beliefs,
        table=table,
        scale=scale,
        pull=carried.T @ solved,
        carried=carried,
        factor=factor,
        evidence=float(evidence),
        left_out=measured_us - solved * spread,
        left_out_spread=np.sqrt(spread),
    )


def _kernel_key(beliefs: Hyperparameters) -> tuple[float, ...]:
    """Return what a kernel depends on beside the operators."""
    return (
        beliefs.spread_of_all,
        beliefs.spread_of_kind,
        beliefs.spread_of_shape,
        beliefs.spread_of_product,
        beliefs.length,
        beliefs.window_length,
    )


def _kernel(left: OperatorTable, right: OperatorTable, beliefs: Hyperparameters) -> Array:
    lengths = np.array([*[beliefs.length] * 3, beliefs.window_length, 1.0])
    a, b = left.shapes / lengths, right.shapes / lengths
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    near = np.exp(-0.5 * np.maximum(squares, 0.0))
    same = left.kinds[:, None] == right.kinds[None]
    products = left.with_macs[:, None] & right.with_macs[None]
    covariance: Array = (
        beliefs.spread_of_all**2
        + beliefs.spread_of_kind**2 * same
        + beliefs.spread_of_shape**2 * same * near
        + beliefs.spread_of_product**2 * products * near
    )
    return covariance
