"""Which found boxes are right: the rules of COCO, for one image.

The surest box chooses first, among the objects of its class that are still free, the one that it
overlaps most. Objects marked as ignored make the boxes on them count for nothing
(https://cocodataset.org/#detection-eval).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.data.truth import BoxTruth

__all__ = ["RIGHT_OVERLAP", "Matches", "match_boxes", "overlaps"]

RIGHT_OVERLAP = 0.5
"""A box that shares this much with an object (intersection over union) has found it."""


@dataclass(frozen=True)
class Matches:
    """What became of the boxes and objects of one image."""

    objects: NDArray[np.int64]
    """``(n,)``: the object that each box found; -1: none, so the box is wrong; -2: it does not count."""
    missed: NDArray[np.bool_]
    """``(m,)``: objects that should have been found and were not."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """``(n,)``: boxes that found an object."""
        right: NDArray[np.bool_] = self.objects >= 0
        return right

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """``(n,)``: boxes where there is no such object, or one that was found already."""
        wrong: NDArray[np.bool_] = self.objects == -1
        return wrong


def match_boxes(
    boxes: NDArray[np.float32],
    classes: NDArray[np.int64],
    truth: BoxTruth,
    *,
    overlap: float = RIGHT_OVERLAP,
) -> Matches:
    """Return which boxes found which objects.

    Args:
        boxes: ``(n, 4)``, the surest first.
        classes: ``(n,)``.
        truth: the objects, in the same pixels.
        overlap: intersection over union with which an object is found.
    """
    shared = overlaps(boxes, truth.corners)
    is_same = classes[:, None] == truth.labels[None]
    shared = np.where(is_same & ~truth.ignored, shared, 0.0)
    on_ignored = (_covered(boxes, truth.corners) >= overlap) & is_same & truth.ignored
    found = np.full(len(boxes), -1, np.int64)
    for box in range(len(boxes)):
        best = int(shared[box].argmax()) if shared.shape[1] else 0
        if shared.shape[1] and shared[box, best] >= overlap:
            found[box] = best
            shared[:, best] = 0.0
        elif on_ignored[box].any():
            found[box] = -2
    missed = ~truth.ignored
    missed[found[found >= 0]] = False
    return Matches(found, missed)


def overlaps(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union ``(n, m)`` of each box with each other one."""
    shared = _intersections(boxes, others)
    union = _areas(boxes)[:, None] + _areas(others)[None] - shared
    return _divided(shared, union)


def _covered(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share ``(n, m)`` of each box that each other one covers."""
    shared = _intersections(boxes, others)
    return _divided(shared, np.broadcast_to(_areas(boxes)[:, None], shared.shape))


def _intersections(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    upper_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    lower_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.maximum(lower_right - upper_left, 0.0)
    area: NDArray[np.float32] = sides[..., 0] * sides[..., 1]
    return area


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    area: NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area


def _divided(part: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
