"""Segmentation by limits on brightness: each range of gray levels is one class.

The brightness is smoothed first, or compared with that of the surroundings, which evens out uneven
light. What does best on the validation images is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from automl.data.truth import IGNORED, MaskTruth
from automl.predictor import Segmentation
from automl.quality.rules.base import RuleData, RuleSplit
from automl.quality.rules.measurements import brightness

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BrightnessLevels"]

_SMOOTHINGS = (0.0, 1.0, 2.0, 4.0)
"""Standard deviations of the Gaussian, pixels."""
_SURROUNDINGS = 16.0
_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How far rare classes are favoured: counts are divided by their class's share to this power."""
_MORE_RANGES = 1
"""There are at most so many ranges more than classes: a rule to be kept in mind."""
_BLUR_LEVELS = 3.0


@dataclass(frozen=True)
class _View:
    """What is looked at: a number in 0..255 for each pixel."""

    smoothing: float
    is_local: bool

    def levels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from scipy.ndimage import gaussian_filter

        gray = brightness(image)
        smooth = gaussian_filter(gray, self.smoothing) if self.smoothing else gray
        if self.is_local:
            smooth = 128.0 + smooth - gaussian_filter(gray, _SURROUNDINGS)
        levels: NDArray[np.uint8] = np.clip(np.round(smooth), 0, 255).astype(np.uint8)
        return levels

    def words(self) -> str:
        what = "its brightness (0 to 255"
        if self.smoothing:
            what += f", smoothed over about {2 * self.smoothing:.0f} pixels"
        if self.is_local:
            what += f", less that of the {2 * _SURROUNDINGS:.0f} pixels around, plus 128"
        return f"{what})"


_VIEWS = tuple(_View(smoothing, local) for local in (False, True) for smoothing in _SMOOTHINGS)


class BrightnessLevels:
    """A class for each range of gray levels."""

    name = "brightness-levels"
    side = 256
    most_train = 40

    def fit(self, data: RuleData) -> _FittedLevels | None:
        """Count the gray levels of each class, and give each level to the class it speaks for."""
        classes = len(data.classes)
        best: tuple[float, _FittedLevels] | None = None
        learnt, asked = _counts(data.train, classes), _counts(data.val, classes)
        for view, seen, judged in zip(_VIEWS, learnt, asked, strict=True):
            for power in _POWERS:
                table = _table(seen, power)
                score = _mean_iou(judged, table)
                if best is None or score > best[0]:
                    best = score, _FittedLevels(data.classes, view, table)
        return None if best is None else best[1]


@dataclass(frozen=True)
class _FittedLevels:
    classes: tuple[str, ...]
    view: _View
    table: NDArray[np.uint8]
    """``(256,)``: the class of each level."""

    @property
    def text(self) -> str:
        """The ranges in words."""
        ranges = list(_ranges(self.table))
        if len(ranges) == 1:
            return f"a pixel is always `{self.classes[ranges[0][0]]}`"
        parts = [f"`{self.classes[label]}` {_span(low, high)}" for label, low, high in ranges]
        return f"a pixel is, by {self.view.words()}: {', '.join(parts)}"

    def answer(self, image: NDArray[np.uint8]) -> Segmentation:
        """Return the class of each pixel."""
        return Segmentation(self.classes, self.table[self.view.levels(image)])


def _counts(images: RuleSplit, classes: int) -> NDArray[np.int64]:
    """Return ``(views, classes, 256)``: pixels of each level."""
    counts = np.zeros((len(_VIEWS), classes, 256), np.int64)
    for image, truth in images:
        if not isinstance(truth, MaskTruth):
            continue
        known = (truth.pixels != IGNORED) & (truth.pixels < classes)
        labels = truth.pixels[known].astype(np.int64) * 256
        for place, view in enumerate(_VIEWS):
            found = np.bincount(labels + view.levels(image)[known], minlength=classes * 256)
            counts[place] += found.reshape(classes, 256)
    return counts


def _table(counts: NDArray[np.int64], power: float) -> NDArray[np.uint8]:
    """Return the class that each level speaks for; ranges that matter least join a neighbour."""
    from scipy.ndimage import gaussian_filter1d

    shares = counts.sum(axis=1, keepdims=True) / max(int(counts.sum()), 1)
    weighted = counts / np.maximum(shares, 1e-6) ** power
    smooth = gaussian_filter1d(weighted, _BLUR_LEVELS, axis=1, mode="constant")
    table: NDArray[np.uint8] = smooth.argmax(axis=0).astype(np.uint8)
    seen = np.flatnonzero(counts.sum(axis=0))
    if len(seen):  # levels beyond those seen belong to the nearest that was
        table[: seen[0]], table[seen[-1] + 1 :] = table[seen[0]], table[seen[-1]]
    while len(ranges := list(_ranges(table))) > len(counts) + _MORE_RANGES:
        _, low, high = min(ranges, key=lambda one: weighted[one[0], one[1] : one[2]].sum())
        table[low:high] = table[low - 1] if low else table[high]
    return table


def _ranges(table: NDArray[np.uint8]) -> Iterator[tuple[int, int, int]]:
    """Yield class, first level, and the level after the last."""
    edges = [0, *(np.flatnonzero(np.diff(table)) + 1).tolist(), len(table)]
    for low, high in pairwise(edges):
        yield int(table[low]), low, high


def _span(low: int, high: int) -> str:
    if low == 0:
        return f"below {high}"
    return f"from {low}" if high == 256 else f"from {low} to {high - 1}"


def _mean_iou(counts: NDArray[np.int64], table: NDArray[np.uint8]) -> float:
    """Return the mean IoU over the classes that occur; the levels tell it exactly."""
    shares = []
    for label in range(len(counts)):
        own = int(counts[label].sum())
        if not own:
            continue
        answered = table == label
        right = int(counts[label, answered].sum())
        shares.append(right / (own + int(counts[:, answered].sum()) - right))
    return float(np.mean(shares)) if shares else 0.0
