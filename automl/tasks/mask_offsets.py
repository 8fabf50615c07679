"""How much each class of a mask must be favoured, so that areas are neither over- nor under-answered.

Training weighs rare classes up so that they are learnt at all, and then answers them too often. What
offset to each class's logit makes the areas overlap best is read off the validation images, once, after
training; it goes into the bias of the last layer, so that the graph stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl.data.truth import IGNORED
from automl.tasks.mask_scores import class_overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["choose_offsets"]

_TRIED = np.round(np.arange(-3.0, 3.01, 0.25), 2)
"""Offsets of a logit: a factor of 20 in the odds either way."""
_ROUNDS = 2
_MOST_NUMBERS = 12_000_000
"""Logits looked at, over all images and classes: enough for a class of a thousandth of the pixels."""
_LEAST_GAIN = 0.002
"""Of the mean IoU: less may be chance."""


def choose_offsets(
    logits: Sequence[NDArray[np.float32]], pixels: Sequence[NDArray[np.uint8]]
) -> NDArray[np.float32]:
    """Return what to add to the logits of each class, ``(C,)``; zeros where nothing is gained.

    One class after another takes the offset with the best mean IoU, the others held, the rarest first
    (coordinate ascent). The most frequent class stays where it is: only differences matter.

    Args:
        logits: of each image, ``(C, H, W)``.
        pixels: the true classes of each image, ``(H, W)``.
    """
    classes = logits[0].shape[0]
    step = max(1, int(np.ceil(sum(one.size for one in logits) / _MOST_NUMBERS)))
    scores = np.concatenate([one.reshape(classes, -1)[:, ::step] for one in logits], axis=1)
    truth = np.concatenate([one.ravel()[::step] for one in pixels])
    known = truth != IGNORED
    scores, truth = scores[:, known], truth[known].astype(np.int64)
    counts = np.bincount(truth, minlength=classes)[:classes]
    present = np.flatnonzero(counts)
    offsets = np.zeros(classes, np.float32)
    if len(present) < 2:
        return offsets
    order = present[np.argsort(counts[present], kind="stable")][:-1]
    before = best = _mean_overlap(scores, offsets, truth)
    for _ in range(_ROUNDS):
        for label in order:
            tried = [(best, -abs(float(offsets[label])), float(offsets[label]))]
            for offset in _TRIED:
                changed = offsets.copy()
                changed[label] = offset
                tried.append((_mean_overlap(scores, changed, truth), -abs(offset), float(offset)))
            best, _, offsets[label] = max(tried)
    return offsets if best - before > _LEAST_GAIN else np.zeros(classes, np.float32)


def _mean_overlap(
    scores: NDArray[np.float32], offsets: NDArray[np.float32], truth: NDArray[np.int64]
) -> float:
    """Return the mean IoU of the classes that occur."""
    classes = len(offsets)
    answers = (scores + offsets[:, None]).argmax(axis=0)
    confusion = np.bincount(truth * classes + answers, minlength=classes * classes)
    confusion = confusion.reshape(classes, classes)
    return float(class_overlaps(confusion)[confusion.sum(axis=1) > 0].mean())
