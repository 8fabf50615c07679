"""The geometry of varied images: a view is one 2 x 3 matrix, and boxes, masks and pixels follow it.

A matrix leads from a place in what is seen to the place in the image that is seen there, both in
[-1, 1] from edge to edge, x to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision import tv_tensors

from automl.records import Augmentation

__all__ = ["draw_views", "on_canvas", "seen_boxes", "seen_images", "seen_mask"]


def draw_views(even: Tensor, recipe: Augmentation) -> Tensor:
    """Return views ``(B, 2, 3)`` of ``crop`` to 1 of the area, turned and stretched, of even numbers
    ``(B, 5)`` in [0, 1).

    They stay within the image but for their turn; what is seen beyond is mirrored, as black corners
    would be something that the network never sees in use.
    """
    turn, area, aspect, right, down = even.unbind(1)
    angle = (2.0 * turn - 1.0) * math.radians(recipe.rotate_deg)
    side = (recipe.crop + (1.0 - recipe.crop) * area).sqrt()
    log_stretch = -math.log1p(-recipe.stretch)  # from 1 - stretch to its inverse
    ratio = (0.5 * log_stretch * (2.0 * aspect - 1.0)).exp()
    width, height = (side * ratio).clamp(max=1.0), (side / ratio).clamp(max=1.0)
    shift_x, shift_y = (1.0 - width) * (2.0 * right - 1.0), (1.0 - height) * (2.0 * down - 1.0)
    cosine, sine = angle.cos(), angle.sin()
    across = torch.stack([width * cosine, -height * sine, shift_x], dim=1)
    along = torch.stack([width * sine, height * cosine, shift_y], dim=1)
    return torch.stack([across, along], dim=1)


def seen_images(images: Tensor, views: Tensor) -> Tensor:
    """Return images ``(B, C, H, W)`` float32 as they are seen in views ``(B, 2, 3)``.

    One bilinear pass for turn, crop, stretch and flip blurs less than one for each.
    """
    return grid_sample(
        images,
        _grid(views, images.shape[-2:]),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )


def seen_mask(mask: tv_tensors.Mask, view: Tensor) -> Tensor:
    """Return a mask ``(..., H, W)`` in a view: each pixel takes the nearest, so no class arises in
    between."""
    height, width = mask.shape[-2:]
    planes = mask.as_subclass(Tensor).reshape(1, -1, height, width)
    grid = _grid(view[None], mask.shape[-2:])
    seen = grid_sample(
        planes.float(), grid, mode="nearest", padding_mode="reflection", align_corners=False
    )
    like: Tensor = tv_tensors.wrap(seen.to(mask.dtype).reshape(mask.shape), like=mask)
    return like


def seen_boxes(boxes: tv_tensors.BoundingBoxes, view: Tensor) -> Tensor:
    """Return the bounds ``(n, 4)`` of turned boxes in a view, which they may leave.

    The view leads from what is seen to the image, both in [-1, 1]; here its inverse is taken.
    """
    height, width = boxes.canvas_size
    half = torch.tensor([width / 2.0, height / 2.0])
    corners = boxes.as_subclass(Tensor).float()[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    centred = corners / half - 1.0
    seen = torch.linalg.solve(view[:, :2], (centred - view[:, 2]).reshape(-1, 2).T).T
    pixels = (seen.reshape(-1, 4, 2) + 1.0) * half
    return torch.cat([pixels.amin(1), pixels.amax(1)], dim=1).to(boxes.dtype)


def on_canvas(value: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes that know the size of their image, which no truth does; other things as they are."""
    if not isinstance(value, tv_tensors.BoundingBoxes):
        return value
    boxes: Tensor = tv_tensors.BoundingBoxes(value, format=value.format, canvas_size=size)
    return boxes


def _grid(views: Tensor, size: Sequence[int]) -> Tensor:
    """Return where each pixel of each view is seen in its image: ``(B, H, W, 2)`` in [-1, 1].

    What ``affine_grid`` gives, as a sum of a row and a column: it multiplies small matrices, which
    took a third of the time of the resampling.
    """
    height, width = size
    x = (torch.arange(width) + 0.5) * (2.0 / width) - 1.0
    y = (torch.arange(height) + 0.5) * (2.0 / height) - 1.0
    across = views[:, :, 0, None] * x
    down = views[:, :, 1, None] * y + views[:, :, 2, None]
    return (down[:, :, :, None] + across[:, :, None, :]).permute(0, 2, 3, 1)
