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
    whole = np.round(gray).astype(np.uint8)
    counts = np.bincount(whole.ravel(), minlength=256).astype(np.float64)
    below = np.concatenate([[0.0], np.cumsum(counts)]) * (100.0 / whole.size)
    low, median, high = (int(np.searchsorted(below[1:], share)) for share in (0.1, 50.0, 99.9))
    colors = image.reshape(-1, 3).mean(axis=0)
    values = [
        float(gray.mean()),
        float(gray.std()),
        _edges(gray),
        _sharpness(gray),
        *(100.0 * colors / max(float(colors.sum()), 1.0)),
        float((image.max(axis=2) - image.min(axis=2)).mean()),
        median - low,
        high - median,
        *_by_otsu(counts),
        *(below[level] for level in _LEVELS),
        *(below[max(median - by, 0)] for by in _DEPTHS),
        *(100.0 - below[min(median + by + 1, 256)] for by in _DEPTHS),
        *(100.0 * _largest(whole < median - by) for by in _DEPTHS),
    ]
    return np.array(values, np.float64)


def _edges(gray: NDArray[np.float32]) -> float:
    down, right = np.diff(gray, axis=0), np.diff(gray, axis=1)
    return float(np.abs(down).mean() + np.abs(right).mean()) / 2


def _sharpness(gray: NDArray[np.float32]) -> float:
    laplacian = 4 * gray[1:-1, 1:-1] - gray[:-2, 1:-1] - gray[2:, 1:-1]
    laplacian -= gray[1:-1, :-2] + gray[1:-1, 2:]
    return float(laplacian.std())


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


def _by_otsu(counts: NDArray[np.float64]) -> tuple[float, float]:
    """Return the share below Otsu's threshold in percent, and how far the two means are apart."""
    level = otsu_level(counts)
    dark, bright = counts[:level].sum(), counts[level:].sum()
    if not dark or not bright:
        return 0.0, 0.0
    sums = counts * np.arange(256)
    apart = sums[level:].sum() / bright - sums[:level].sum() / dark
    return float(100.0 * dark / counts.sum()), float(apart)


def _largest(mask: NDArray[np.bool_]) -> float:
    """Return the largest connected part of a mask as a share of the image."""
    from scipy.ndimage import label

    if not mask.any():
        return 0.0
    numbered, _ = label(mask)
    return float(np.bincount(numbered.ravel())[1:].max() / mask.size)
