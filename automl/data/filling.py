"""Fill outlines: the pixels whose centres lie inside, by the even-odd rule.

Pillow's ``ImageDraw.polygon`` cuts coordinates down to whole pixels and fills the border too, which
makes objects a pixel larger; a crack of three pixels would be a third too wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fill_outline"]


def fill_outline(
    points: NDArray[np.float64], size: tuple[int, int]
) -> tuple[int, int, NDArray[np.bool_]]:
    """Return the pixels inside an outline, as a window of the image.

    Args:
        points: ``(n, 2)`` x, y in pixels; the last is joined to the first.
        size: (height, width) of the image; what lies outside is cut off.

    Returns:
        Row and column of the window's first pixel, and ``(h, w)``: whether each pixel is inside. A
        pixel's centre is at +0.5.
    """
    height, width = size
    top, bottom = _span(points[:, 1], height)
    left, right = _span(points[:, 0], width)
    window = (max(0, bottom - top), max(0, right - left))
    if not all(window):
        return top, left, np.zeros(window, bool)
    rows, crossings = _crossings(points, top, bottom)
    # Pixels from the first whose centre is right of the crossing on are on its other side.
    columns = np.clip(np.ceil(crossings - 0.5), left, right).astype(np.int64) - left
    toggles = np.zeros((window[0], window[1] + 1), np.int32)
    np.add.at(toggles, (rows - top, columns), 1)
    return top, left, np.cumsum(toggles, axis=1)[:, :-1] % 2 == 1


def _span(values: NDArray[np.float64], limit: int) -> tuple[int, int]:
    """Return the first pixel whose centre may lie inside, and the one after the last."""
    first = int(np.clip(np.ceil(values.min() - 0.5), 0, limit))
    return first, int(np.clip(np.ceil(values.max() - 0.5), 0, limit))


def _crossings(
    points: NDArray[np.float64], top: int, bottom: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return row and x of every place where an edge crosses the centre line of a row."""
    ends = np.roll(points, -1, axis=0)
    is_down = points[:, 1] <= ends[:, 1]
    upper = np.where(is_down[:, None], points, ends)
    lower = np.where(is_down[:, None], ends, points)
    first = np.clip(np.ceil(upper[:, 1] - 0.5), top, bottom).astype(np.int64)
    last = np.clip(np.ceil(lower[:, 1] - 0.5), top, bottom).astype(np.int64)
    counts = last - first
    edge = np.repeat(np.arange(len(points)), counts)
    inside = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = first[edge] + inside
    rise = lower[edge, 1] - upper[edge, 1]
    share = (rows + 0.5 - upper[edge, 1]) / rise
    return rows, upper[edge, 0] + share * (lower[edge, 0] - upper[edge, 0])
