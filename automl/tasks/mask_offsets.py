"""How much each class of a mask must be favoured, so that areas are neither over- nor under-answered.

Training weighs rare classes up so that they are learnt at all, and then answers them too often. What
offset to each class's logit makes the areas overlap best is read off the validation images, once, after
training; it goes into the bias of the last layer, so that the graph stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl.data.truth import IGNORED
from automl.tasks.mask_scores import class_overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PixelSample", "choose_offsets"]

_TRIED = np.round(np.arange(-3.0, 3.01, 0.25), 2)
"""Offsets of a logit: a factor of 20 in the odds either way."""
_ROUNDS = 2
_MOST_NUMBERS = 4_000_000
_MOST_PIXELS = 1_000_000
"""Logits and pixels looked at, over all images: enough for a class of a thousandth of the pixels, and
a few seconds of work."""
_LEAST_GAIN = 0.002
"""Of the mean IoU: less may be chance."""


class PixelSample:
    """Logits and classes of pixels drawn at random from each of a number of images, the same anew."""

    def __init__(self, classes: int, images: int) -> None:
        """Make room for equal shares of ``images``."""
        self._each = max(1, min(_MOST_PIXELS, _MOST_NUMBERS // classes) // max(1, images))
        self._generator = np.random.default_rng(0)
        self._logits: list[NDArray[np.float32]] = []
        self._labels: list[NDArray[np.int64]] = []

    def add(self, logits: NDArray[np.float32], pixels: NDArray[np.uint8]) -> None:
        """Draw from one image: logits ``(C, H, W)`` and true classes ``(H, W)``."""
        known = np.flatnonzero(pixels.ravel() != IGNORED)
        if len(known) > self._each:
            known = self._generator.choice(known, self._each, replace=False)
        self._logits.append(logits.reshape(len(logits), -1)[:, known])
        self._labels.append(pixels.ravel()[known].astype(np.int64))

    def numbers(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return logits ``(C, n)`` and classes ``(n,)``."""
        return np.concatenate(self._logits, axis=1), np.concatenate(self._labels)


def choose_offsets(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return what to add to the logits of each class, ``(C,)``; zeros where nothing is gained.

    One class after another takes the offset with the best mean IoU, the others held, the rarest first
    (coordinate ascent). The most frequent class stays where it is: only differences matter.

    Args:
        logits: of each pixel, ``(C, n)``.
        labels: the true classes, ``(n,)``.
    """
    classes = len(logits)
    counts = np.bincount(labels, minlength=classes)
    present = np.flatnonzero(counts)
    offsets = np.zeros(classes, np.float32)
    if len(present) < 2:
        return offsets
    before = best = _mean_overlap(logits.argmax(axis=0), labels, classes)
    for _ in range(_ROUNDS):
        for label in present[np.argsort(counts[present], kind="stable")][:-1]:
            tried = _tried(logits, labels, offsets, int(label))
            best, _, offsets[label] = max([(best, -abs(offsets[label]), offsets[label]), *tried])
    return offsets if best - before > _LEAST_GAIN else np.zeros(classes, np.float32)


def _tried(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    offsets: NDArray[np.float32],
    label: int,
) -> list[tuple[float, float, float]]:
    """Return (mean IoU, -|offset|, offset) for each offset of one class against the best of the others."""
    others = logits + offsets[:, None]
    others[label] = -np.inf
    rival = others.argmax(axis=0)
    lead = others[rival, np.arange(len(rival))] - logits[label]
    return [
        (
            _mean_overlap(np.where(lead < offset, label, rival), labels, len(logits)),
            -abs(float(offset)),
            float(offset),
        )
        for offset in _TRIED
    ]


def _mean_overlap(answers: NDArray[np.intp], labels: NDArray[np.int64], classes: int) -> float:
    """Return the mean IoU of the classes that occur."""
    confusion = np.bincount(labels * classes + answers, minlength=classes * classes)
    confusion = confusion.reshape(classes, classes)
    return float(class_overlaps(confusion)[confusion.sum(axis=1) > 0].mean())
