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

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.hardware.prediction.expectation import Rates, expected_us
from automl.hardware.prediction.kinds import KINDS
from automl.hardware.prediction.operators import Operator

__all__ = [
    "Hyperparameters",
    "OperatorTable",
    "Posterior",
    "condition",
    "hyperparameters",
    "kernel_key",
    "own_kernel",
]

Array = NDArray[np.float64]
_WITH_MACS = ("pointwise", "convolution", "grouped", "depthwise", "matrix")


class OperatorTable:
    """The distinct operators of several networks, and how often each network has them."""

    def __init__(self, networks: Sequence[Sequence[Operator]]) -> None:
        places: dict[tuple[object, ...], int] = {}
        self.distinct: list[Operator] = []
        entries: list[tuple[int, int]] = []
        for row, operators in enumerate(networks):
            for operator in operators:
                key = _identity(operator)
                if key not in places:
                    places[key] = len(self.distinct)
                    self.distinct.append(operator)
                entries.append((row, places[key]))
        self.counts = np.zeros((len(networks), len(self.distinct)))
        """``(networks, operators)``."""
        for row, column in entries:
            self.counts[row, column] += 1
        self.kinds = np.array([2 * KINDS.index(o.kind) + o.is_int8 for o in self.distinct])
        self.with_macs = np.array([o.kind in _WITH_MACS for o in self.distinct])
        self.shapes = np.log2(
            np.array([_shape(o) for o in self.distinct], dtype=np.float64).reshape(-1, 5)
        )
        """``(operators, 5)``: channels in and out, places, window, shrinking, as powers of two."""

    def weights(self, rates: Rates) -> Array:
        """Return ``(networks, operators)``: what each is expected to take in all, microseconds."""
        expected = np.array([expected_us(operator, rates) for operator in self.distinct])
        product: Array = self.counts * expected
        return product


def _identity(operator: Operator) -> tuple[object, ...]:
    return (
        operator.kind,
        operator.is_int8,
        operator.macs,
        operator.read_bytes,
        operator.weight_bytes,
        operator.written_bytes,
        *_shape(operator),
    )


def _shape(operator: Operator) -> tuple[float, ...]:
    return (
        operator.in_channels,
        operator.out_channels,
        operator.places,
        operator.window,
        operator.shrinking,
    )


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


def hyperparameters(base: Rates) -> Iterator[Hyperparameters]:
    """Yield the beliefs that are compared: what they are about differs much between machines."""
    spreads = (
        (0.05, 0.1, 0.1),
        (0.05, 0.1, 0.3),
        (0.2, 0.3, 0.3),
        (0.05, 0.3, 0.3),
        (0.3, 0.3, 0.6),
    )
    for rates in base.variants():
        for spread, length, window in itertools.product(spreads, (2.0, 4.0), (1.0, 4.0)):
            yield Hyperparameters(rates, 0.3, *spread, length, window, 0.01)


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

    def predict(self, asked: OperatorTable) -> tuple[Array, Array]:
        """Return ``(networks,)`` latencies and their standard deviations, microseconds."""
        weights = asked.weights(self.beliefs.rates) * self.scale
        cross = _kernel(asked, self.table, self.beliefs)
        mean = weights.sum(1) + weights @ (cross @ self.pull)
        shared = weights @ cross @ self.carried.T
        own = np.einsum("no,op,np->n", weights, _kernel(asked, asked, self.beliefs), weights)
        solved = np.linalg.solve(self.factor, shared.T)
        spread = np.sqrt(np.maximum(own - (solved**2).sum(0), 0.0))
        return mean, spread


def condition(
    table: OperatorTable, measured_us: Array, beliefs: Hyperparameters, kernel: Array | None = None
) -> Posterior:
    """Return what ``(networks,)`` measured latencies teach.

    Args:
        kernel: of :func:`own_kernel`, when it was computed already.
    """
    weights = table.weights(beliefs.rates)
    scale = float(np.exp(np.median(np.log(measured_us / weights.sum(1)))))
    carried = weights * scale
    own = _kernel(table, table, beliefs) if kernel is None else kernel
    covariance = carried @ own @ carried.T + np.diag((beliefs.noise * measured_us) ** 2)
    rest = measured_us - carried.sum(1)
    factor = np.linalg.cholesky(covariance)
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


def kernel_key(beliefs: Hyperparameters) -> tuple[float, ...]:
    """Return what a kernel depends on beside the operators."""
    return (
        beliefs.spread_of_all,
        beliefs.spread_of_kind,
        beliefs.spread_of_shape,
        beliefs.spread_of_product,
        beliefs.length,
        beliefs.window_length,
    )


def own_kernel(table: OperatorTable, beliefs: Hyperparameters) -> Array:
    """Return ``(operators, operators)``: how alike the factors of a table's operators are."""
    return _kernel(table, table, beliefs)


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
