"""What a detector is trained to say: the losses of FCOS and RetinaNet.

Classes are learnt by the focal loss, which lets the many points that show nothing count little (Lin et
al. 2017, https://arxiv.org/abs/1708.02002, section 3). Objects marked as ignored are neither learnt nor
learnt to be absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot, smooth_l1_loss
from torchvision.ops import box_iou, generalized_box_iou_loss, sigmoid_focal_loss

from automl.models.detector_boxes import (
    anchor_boxes,
    boxes_of_points,
    deltas_of_boxes,
    flatten_levels,
    grid_points,
    grid_strides,
)

if TYPE_CHECKING:
    from automl.models.detector_parts import DetectorOutput

__all__ = ["DetectionLoss", "ObjectTargets", "assign_anchors", "assign_points"]

ObjectTargets = dict[str, Tensor]
"""The objects of one image: ``boxes`` (n, 4) float32 in pixels of the square, ``labels`` (n,) int64,
``ignored`` (n,) bool."""

_CENTRE = 1.5
"""Points within so many strides of the middle of a box learn it (FCOS, section 4.1)."""
_REACH = 8.0
"""A level learns boxes whose sides are at most so many strides from the point (FCOS: 64 pixels where
the stride is 8), and more than half as many, which the level before learns."""
_SURE_OVERLAP = 0.5
_DOUBTFUL_OVERLAP = 0.4
"""Anchors that overlap an object by less are background, those between the two are not judged
(RetinaNet, section 4.1)."""
_BETA = 1.0 / 9.0
"""Where the smooth L1 loss turns from square to straight (as Detectron)."""
_BACKGROUND = -1
_UNJUDGED = -2


@dataclass(frozen=True)
class _Targets:
    """What the points or anchors of a batch should say. N: all of one image's."""

    matched: Tensor
    """``(B, N)`` int64: label of the object, :data:`_BACKGROUND` or :data:`_UNJUDGED`."""
    boxes: Tensor
    """``(P, 4)``: the object of each point that has one, in the order of ``matched >= 0``."""


class DetectionLoss(nn.Module):
    """Focal loss of the classes plus that of the boxes, for the objects of a batch."""

    def __init__(self, *, classes: int, label_smoothing: float) -> None:
        """Take the number of classes; with smoothing the right class is wanted that much less."""
        super().__init__()
        self.classes = classes
        self.label_smoothing = label_smoothing

    def forward(self, said: DetectorOutput, targets: Sequence[ObjectTargets]) -> Tensor:
        """Return a scalar for what the network said of a batch."""
        points, strides = grid_points(said[0]), grid_strides(said[0])
        sides = flatten_levels(said[1], 4)
        if len(said) == 2:
            anchors = anchor_boxes(points, strides)
            wanted = _targets(targets, [assign_anchors(anchors, one) for one in targets], anchors)
            count = wanted.boxes.shape[0]
            of_boxes = self._anchor_loss(sides, anchors, wanted)
        else:
            found = [assign_points(points, strides, one) for one in targets]
            wanted = _targets(targets, found, points.repeat(1, 2))
            count = wanted.boxes.shape[0]
            of_boxes = self._point_loss(
                sides, flatten_levels(said[2], 1)[..., 0], points, strides, wanted
            )
        of_classes = self._class_loss(flatten_levels(said[0], self.classes), wanted.matched)
        return (of_classes + of_boxes) / max(1, count)

    def _class_loss(self, logits: Tensor, matched: Tensor) -> Tensor:
        judged = matched != _UNJUDGED
        wanted = one_hot(matched.clamp(min=0), self.classes).to(logits.dtype)
        wanted = wanted * (matched >= 0)[..., None] * (1.0 - self.label_smoothing)
        loss: Tensor = sigmoid_focal_loss(logits[judged], wanted[judged], reduction="sum")
        return loss

    def _point_loss(
        self, sides: Tensor, centerness: Tensor, points: Tensor, strides: Tensor, wanted: _Targets
    ) -> Tensor:
        """Return the GIoU loss of the boxes, each weighted by its centerness, plus that of it."""
        learns = wanted.matched >= 0
        boxes = boxes_of_points(sides, points, strides)[learns]
        where = points.expand(*learns.shape, 2)[learns]
        central = _centerness(where, wanted.boxes)
        overlap = generalized_box_iou_loss(boxes, wanted.boxes, reduction="none")
        # The weights' mean is 1 again, so that boxes count as much as classes (FCOS, official code).
        weight = central * (central.numel() / central.sum().clamp(min=1e-6))
        of_centre = binary_cross_entropy_with_logits(centerness[learns], central, reduction="sum")
        total: Tensor = (overlap * weight).sum() + of_centre
        return total

    def _anchor_loss(self, sides: Tensor, anchors: Tensor, wanted: _Targets) -> Tensor:
        learns = wanted.matched >= 0
        own = anchors.expand(*learns.shape, 4)[learns]
        deltas = deltas_of_boxes(wanted.boxes, own)
        loss: Tensor = smooth_l1_loss(sides[learns], deltas, beta=_BETA, reduction="sum")
        return loss


