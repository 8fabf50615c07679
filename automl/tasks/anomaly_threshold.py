"""The threshold that keeps false alarms rare, from the scores of a few good images.

Decides by how many images there are:

- Enough to count: the least score of good images that leaves the asked share above it, counted so that
  the *expected* rate on new images keeps the limit whatever the distribution of the scores (split
  conformal prediction; Vovk, Gammerman & Shafer 2005, section 4.2). It needs ``1 / rate - 1`` images:
  99 for one percent.
- Fewer: the tail of a log-normal distribution, since scores are positive and skewed to the right. The
  bound for one new logarithm from n others is ``mean + t * s * sqrt(1 + 1/n)`` (Hahn & Meeker 1991,
  section 4.8), where s and the degrees of Student's t take in what spread good scores usually have
  (Gelman et al. 2013, Bayesian Data Analysis, section 3.3): few images put the threshold higher, but
  two that happen to be alike, or far apart, do not decide alone. The rate holds as far as scores are
  log-normal.
- None: the threshold stays provisional.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Threshold", "choose_threshold"]

_USUAL_SPREAD = 0.3
"""Of the logarithms of good scores: 0.2 to 0.5 on PIPED's four papers."""
_USUAL_WEIGHT = 4
"""How many degrees of freedom that is worth."""
_SMALLEST = 1e-3
"""Answers are in units of the threshold, so it is never zero."""
_LEAST_SHARE = 0.05
"""Of the mean: a smaller score counts as that much, since zero has no logarithm."""


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
    place = math.ceil((count + 1) * (1.0 - rate) - 1e-9)
    if place <= count:
        # A score equal to the threshold is a defect: it lies just above the image that sets it.
        value = max(
            _SMALLEST, float(np.nextafter(np.float32(values[place - 1]), np.float32(np.inf)))
        )
        above = (count + 1 - place) / (count + 1)
        return Threshold(value, f"counted; expected false alarms at most {above:.2%}", count)
    from scipy.stats import t

    logarithms = np.log(np.maximum(values, max(_SMALLEST, _LEAST_SHARE * float(values.mean()))))
    squares = float(np.square(logarithms - logarithms.mean()).sum())
    degrees = _USUAL_WEIGHT + count - 1
    spread = math.sqrt((_USUAL_WEIGHT * _USUAL_SPREAD**2 + squares) / degrees)
    tail = float(t.ppf(1.0 - rate, degrees)) * spread * math.sqrt(1.0 + 1.0 / count)
    method = f"log-normal tail; expected false alarms {rate:.2%} if good scores are log-normal"
    return Threshold(max(_SMALLEST, math.exp(float(logarithms.mean()) + tail)), method, count)
