"""Find images called good that are unlike the other good ones: defects among what is learnt as good.

A training set of good parts alone has one label, so no label speaks against another. What can be seen
is that an image lies apart: its distance to the others' features (Mahalanobis, as in Lee et al. 2018,
"A simple unified framework for detecting out-of-distribution samples"), in units of how much such
distances vary.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from automl.quality import probe
from automl.quality.units import Units
from automl.records import Dataset, LabelErrors, LabelSuspect, Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["find_odd_good_images"]

_LEAST = 20
_COMPONENTS = 16
"""Of the features; more would fit the noise of few images."""
_DOUBTED = 0.5


def find_odd_good_images(
    units: Units, dataset: Dataset, *, embedder: str, seed: int
) -> LabelErrors | None:
    """Return the images called good, in training and validation, that lie apart from the others.

    ``None`` with fewer than 20 of them.
    """
    started = time.monotonic()
    is_good = (units.labels == 0) & (units.splits(dataset) != Split.TEST)
    good = np.flatnonzero(is_good)
    if len(good) < _LEAST:
        return None
    sets = probe.compress(tuple(one[good] for one in units.sets), seed=seed)
    fold = probe.folds_by_group(
        np.zeros(len(good), np.int64), units.groups(dataset)[good].tolist(), seed=seed
    )
    doubts = np.mean([_doubts(one[:, :_COMPONENTS], fold) for one in sets], axis=0)
    order = [i for i in np.argsort(-doubts).tolist() if doubts[i] > _DOUBTED]
    suspects = tuple(
        LabelSuspect(
            path=dataset.samples[int(units.samples[good[i]])].path,
            given=units.classes[0],
            suggested=units.classes[1],
            doubt=float(doubts[i]),
            place=None,
        )
        for i in order
    )
    return LabelErrors(
        unit="images",
        checked=len(good),
        suspects=suspects,
        expected=float(len(suspects)),
        agreement=1.0 - len(suspects) / len(good),
        method=f"Distance of each good image from the others by {embedder}, in cross-validation by "
        "groups; one is doubted that hardly any good image would be so far away. Defects that look "
        "like good parts are not found so, and labels of images with a defect are not checked.",
        seconds=time.monotonic() - started,
    )


def _doubts(features: NDArray[np.float32], fold: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return ``(n,)``: 1 less the number of images expected to lie so far out by chance."""
    from scipy.stats import norm
    from sklearn.covariance import ledoit_wolf

    distances = np.zeros(len(features))
    for number in np.unique(fold):
        asked, learnt = fold == number, features[fold != number].astype(np.float64)
        if not len(learnt):
            return np.zeros(len(features))
        covariance, _ = ledoit_wolf(learnt)
        apart = features[asked] - learnt.mean(axis=0)
        squares = np.einsum("ij,jk,ik->i", apart, np.linalg.inv(covariance), apart)
        distances[asked] = np.log(np.maximum(squares, 1e-12))
    median = np.median(distances)
    spread = 1.4826 * np.median(np.abs(distances - median))
    tail = norm.sf((distances - median) / max(float(spread), 1e-9))
    doubts: NDArray[np.float64] = 1.0 - np.minimum(tail * len(features), 1.0)
    return doubts
