"""Where a detector looks, and how what it says there becomes boxes.

Both detectors lay a grid over the image for each level of the pyramid, with a point in the middle of
each square of ``stride`` pixels. FCOS says for each point how far the four sides of its box are away
(Tian et al. 2019, https://arxiv.org/abs/1904.01355, section 3.1); RetinaNet how anchors, boxes of
fixed shapes around the point, are moved and scaled (Lin et al. 2017, https://arxiv.org/abs/1708.02002,
section 4). Boxes are left, top, right, bottom in pixels of the network's square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = [
    "ANCHORS",
    "STRIDES",
    "anchor_boxes",
    "boxes_of_anchors",
    "boxes_of_points",
    "deltas_of_boxes",
    "flatten_levels",
    "grid_points",
    "grid_strides",
]

STRIDES = (8, 16, 32, 64)
"""Pixels of the image to one of the map, by level of the pyramid. A first level of 4 would hold four
times the points of all others together; a larger image finds small objects for less."""

_ANCHOR_SIDE = 4.0
"""Side of the smallest square anchor in strides, as in the paper (32 pixels where the stride is 8)."""
_ANCHOR_SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
_ANCHOR_RATIOS = (0.5, 1.0, 2.0)
ANCHORS = len(_ANCHOR_SCALES) * len(_ANCHOR_RATIOS)
"""Anchors at each point."""

_MOST_GROWTH = math.log(1000.0 / 16.0)
"""Largest logarithm of a scale: keeps an untrained network from infinite boxes (as torchvision)."""


def flatten_levels(maps: Sequence[Tensor], numbers: int) -> Tensor:
    """Return maps ``(B, A * numbers, h, w)`` of all levels as ``(B, N, numbers)``.

    N counts the points row by row, level by level, and the A anchors of a point together.
    """
    rows = [
        level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, numbers)  # (B, h * w * A, numbers)
        for level in maps
    ]
    return torch.cat(rows, dim=1)


def grid_points(maps: Sequence[Tensor]) -> Tensor:
    """Return the points ``(N, 2)`` (x, y) of maps ``(B, C, h, w)`` of all levels, in pixels."""
    levels = []
    for level, stride in zip(maps, STRIDES, strict=False):
        height, width = level.shape[-2:]
        y = (torch.arange(height, device=level.device, dtype=torch.float32) + 0.5) * stride
        x = (torch.arange(width, device=level.device, dtype=torch.float32) + 0.5) * stride
        grid = torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=1)
        levels.append(grid)
    return torch.cat(levels)


def grid_strides(maps: Sequence[Tensor]) -> Tensor:
    """Return the stride ``(N,)`` of each point, in pixels."""
    levels = [
        torch.full((level.shape[-2] * level.shape[-1],), float(stride), device=level.device)
        for level, stride in zip(maps, STRIDES, strict=False)
    ]
    return torch.cat(levels)


def boxes_of_points(said: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Return the boxes ``(..., N, 4)`` of what FCOS says ``(..., N, 4)`` at its points.

    A distance in strides is the softplus of what is said: never negative, and its gradient never
    vanishes as that of a ReLU does.
    """
    sides = softplus(said) * strides[:, None]
    return torch.cat([points - sides[..., :2], points + sides[..., 2:]], dim=-1)


def anchor_boxes(points: Tensor, strides: Tensor) -> Tensor:
    """Return the anchors ``(N * A, 4)`` around points ``(N, 2)``: three sizes of three shapes."""
    shapes = [
        (scale / math.sqrt(ratio), scale * math.sqrt(ratio))
        for scale in _ANCHOR_SCALES
        for ratio in _ANCHOR_RATIOS
    ]
    halves = 0.5 * _ANCHOR_SIDE * torch.tensor(shapes, device=points.device)  # (A, 2)
    reach = halves[None] * strides[:, None, None]  # (N, A, 2)
    centres = points[:, None]
    return torch.cat([centres - reach, centres + reach], dim=-1).reshape(-1, 4)


def boxes_of_anchors(said: Tensor, anchors: Tensor) -> Tensor:
    """Return the boxes ``(..., N, 4)`` of what RetinaNet says ``(..., N, 4)`` of its anchors."""
    centre, size = _centre_and_size(anchors)
    moved = centre + said[..., :2] * size
    half = 0.5 * size * said[..., 2:].clamp(max=_MOST_GROWTH).exp()
    return torch.cat([moved - half, moved + half], dim=-1)


def deltas_of_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return what RetinaNet should say ``(N, 4)`` of anchors whose boxes these are."""
    centre, size = _centre_and_size(anchors)
    wanted_centre, wanted_size = _centre_and_size(boxes)
    return torch.cat([(wanted_centre - centre) / size, (wanted_size / size).log()], dim=-1)


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 * (boxes[..., :2] + boxes[..., 2:]), boxes[..., 2:] - boxes[..., :2]
