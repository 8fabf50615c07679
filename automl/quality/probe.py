"""A linear model on frozen features: quick enough to be fitted dozens of times, and hard to fool.

Decides how labels are predicted by a model that has not seen them: grouped cross-validation, so that
no tile of a sheet vouches for another tile of the same sheet.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["compress", "folds_by_group", "out_of_fold", "predict"]

_COMPONENTS = 256
_SPREAD = 10.0
"""Features are scaled to vectors of this length, at which the usual strength of the penalty (C = 1)
suits; C of 0.3 and 3 found as many wrong labels."""
_FOLDS = 5
_STEPS = 100
_TOLERANCE = 1e-3
_MOST_LEARNT = 2_000
"""A linear model gains little from more; drawn at random."""


def compress(sets: Sequence[NDArray[np.float32]], *, seed: int) -> tuple[NDArray[np.float32], ...]:
    """Return each set standardised and reduced to at most 256 principal components.

    Looks at no label, so that it may see images that are predicted later.
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    reduced = []
    for features in sets:
        plain = StandardScaler().fit_transform(features)
        some = plain[np.random.default_rng(seed).permutation(len(plain))[:_MOST_LEARNT]]
        most = min(_COMPONENTS, *some.shape)
        solver = "full" if most == min(some.shape) else "randomized"
        turned = PCA(most, svd_solver=solver, random_state=seed).fit(some).transform(plain)
        length = np.sqrt(np.square(turned).sum(axis=1).mean())
        reduced.append((turned * (_SPREAD / max(float(length), 1e-9))).astype(np.float32))
    return tuple(reduced)


def predict(
    sets: Sequence[NDArray[np.float32]],
    labels: NDArray[np.int64],
    learnt: NDArray[np.intp],
    asked: NDArray[np.intp],
    *,
    classes: int,
) -> NDArray[np.float64]:
    """Learn from some positions and return probabilities ``(asked, classes)`` for others.

    Those of the sets are averaged. A class that is not among the labels learnt gets none. Of more
    than 2,000 positions some are drawn, the same at every call.
    """
    from sklearn.linear_model import LogisticRegression

    learnt = np.random.default_rng(0).permutation(learnt)[:_MOST_LEARNT]
    probabilities = np.zeros((len(asked), classes))
    present = np.unique(labels[learnt])
    if len(present) == 1:
        probabilities[:, present[0]] = 1.0
        return probabilities
    for features in sets:
        model = LogisticRegression(C=1.0, tol=_TOLERANCE, max_iter=_STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that is not quite at its end will do
            model.fit(features[learnt], labels[learnt])
        probabilities[:, present] += model.predict_proba(features[asked]) / len(sets)
    return probabilities


def out_of_fold(
    sets: Sequence[NDArray[np.float32]],
    labels: NDArray[np.int64],
    fold: NDArray[np.intp],
    usable: NDArray[np.bool_],
    *,
    classes: int,
) -> NDArray[np.float64]:
    """Return probabilities ``(n, classes)``, each by a model that did not learn from its fold.

    Args:
        sets: features, each ``(n, D)``.
        labels: ``(n,)``.
        fold: ``(n,)`` from :func:`folds_by_group`; -1 is never learnt from, only asked.
        usable: ``(n,)`` whether to learn from it.
        classes: how many there are.
    """
    probabilities = np.zeros((len(labels), classes))
    for number in np.unique(fold):
        asked = np.flatnonzero(fold == number)
        learnt = np.flatnonzero((fold != number) & (fold >= 0) & usable)
        if len(learnt):
            probabilities[asked] = predict(sets, labels, learnt, asked, classes=classes)
    return probabilities


def folds_by_group(
    labels: NDArray[np.int64], groups: Sequence[str], *, seed: int
) -> NDArray[np.intp]:
    """Return a fold for each position, no group in two of them, the classes spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    names, number = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    fold = np.zeros(len(labels), np.intp)
    count = min(_FOLDS, len(names))
    if count < 2:
        return fold
    if len(names) == len(labels):
        return _spread(labels, count, seed)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer groups than folds: some lack them
        for place, (_, asked) in enumerate(splitter.split(labels, labels, number)):
            fold[asked] = place
    return fold


def _spread(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.intp]:
    """Return folds with as many of each class in every one; quick for any number of images."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), np.intp)
    fold[order] = np.arange(len(labels)) % count
    return fold
