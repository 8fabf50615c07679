"""How well masks match: overlap of areas and of outlines, gathered image by image in a few numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.truth import IGNORED, MaskTruth, Truth
from automl.predictor import Answer, Segmentation
from automl.records import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MaskScorer", "class_dice", "class_overlaps", "count_pixels", "outline"]

_TOLERANCE = 0.0075
"""Of the image's diagonal: how far an outline may be off (Csurka et al. 2013, "What is a good
evaluation measure for semantic segmentation?", section 3)."""


class MaskScorer:
    """Gathers a table of pixels and the outlines that match: a few numbers a class.

    Means are over the classes that occur in the truth. A class that does not occur in it, yet is
    answered, has an overlap of 0 of its own and lowers that of the classes it was taken for; one that is
    in neither has no overlap and no key. With no known pixel at all every mean is 0.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        count = len(self._classes)
        self._confusion = np.zeros((count, count), np.int64)
        self._outlines = np.zeros((count, 4), np.int64)
        """Of each class: answered pixels of the outline that match, all; true ones that match, all."""
        self._images = 0

    def add(self, answer: Answer, truth: Truth) -> None:
        """Take in the answer for one image; both at the same size."""
        if not isinstance(answer, Segmentation) or not isinstance(truth, MaskTruth):
            given = f"{type(answer).__name__} and {type(truth).__name__}"
            raise TypeError(f"Masks are scored against masks; got {given}.")
        known = truth.pixels != IGNORED
        answered, true = answer.mask, truth.pixels
        self._confusion += count_pixels(answered, true, classes=len(self._classes))
        tolerance = _TOLERANCE * math.hypot(*true.shape)
        for index in range(len(self._classes)):
            true_area = true == index
            self._outlines[index] += _matches(
                outline(answered == index) & known,
                # What borders on pixels that nobody knows is no outline.
                outline(true_area | ~known) & true_area,
                tolerance,
            )
        self._images += 1

    def scores(self) -> Scores:
        """Return every metric over what was added."""
        present = self._confusion.sum(axis=1) > 0
        measured = {
            "iou": class_overlaps(self._confusion),
            "dice": class_dice(self._confusion),
            "boundary-f1": _outline_f1(self._outlines),
        }
        known = max(1, int(self._confusion.sum()))
        values = {"pixel-accuracy": float(np.trace(self._confusion)) / known}
        for name, per_class in measured.items():
            counted = per_class[present & ~np.isnan(per_class)]
            values[f"mean-{name}"] = float(counted.mean()) if len(counted) else 0.0
        for name, per_class in measured.items():
            for label, value in zip(self._classes, per_class.tolist(), strict=True):
                if not math.isnan(value):
                    values[f"{name}[{label}]"] = value
        table = tuple(tuple(int(count) for count in row) for row in self._confusion.tolist())
        return Scores(values=values, confusion=table, samples=self._images)


def count_pixels(
    answered: NDArray[np.uint8], true: NDArray[np.uint8], *, classes: int
) -> NDArray[np.int64]:
    """Return ``(classes, classes)``: pixels of each true class (rows) by the one answered (columns)."""
    known = true != IGNORED
    pairs = true[known].astype(np.int64) * classes + answered[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_overlaps(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the IoU of each class; NaN where it is neither true nor answered anywhere."""
    shared = np.diag(confusion)
    return _ratio(shared, confusion.sum(axis=0) + confusion.sum(axis=1) - shared)


def class_dice(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the Dice overlap of each class; NaN where it is neither true nor answered anywhere."""
    return _ratio(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def outline(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` of an area that have a neighbour outside it, side by side.

    The border of the image is no outline: nobody knows where the area ends there.
    """
    inner = area.copy()
    inner[1:] &= area[:-1]
    inner[:-1] &= area[1:]
    inner[:, 1:] &= area[:, :-1]
    inner[:, :-1] &= area[:, 1:]
    return area & ~inner


def _matches(
    answered: NDArray[np.bool_], true: NDArray[np.bool_], tolerance: float
) -> tuple[int, int, int, int]:
    """Count answered pixels near a true one, answered ones, true ones near an answered one, true ones."""
    return (
        _count_near(answered, true, tolerance),
        int(answered.sum()),
        _count_near(true, answered, tolerance),
        int(true.sum()),
    )


def _count_near(points: NDArray[np.bool_], others: NDArray[np.bool_], tolerance: float) -> int:
    """Return how many points have one of the others within so many pixels, exactly.

    The distance to the nearest of the others in the same row is known for every pixel after two
    passes; a point then looks at the rows within reach.
    """
    rows, columns = np.nonzero(points)
    if not len(rows) or not others.any():
        return 0
    along = _row_distances(others)
    is_near = np.zeros(len(rows), np.bool_)
    reach = math.floor(tolerance)
    for step in range(-reach, reach + 1):
        looked = rows + step
        inside = (looked >= 0) & (looked < len(along))
        distance = along[looked[inside], columns[inside]]
        is_near[inside] |= distance <= math.sqrt(tolerance**2 - step**2)
    return int(is_near.sum())


def _row_distances(area: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return, for each pixel, how far away the nearest pixel of an area is in its row."""
    height, width = area.shape
    far = height + width
    places = np.broadcast_to(np.arange(width, dtype=np.int32), area.shape)
    before = np.maximum.accumulate(np.where(area, places, -far), axis=1)
    after = np.minimum.accumulate(np.where(area, places, width + far)[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(places - before, after - places)


def _outline_f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the F1 of each class's outlines, those of all images together; NaN where there are none."""
    precision = _ratio(counts[:, 0], counts[:, 1])
    recall = _ratio(counts[:, 2], counts[:, 3])
    both = np.nan_to_num(precision) + np.nan_to_num(recall)
    f1 = _ratio(2 * np.nan_to_num(precision) * np.nan_to_num(recall), both)
    exists = counts[:, 1] + counts[:, 3] > 0
    return np.where(exists, np.nan_to_num(f1), np.nan)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``part / whole``; NaN where the whole is 0."""
    result = np.full(len(whole), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
