"""Anomaly detection without a network: how far simple measurements are from those of good images.

Two rules: measurements of the whole image, and the spot that stands out most. Both learn from good
images alone; the limit is the highest value at which no more good images are called defective than
the spec allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor import Anomaly
from automl.quality.rules.base import RuleData
from automl.quality.rules.measurements import MEASUREMENTS, brightness, measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StandingOut", "UnusualMeasurements"]

_SMOOTHINGS = (0.0, 1.0, 2.0)
_LEAST_SPREAD = 0.02
"""Of a measurement, relative to its median: what never varies among few images may vary a little."""
_USED = 12
"""The measurements of an image as a whole (the first ones); shares at single levels repeat them."""


class UnusualMeasurements:
    """The measurement that is farthest from the good images' median, in units of their spread."""

    name = "unusual-measurements"
    side = 128
    most_train = 500

    def fit(self, data: RuleData) -> _FittedMeasurements | None:
        """Learn median and spread of each measurement from good images."""
        good = [measure(image)[:_USED] for image in _good_images(data)]
        if len(good) < 2:
            return None
        values = np.stack(good)
        median = np.median(values, axis=0)
        # 1.4826: from median absolute deviation to standard deviation, for a normal distribution.
        spread = 1.4826 * np.median(np.abs(values - median), axis=0)
        spread = np.maximum(spread, _LEAST_SPREAD * np.maximum(np.abs(median), 1.0))
        distances = (np.abs(values - median) / spread).max(axis=1)
        limit = _limit(distances, data.options.max_false_alarm)
        return _FittedMeasurements(data.classes, median, spread, limit)


@dataclass(frozen=True)
class _FittedMeasurements:
    classes: tuple[str, ...]
    median: NDArray[np.float64]
    spread: NDArray[np.float64]
    limit: float

    @property
    def text(self) -> str:
        """The rule in words."""
        names = ", ".join(one.name.partition(" (")[0] for one in MEASUREMENTS[:_USED])
        return (
            f"an image shows a defect when any of these is more than {self.limit:.3g} times its usual "
            f"spread away from what good images show: {names}"
        )

    def answer(self, image: NDArray[np.uint8]) -> Anomaly:
        """Return the distance in units of the limit; the heat map is flat, since it has no place."""
        distance = np.abs(measure(image)[:_USED] - self.median) / self.spread
        score = float(distance.max() / self.limit)
        heat = np.full(image.shape[:2], score, np.float32)
        return Anomaly(self.classes, score, score >= 1.0, heat)


class StandingOut:
    """The spot whose brightness differs most from the image's median."""

    name = "standing-out"
    side = 128
    most_train = 500

    def fit(self, data: RuleData) -> _FittedSpot | None:
        """Learn how far spots of good images stand out; choose the smoothing that tells most."""
        fitted = []
        for smoothing in _SMOOTHINGS:
            heights = [float(_heights(image, smoothing).max()) for image in _good_images(data)]
            if len(heights) < 2:
                return None
            limit = max(_limit(np.array(heights), data.options.max_false_alarm), 1.0)
            fitted.append(_FittedSpot(data.classes, smoothing, limit))
        defects = [image for image, label in _val_images(data) if label]
        if not defects:
            return fitted[1]
        return max(fitted, key=lambda one: np.mean([one.answer(i).is_defect for i in defects]))


@dataclass(frozen=True)
class _FittedSpot:
    classes: tuple[str, ...]
    smoothing: float
    limit: float

    @property
    def text(self) -> str:
        """The rule in words."""
        size = f" (smoothed over about {2 * self.smoothing:.0f} pixels)" if self.smoothing else ""
        return (
            f"an image shows a defect when the brightness of some spot{size} differs from the image's "
            f"median by more than {self.limit:.3g} of 255 levels"
        )

    def answer(self, image: NDArray[np.uint8]) -> Anomaly:
        """Return how far each pixel stands out, in units of the limit."""
        heat = (_heights(image, self.smoothing) / self.limit).astype(np.float32)
        score = float(heat.max())
        return Anomaly(self.classes, score, score >= 1.0, heat)


def _good_images(data: RuleData) -> list[NDArray[np.uint8]]:
    learnt = [image for image, label in _labelled(data) if label == 0]
    return [*learnt, *(image for image, label in _val_images(data) if label == 0)]


def _labelled(data: RuleData) -> list[tuple[NDArray[np.uint8], int]]:
    labels = data.train.labels().tolist()
    return [(image, label) for (image, _), label in zip(data.train, labels, strict=True)]


def _val_images(data: RuleData) -> list[tuple[NDArray[np.uint8], int]]:
    labels = data.val.labels().tolist()
    return [(image, label) for (image, _), label in zip(data.val, labels, strict=True)]


def _heights(image: NDArray[np.uint8], smoothing: float) -> NDArray[np.float32]:
    """Return ``(H, W)``: by how much each pixel differs from the median brightness."""
    from scipy.ndimage import gaussian_filter

    gray = brightness(image)
    smooth = gaussian_filter(gray, smoothing) if smoothing else gray
    heights: NDArray[np.float32] = np.abs(smooth - np.median(gray))
    return heights


def _limit(values: NDArray[np.float64], share: float) -> float:
    """Return a limit that at most so large a share of good images is above."""
    return float(np.quantile(values, 1.0 - share, method="higher")) * (1.0 + 1e-6)
