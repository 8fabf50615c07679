"""Linear models on frozen features, fitted in a fraction of a second and set into networks as heads.

Decides which kinds are tried: ridge regression on the classes (closed form, its strength chosen by leaving
each image out, Allen 1974) and logistic regression at three strengths. With few images the first is
hard to spoil; with many the second is better. Classes count alike however rare, as in the training loss.
All is done in numpy and scikit-learn: nothing here knows a network.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["LinearHead", "best_head", "fit_heads", "neighbour_probabilities"]

_STRENGTHS = tuple(10.0**power for power in np.arange(-1.0, 5.1, 0.5))
"""Penalties of the ridge for standardised features; the best for 100 to 5,000 images lay within."""
_SHARPNESS = tuple(2.0**power for power in np.arange(0.0, 8.1, 0.5))
"""Factors that turn regression outputs (0 to 1) into logits; chosen by the likelihood of left-out images."""
_LOGISTIC_STRENGTHS = (0.03, 0.3, 3.0)
"""On sign_digits 0.1 was best at every depth, on paper_pass_fail 0.1 to 10."""
_LENGTH = 10.0
"""Features are scaled to vectors of about this length, at which a strength (C) of 1 suits."""
_STEPS = 60
_TOLERANCE = 1e-3
_MOST_LEARNT = 4_000
"""Images for the logistic regression, drawn evenly: more change little and take long."""
_NEIGHBOURS = 10
_TEMPERATURE = 0.07
"""Of the votes of neighbours, by the cosine (Wu et al. 2018, https://arxiv.org/abs/1805.01978, 3.4)."""


@dataclass(frozen=True)
class LinearHead:
    """A linear layer that was fitted: ``softmax(features @ weight.T + bias)``."""

    name: str
    """In words: ``ridge (strength 100)``."""
    weight: NDArray[np.float32]
    """``(classes, C)``."""
    bias: NDArray[np.float32]
    """``(classes,)``."""

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``(n, classes)`` for features ``(n, C)``."""
        return _softmax(features @ self.weight.T + self.bias)


def fit_heads(
    features: NDArray[np.float32], labels: NDArray[np.int64], *, classes: int
) -> Iterator[LinearHead]:
    """Yield a few linear models of features ``(n, C)`` with labels ``(n,)``, the simplest first."""
    centre = features.mean(axis=0)
    spread = features.std(axis=0)
    spread[spread < 1e-6 * max(1e-6, float(spread.max()))] = np.inf  # says nothing
    plain = ((features - centre) / spread).astype(np.float64)
    weights = _class_weights(labels, classes)
    ridge, intercept, strength = _fit_ridge(plain, labels, weights, classes)
    yield _unscaled(f"ridge (strength {strength:.3g})", ridge, intercept, centre, spread)
    if len(np.unique(labels)) < 2:
        return
    rows = np.linspace(0, len(labels) - 1, min(len(labels), _MOST_LEARNT)).astype(np.intp)
    scale = _LENGTH / np.sqrt(plain.shape[1])
    for c in _LOGISTIC_STRENGTHS:
        coefficients, intercept = _fit_logistic(
            plain[rows] * scale, labels[rows], weights[rows], c, classes
        )
        yield _unscaled(f"logistic (C {c:g})", coefficients * scale, intercept, centre, spread)


def best_head(
    heads: Iterator[LinearHead],
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    score: Callable[[NDArray[np.float32]], float],
) -> tuple[LinearHead, float]:
    """Return the head with the best score on validation features, and the score.

    Among equals the one with the greater likelihood wins, then the simpler.

    Args:
        heads: at least one.
        features: ``(n, C)`` of validation images.
        labels: ``(n,)``.
        score: of probabilities ``(n, classes)``; more is better.
    """
    best: tuple[float, float] | None = None
    chosen: LinearHead | None = None
    for head in heads:
        probabilities = head.probabilities(features)
        likelihood = np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
        reached = (score(probabilities), float(likelihood.mean()))
        if best is None or reached > best:
            best, chosen = reached, head
    if best is None or chosen is None:
        raise ValueError("There is no head to choose from; give at least one.")
    return chosen, best[0]


def neighbour_probabilities(
    known: NDArray[np.float32],
    labels: NDArray[np.int64],
    asked: NDArray[np.float32],
    *,
    classes: int,
) -> NDArray[np.float32]:
    """Return ``(n, classes)`` by the votes of the ten nearest of the known features, by their cosine."""
    near = min(_NEIGHBOURS, len(known))
    centre = known.mean(axis=0)
    learnt, wanted = _unit(known - centre), _unit(asked - centre)
    votes = np.full((len(asked), classes), 1e-6, np.float32)
    for start in range(0, len(asked), 256):
        cosine = wanted[start : start + 256] @ learnt.T
        places = np.argpartition(-cosine, near - 1, axis=1)[:, :near]
        strength = np.exp((np.take_along_axis(cosine, places, axis=1) - 1.0) / _TEMPERATURE)
        for row, (place, vote) in enumerate(zip(places, strength, strict=True), start):
            np.add.at(votes[row], labels[place], vote)
    return np.asarray(votes / votes.sum(axis=1, keepdims=True), np.float32)


def _class_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    weights: NDArray[np.float64] = len(labels) / (present * counts[labels].astype(np.float64))
    return weights


def _fit_ridge(
    plain: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return weights ``(classes, C)`` and biases of logits, and the strength that left-out images chose."""
    share = weights / weights.sum()
    root = np.sqrt(weights)[:, None]
    middle = share @ plain
    targets = np.eye(classes)[labels]
    base = share @ targets
    rows, wanted = root * (plain - middle), root * (targets - base)
    left, values, right = _thin_svd(rows)
    projected = left.T @ wanted
    best: tuple[float, float] | None = None
    for strength in _STRENGTHS:
        shrunk = values**2 / (values**2 + strength)
        fitted = left @ (shrunk[:, None] * projected)
        leverage = (left**2) @ shrunk + share
        residual = (wanted - fitted) / np.maximum(1.0 - leverage, 1e-6)[:, None]
        error = float((residual**2).sum())
        if best is None or error < best[0]:
            best = (error, strength)
            left_out = targets - residual / root
    assert best is not None  # there are strengths
    strength = best[1]
    solved = right.T @ ((values / (values**2 + strength))[:, None] * projected)
    sharpness = _best_sharpness(left_out, labels, weights)
    bias = base - middle @ solved
    return solved.T * sharpness, bias * sharpness, strength


def _thin_svd(
    rows: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the singular value decomposition through the smaller Gram matrix: quicker, exact enough."""
    if rows.shape[0] <= rows.shape[1]:
        squares, left = np.linalg.eigh(rows @ rows.T)
        kept = squares > 1e-9 * max(squares[-1], 1e-30)
        values, left = np.sqrt(squares[kept]), left[:, kept]
        return left, values, (left / values).T @ rows
    squares, right = np.linalg.eigh(rows.T @ rows)
    kept = squares > 1e-9 * max(squares[-1], 1e-30)
    values, right = np.sqrt(squares[kept]), right[:, kept]
    return rows @ (right / values), values, right.T


def _best_sharpness(
    outputs: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> float:
    """Return the factor under which outputs for left-out images, as logits, are most likely."""
    places = np.arange(len(labels))

    def loss(factor: float) -> float:
        chances = _softmax(outputs * factor)[places, labels]
        return -float((weights * np.log(np.maximum(chances, 1e-12))).sum())

    return float(min(_SHARPNESS, key=loss))


def _fit_logistic(
    plain: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    strength: float,
    classes: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, tol=_TOLERANCE, max_iter=_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that is not quite at its end will do
        model.fit(plain, labels, sample_weight=weights)
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row, for the second class against the first
        coefficients = np.concatenate([-coefficients, coefficients]) / 2.0
        intercept = np.concatenate([-intercept, intercept]) / 2.0
    weight = np.zeros((classes, plain.shape[1]))
    bias = np.full(classes, intercept.min() - 10.0)  # of a class without a training image
    weight[model.classes_] = coefficients
    bias[model.classes_] = intercept
    return weight, bias


def _unscaled(
    name: str,
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    centre: NDArray[np.float32],
    spread: NDArray[np.float32],
) -> LinearHead:
    """Return a model of standardised features as one of the features themselves."""
    own = weight / spread
    return LinearHead(name, own.astype(np.float32), (bias - own @ centre).astype(np.float32))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


def _softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)
