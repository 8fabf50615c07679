"""A frame with boxes on it, small enough for a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.truth import BoxTruth
from automl.predictor import Detection
from automl.tasks.detection_matching import match_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_objects"]

_WIDEST = 480
"""Pixels of the drawing: as wide as a report shows it."""
_COLOURS = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (240, 228, 66),
)
"""Told apart by colour-blind people too (Okabe & Ito 2008, "Color universal design")."""
_DASH, _GAP = 6, 4
_LINE = 2
_FONT_SIZE = 11
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_BRIGHT = 140
"""Luminance from which on text is black."""


def draw_objects(
    frame: NDArray[np.uint8], answer: Detection, truth: BoxTruth, classes: Sequence[str]
) -> NDArray[np.uint8]:
    """Return a frame ``(H, W, 3)`` with objects on it, ``(h, w, 3)`` uint8, at most 480 wide.

    Sure objects have solid lines, label and score; objects that were missed have dashed lines and a
    label.
    """
    from PIL import Image, ImageDraw

    scale = min(1.0, _WIDEST / frame.shape[1])
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    image = Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(image)
    sure = answer.scores >= answer.threshold
    boxes, labels, scores = answer.boxes[sure], answer.classes[sure], answer.scores[sure]
    missed = match_boxes(boxes, labels, truth).missed
    for corners, label in zip(truth.corners[missed] * scale, truth.labels[missed], strict=True):
        _dashed(pen, corners.tolist(), _colour(int(label)))
        _write(pen, corners.tolist(), f"missed {classes[int(label)]}", _colour(int(label)))
    for corners, label, score in zip(boxes * scale, labels, scores, strict=True):
        pen.rectangle(corners.tolist(), outline=_colour(int(label)), width=_LINE)
        _write(pen, corners.tolist(), f"{classes[int(label)]} {score:.2f}", _colour(int(label)))
    return np.asarray(image)


def _dashed(pen: Any, corners: list[float], colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = corners
    for y in (top, bottom):
        for x in np.arange(left, right, _DASH + _GAP).tolist():
            pen.line([(x, y), (min(x + _DASH, right), y)], fill=colour, width=_LINE)
    for x in (left, right):
        for y in np.arange(top, bottom, _DASH + _GAP).tolist():
            pen.line([(x, y), (x, min(y + _DASH, bottom))], fill=colour, width=_LINE)


def _write(pen: Any, corners: list[float], text: str, colour: tuple[int, int, int]) -> None:
    """Write above a box, or inside where there is no room above."""
    from PIL import ImageFont

    font = ImageFont.load_default(_FONT_SIZE)
    left, top = corners[0], corners[1]
    place = (left + 1, top - _FONT_SIZE - 3 if top > _FONT_SIZE + 3 else top + 1)
    pen.rectangle(pen.textbbox(place, text, font=font), fill=colour)
    red, green, blue = colour
    is_bright = 0.299 * red + 0.587 * green + 0.114 * blue > _BRIGHT
    pen.text(place, text, font=font, fill=_BLACK if is_bright else _WHITE)


def _colour(label: int) -> tuple[int, int, int]:
    return _COLOURS[label % len(_COLOURS)]
