"""The threshold that keeps false alarms rare, from the scores of a few good images.

Decides by how many images there are:

- Enough to count: the least score of good images that leaves the asked share above it, counted so that
  the *expected* rate on new images keeps the limit whatever the distribution of the scores (split
  conformal prediction; Vovk, Gammerman & Shafer 2005, section 4.2). It needs ``1 / rate - 1`` images:
  99 for one percent.
- Fewer: a Gaussian's tail. The bound for one new score from n others is ``mean + t * s * sqrt(1 + 1/n)``
  with Student's t of n - 1 degrees (Hahn & Meeker 1991, section 4.8), so that few images put the
  threshold higher. Its rate holds as far as scores are Gaussian.
- One or none: no spread is known, and the threshold stays provisional.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Threshold", "choose_threshold"]

_ONE_IMAGE_FACTOR = 1.5
"""Of the score of a single good image."""
_SMALLEST = 1e-3
"""Answers are in units of the threshold, so it is never zero."""
_LEAST_SPREAD = 0.01
"""Of the mean: equal scores of a few images do not mean that all images score alike."""


@dataclass(frozen=True)
class Threshold:
    """A threshold, and why."""

    value: float
    method: str
    """In a few words, with the expected rate of false alarms."""
    images: int
    """Good images that it rests on."""


def choose_threshold(scores: Sequence[float], *, rate: float, provisional: float) -> Threshold:
    """Return the threshold for the scores of good images.

    Args:
        scores: in any unit; the threshold has the same.
        rate: share of good images that may be called defective, in (0, 1).
        provisional: taken when there is no score at all.
    """
    values = np.sort(np.asarray(scores, np.float64))
    count = len(values)
    if count == 0:
        return Threshold(provisional, "provisional: there was no good image to set it by", 0)
    if count == 1:
        value = max(_SMALLEST, _ONE_IMAGE_FACTOR * float(values[0]))
        return Threshold(value, "one and a half times the score of the only good image", 1)
    place = math.ceil((count + 1) * (1.0 - rate) - 1e-9)
    if place <= count:
        # A score equal to the threshold is a defect: it lies just above the image that sets it.
        value = max(
            _SMALLEST, float(np.nextafter(np.float32(values[place - 1]), np.float32(np.inf)))
        )
        above = (count + 1 - place) / (count + 1)
        return Threshold(value, f"counted; expected false alarms at most {above:.2%}", count)
    from scipy.stats import t

    mean = float(values.mean())
    spread = max(float(values.std(ddof=1)), _LEAST_SPREAD * abs(mean))
    value = mean + float(t.ppf(1.0 - rate, count - 1)) * spread * math.sqrt(1.0 + 1.0 / count)
    method = f"Gaussian tail; expected false alarms {rate:.2%} if good scores are Gaussian"
    return Threshold(max(_SMALLEST, value), method, count)
