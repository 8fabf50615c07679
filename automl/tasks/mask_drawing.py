"""Pictures of masks for the report: what was answered as coloured areas, what is true as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl.data.colors import class_color
from automl.data.truth import IGNORED
from automl.tasks.mask_scores import outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_masks"]

_WIDEST = 480
"""Pixels: enough to see on a page with several pictures a row."""
_COVER = 0.4
"""Opacity of an answered area: what lies below stays visible."""


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
