"""What is known to be right of an image: the arrays that networks learn from and are judged by.

Coordinates are pixels of the image that the truth belongs to, x to the right and y down from the
upper left corner of the first pixel; :func:`fit_truth` moves them to an image of another size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IGNORED", "BoxTruth", "DefectTruth", "LabelTruth", "MaskTruth", "Truth", "fit_truth"]

IGNORED = 255
"""Value of pixels in a mask that are neither learnt from nor judged."""


@dataclass(frozen=True)
class LabelTruth:
    """The class of a whole image."""

    label: int


@dataclass(frozen=True)
class BoxTruth:
    """The objects in an image."""

    corners: NDArray[np.float32]
    """``(n, 4)``: left, top, right, bottom in pixels, within the image and never empty."""
    labels: NDArray[np.int64]
    """``(n,)``"""
    ignored: NDArray[np.bool_]
    """``(n,)``: crowds and objects marked difficult: finding them is neither right nor wrong."""


@dataclass(frozen=True)
class MaskTruth:
    """The class of each pixel: ``(H, W)`` uint8, :data:`IGNORED` where it is not known."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class DefectTruth:
    """Whether an image is good (0) or shows a defect (1), and where: ``(H, W)`` bool, if known."""

    label: int
    mask: NDArray[np.bool_] | None
    is_synthetic: bool = False
    """Whether the defect was made by us, for want of a real one."""


Truth = LabelTruth | BoxTruth | MaskTruth | DefectTruth


def fit_truth(truth: Truth, size: tuple[int, int], to: tuple[int, int]) -> Truth:
    """Return a truth for the same image squashed from ``size`` to ``to``, both (height, width).

    Boxes are scaled; masks are sampled at the nearest pixel, so that no class arises in between.
    """
    if size == to or isinstance(truth, LabelTruth):
        return truth
    if isinstance(truth, BoxTruth):
        down, right = to[0] / size[0], to[1] / size[1]
        scale = np.array([right, down, right, down], np.float32)
        return BoxTruth(truth.corners * scale, truth.labels, truth.ignored)
    if isinstance(truth, MaskTruth):
        return MaskTruth(_nearest(truth.pixels, to))
    mask = None if truth.mask is None else _nearest(truth.mask, to)
    return DefectTruth(truth.label, mask, truth.is_synthetic)


def _nearest(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return ``(H, W)`` pixels at another (height, width): each takes the one at its centre."""
    height, width = pixels.shape
    rows = ((np.arange(size[0]) + 0.5) * height / size[0]).astype(np.intp)
    columns = ((np.arange(size[1]) + 0.5) * width / size[1]).astype(np.intp)
    return np.ascontiguousarray(pixels[rows[:, None], columns[None, :]])