def assign_points(points: Tensor, strides: Tensor, known: ObjectTargets) -> Tensor:
    """Return for each point ``(N,)`` the position of the object that it learns, or a negative number.

    It is the smallest of the objects whose middle is near, and whose size is that of the point's level.
    Points within an ignored object are not judged.
    """
    boxes = known["boxes"]
    if not len(boxes):
        return torch.full_like(strides, _BACKGROUND, dtype=torch.int64)
    away = torch.cat([points[:, None] - boxes[:, :2], boxes[:, 2:] - points[:, None]], dim=2)
    inside = away.amin(2) > 0
    middle = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    near = (points[:, None] - middle).abs().amax(2) < _CENTRE * strides[:, None]
    reach = away.amax(2) / strides[:, None]
    is_finest, is_coarsest = strides == strides.min(), strides == strides.max()
    fits = (reach <= _REACH) | is_coarsest[:, None]
    fits &= (reach > _REACH / 2) | is_finest[:, None]
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1).expand_as(reach)
    learnt = inside & near & fits & ~known["ignored"]
    smallest, position = sizes.masked_fill(~learnt, torch.inf).min(1)
    unjudged = (inside & known["ignored"]).any(1)
    position = position.masked_fill(smallest.isinf(), _BACKGROUND)
    return position.masked_fill(smallest.isinf() & unjudged, _UNJUDGED)


def assign_anchors(anchors: Tensor, known: ObjectTargets) -> Tensor:
    """Return for each anchor ``(N,)`` the position of the object that it learns, or a negative number.

    It is the object that it overlaps most; each object is learnt at least by the anchors that overlap
    it most. Anchors with their middle within an ignored object are not judged.
    """
    boxes, ignored = known["boxes"], known["ignored"]
    nothing = torch.full_like(anchors[:, 0], _BACKGROUND, dtype=torch.int64)
    if not len(boxes):
        return nothing
    overlaps = box_iou(anchors, boxes).masked_fill(ignored, 0.0)
    overlap, position = overlaps.max(1)
    found = nothing.masked_fill(overlap >= _DOUBTFUL_OVERLAP, _UNJUDGED)
    middle = 0.5 * (anchors[:, :2] + anchors[:, 2:])
    away = torch.cat([middle[:, None] - boxes[:, :2], boxes[:, 2:] - middle[:, None]], dim=2)
    found = found.masked_fill(((away.amin(2) > 0) & ignored).any(1), _UNJUDGED)
    best = overlaps.amax(0)
    is_best = ((overlaps == best) & (best > 0)).any(1)
    return torch.where((overlap >= _SURE_OVERLAP) | is_best, position, found)


def _targets(known: Sequence[ObjectTargets], positions: Sequence[Tensor], like: Tensor) -> _Targets:
    """Return labels and boxes of what each point or anchor ``(N, …)`` of each image learns."""
    matched, boxes = [], []
    for one, position in zip(known, positions, strict=True):
        learns = position >= 0
        label = position.clone()
        label[learns] = one["labels"][position[learns]]
        matched.append(label)
        boxes.append(one["boxes"][position[learns]].to(like.dtype))
    return _Targets(torch.stack(matched), torch.cat(boxes))


def _centerness(points: Tensor, boxes: Tensor) -> Tensor:
    """Return how central points ``(P, 2)`` are in their boxes ``(P, 4)``, in (0, 1]: FCOS, eq. 3."""
    before, after = points - boxes[:, :2], boxes[:, 2:] - points
    ratio = torch.minimum(before, after) / torch.maximum(before, after)
    return ratio.prod(1).clamp(min=0).sqrt()
