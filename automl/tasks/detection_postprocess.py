"""From what a detector says of a square image to the objects in the frame.

All of it is in the delivered file, in float: decoding, the choice of candidates, and the suppression of
boxes that show an object already found. The number of candidates is fixed, so that the time it takes
hardly depends on what a frame shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from automl.models.detector_boxes import (
    anchor_boxes,
    boxes_of_anchors,
    boxes_of_points,
    flatten_levels,
    grid_points,
    grid_strides,
)

if TYPE_CHECKING:
    from automl.models.detector_parts import DetectorOutput

__all__ = ["MOST_OBJECTS", "SMALLEST_SCORE", "FoundObjects", "box_scores", "decoded_boxes"]

MOST_OBJECTS = 100
"""Objects that are answered: as many as COCO judges."""
SMALLEST_SCORE = 0.05
"""Below it nothing is answered (as torchvision's RetinaNet): average precision gains next to nothing."""
_CANDIDATES = 400
"""The surest boxes, of which suppression chooses."""
_OVERLAP = 0.6
"""Boxes of one class that share more than this (intersection over union) show one object (FCOS)."""


class FoundObjects(nn.Module):
    """Boxes, labels and scores of the objects in one frame."""

    def __init__(self, *, image_size: int, classes: int) -> None:
        """Take the side of the square that the network looks at, and the number of classes."""
        super().__init__()
        self.image_size = image_size
        self.classes = classes

    def forward(
        self, said: DetectorOutput, height: int, width: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the objects in a frame of ``height`` x ``width`` pixels, the surest first.

        Args:
            said: by the network of one image.
            height: of the frame; symbolic while exporting for any size.
            width: likewise.

        Returns:
            boxes ``(n, 4)`` float32 (left, top, right, bottom, within the frame), labels ``(n,)``
            int64, scores ``(n,)`` float32; n is at most :data:`MOST_OBJECTS` and may be 0.
        """
        scores = box_scores(said, self.classes)[0]  # (N, classes)
        count = min(_CANDIDATES, scores.numel())
        surest, places = scores.flatten().topk(count)
        labels = places % self.classes
        boxes = decoded_boxes(said)[0][places // self.classes]
        boxes = boxes.clamp(0.0, float(self.image_size))
        kept = _suppress(self._apart(boxes, labels), surest)
        side = float(self.image_size)
        scale = torch.stack([_number(n, boxes) / side for n in (width, height, width, height)])
        return boxes[kept] * scale, labels[kept], surest[kept]

    def _apart(self, boxes: Tensor, labels: Tensor) -> Tensor:
        """Return boxes moved by class, so that those of different classes never overlap."""
        return boxes + (labels.to(boxes.dtype) * (2.0 * self.image_size))[:, None]


def box_scores(said: DetectorOutput, classes: int) -> Tensor:
    """Return the score ``(B, N, classes)`` of each class at each point or anchor, in [0, 1].

    FCOS takes the geometric mean of the probabilities of class and centerness.
    """
    scores = flatten_levels(said[0], classes).sigmoid()
    if len(said) == 2:
        return scores
    return (scores * flatten_levels(said[2], 1).sigmoid()).sqrt()


def decoded_boxes(said: DetectorOutput) -> Tensor:
    """Return the box ``(B, N, 4)`` of each point or anchor, in pixels of the square."""
    points, strides = grid_points(said[0]), grid_strides(said[0])
    sides = flatten_levels(said[1], 4)
    if len(said) == 2:
        return boxes_of_anchors(sides, anchor_boxes(points, strides))
    return boxes_of_points(sides, points, strides)


def _suppress(boxes: Tensor, scores: Tensor) -> Tensor:
    """Return the positions of the boxes that stay, the surest first.

    The score decides last, so that as many boxes are compared when a frame shows nothing.
    """
    kept = nms(boxes, scores, _OVERLAP)
    chosen: Tensor = kept[scores[kept] > SMALLEST_SCORE][:MOST_OBJECTS]
    return chosen


def _number(value: int, like: Tensor) -> Tensor:
    """Return a size, which is symbolic while exporting for any frame, as a scalar tensor."""
    return torch.scalar_tensor(value, dtype=like.dtype, device=like.device)
