"""Simple measurements of an image, each with its name in words: what a person could set a limit on.

Brightness is the mean of the three colours, 0 (black) to 255 (white).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MEASUREMENTS", "Measurement", "brightness", "measure", "measure_all", "otsu_level"]

_LEVELS = tuple(range(16, 256, 16))
_DEPTHS = (10, 20, 40, 80)
"""Gray levels by which a spot differs from the image's median."""
_COLORS = ("red", "green", "blue")


@dataclass(frozen=True)
class Measurement:
    """One number of an image."""

    name: str
    """With its article: ``the mean brightness``."""
    unit: str
    """``%`` or nothing."""

    def value(self, number: float) -> str:
        """Return a value in words, three digits at most."""
        digits = 0 if abs(number) >= 99.5 else 1 if abs(number) >= 9.95 else 2
        return f"{number:.{digits}f}{' ' if self.unit else ''}{self.unit}"


MEASUREMENTS: tuple[Measurement, ...] = (
    Measurement("the mean brightness", ""),
    Measurement("the contrast (standard deviation of the brightness)", ""),
    Measurement("the mean edge (change of brightness from pixel to pixel)", ""),
    Measurement("the sharpness (standard deviation of the Laplacian)", ""),
    *(Measurement(f"the share of {color} in the colour", "%") for color in _COLORS),
    Measurement("the colourfulness (largest less smallest colour)", ""),
    Measurement("the depth of the darkest spot below the median", ""),
    Measurement("the height of the brightest spot above the median", ""),
    Measurement("the share of the area below Otsu's threshold", "%"),
    Measurement("the difference between dark and bright area (Otsu)", ""),
    *(Measurement(f"the share of the area darker than {level}", "%") for level in _LEVELS),
    *(Measurement(f"the share of spots {by} darker than the median", "%") for by in _DEPTHS),
    *(Measurement(f"the share of spots {by} brighter than the median", "%") for by in _DEPTHS),
    *(Measurement(f"the largest spot {by} darker than the median", "%") for by in _DEPTHS),
)
"""In the order of :func:`measure`. Shares are in percent of the image's area."""


def measure(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the value of each of :data:`MEASUREMENTS` for ``(H, W, 3)`` uint8."""
    gray = brightness(image)
    colors = image.reshape(-1, 3).mean(axis=0)
    median = float(np.median(gray))
    low, high = np.percentile(gray, [0.1, 99.9])
    down, right = np.diff(gray, axis=0), np.diff(gray, axis=1)
    edge = (np.abs(down).mean() + np.abs(right).mean()) / 2
    laplacian = 4 * gray[1:-1, 1:-1] - gray[:-2, 1:-1] - gray[2:, 1:-1]
    laplacian -= gray[1:-1, :-2] + gray[1:-1, 2:]
    spread = np.ptp(image, axis=2).mean()
    dark = median - gray
    values = [
        gray.mean(),
        gray.std(),
        edge,
        laplacian.std(),
        *(100.0 * colors / max(float(colors.sum()), 1.0)),
        spread,
        median - low,
        high - median,
        *_by_otsu(gray),
        *(100.0 * (gray < level).mean() for level in _LEVELS),
        *(100.0 * (dark > by).mean() for by in _DEPTHS),
        *(100.0 * (dark < -by).mean() for by in _DEPTHS),
        *(100.0 * _largest(dark > by) for by in _DEPTHS),
    ]
    return np.array(values, np.float64)


def measure_all(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return ``(n, measurements)``."""
    return np.stack([measure(image) for image in images])


def brightness(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return ``(H, W)`` in [0, 255]."""
    gray: NDArray[np.float32] = image.mean(axis=2, dtype=np.float32)
    return gray


def otsu_level(counts: NDArray[np.float64]) -> int:
    """Return the level that best parts a histogram ``(256,)`` in two (Otsu 1979): below, and at it or
    above."""
    levels = np.arange(256)
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * levels)
    mean_below = sums[:-1] / np.maximum(below, 1e-9)
    mean_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1e-9)
    return int((below * above * (mean_above - mean_below) ** 2).argmax()) + 1


def _by_otsu(gray: NDArray[np.float32]) -> tuple[float, float]:
    counts = np.bincount(gray.astype(np.uint8).ravel(), minlength=256).astype(np.float64)
    is_dark = gray < otsu_level(counts)
    if is_dark.all() or not is_dark.any():
        return 0.0, 0.0
    return 100.0 * float(is_dark.mean()), float(gray[~is_dark].mean() - gray[is_dark].mean())


def _largest(mask: NDArray[np.bool_]) -> float:
    """Return the largest connected part of a mask as a share of the image."""
    from scipy.ndimage import label

    if not mask.any():
        return 0.0
    numbered, _ = label(mask)
    return float(np.bincount(numbered.ravel())[1:].max() / mask.size)
