"""Pictures of masks for the report: what was answered as coloured areas, what is true as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl.data.truth import IGNORED
from automl.tasks.mask_scores import outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["class_color", "draw_masks"]

_WIDEST = 480
"""Pixels: enough to see on a page with several pictures a row."""
_COVER = 0.4
"""Opacity of an answered area: what lies below stays visible."""
_COLORS = (
    (230, 159, 0),
    (86, 180, 233),
    (213, 94, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
)
"""Told apart with every kind of colour vision (Okabe & Ito 2008, "Color universal design")."""


def class_color(index: int) -> tuple[int, int, int]:
    """Return the colour (red, green, blue) of a class by its position; they repeat after seven."""
    return _COLORS[index % len(_COLORS)]


def draw_masks(
    frame: NDArray[np.uint8],
    answered: NDArray[np.uint8],
    true: NDArray[np.uint8],
    *,
    background: int,
) -> NDArray[np.uint8]:
    """Return a frame ``(H, W, 3)`` with two masks ``(H, W)`` drawn on it, at most 480 pixels wide.

    The areas of each answered class but the background are tinted in its colour. True areas are
    outlined in the same colour, and black beside it, so that the line shows on its own tint.
    """
    from PIL import Image

    height, width = frame.shape[:2]
    scale = min(1.0, _WIDEST / width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    picture = np.asarray(small).astype(np.float32)
    answer, truth = _sampled(answered, size), _sampled(true, size)
    for index in range(int(answer.max()) + 1):
        if index != background:
            tint = np.array(class_color(index), np.float32)
            area = answer == index
            picture[area] = (1.0 - _COVER) * picture[area] + _COVER * tint
    shown = [i for i in np.unique(truth).tolist() if i not in (background, IGNORED)]
    for index in shown:
        picture[_around(truth == index)] = 0.0
    for index in shown:
        picture[outline(truth == index)] = class_color(index)
    drawn: NDArray[np.uint8] = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    return drawn


def _sampled(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    rows = ((np.arange(size[0]) + 0.5) * mask.shape[0] / size[0]).astype(np.intp)
    columns = ((np.arange(size[1]) + 0.5) * mask.shape[1] / size[1]).astype(np.intp)
    sampled: NDArray[np.uint8] = mask[rows[:, None], columns[None, :]]
    return sampled


def _around(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels next to an area, outside it."""
    return outline(~area)
