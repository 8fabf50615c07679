"""A frame with its heat map and the outline of the true defect, small enough for a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor import Anomaly

__all__ = ["draw_heat"]

_WIDEST = 480
"""Pixels of the drawing: as wide as a report shows it."""
_NARROWEST = 240
"""Smaller frames are enlarged: an outline is a pixel wide."""
_COLD = 0.5
"""Heat, in thresholds, below which nothing is drawn."""
_HOT = 2.0
"""Heat from which the colour is full."""
_STRONGEST = 0.6
"""Share of the colour where it is full, so that the image is seen below it."""
_COLOURS = np.array([(255, 221, 0), (255, 120, 0), (200, 0, 40)], np.float32)
"""At a half, one and two thresholds: yellow, orange, red, each darker than the last."""
_OUTLINE = (0, 114, 178)
"""Blue, which is told from yellow and red by colour-blind people too (Okabe & Ito 2008)."""


def draw_heat(
    frame: NDArray[np.uint8], answer: Anomaly, mask: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """Return a frame ``(H, W, 3)`` with heat and outline, ``(h, w, 3)`` uint8, 240 to 480 wide.

    Args:
        frame: the image.
        answer: its heat map has the size of the frame.
        mask: ``(H, W)`` bool, true on the defect; ``None``: it is not known.
    """
    from PIL import Image

    height, width = frame.shape[:2]
    scale = min(1.0, _WIDEST / width) if width >= _NARROWEST else _NARROWEST / width
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    bilinear, nearest = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
    image = Image.fromarray(np.ascontiguousarray(frame)).resize(size, bilinear)
    heat = Image.fromarray(answer.heat_map.astype(np.float32)).resize(size, bilinear)
    drawn = _overlay(np.asarray(image).astype(np.float32), np.asarray(heat))
    if mask is not None and mask.any():
        inside = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, nearest)) > 0
        drawn[_outline(inside)] = _OUTLINE
    return np.round(drawn).astype(np.uint8)


def _overlay(image: NDArray[np.float32], heat: NDArray[np.float32]) -> NDArray[np.float32]:
    stops = np.array([_COLD, 1.0, _HOT], np.float32)
    colours = [np.interp(heat, stops, _COLOURS[:, channel]) for channel in range(3)]
    strength = np.clip((heat - _COLD) / (_HOT - _COLD), 0.0, 1.0)[..., None] * _STRONGEST
    mixed: NDArray[np.float32] = image + strength * (np.stack(colours, -1) - image)
    return mixed


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels just outside a mask."""
    padded = np.pad(inside, 1)
    near = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    around: NDArray[np.bool_] = near & ~inside
    return around
