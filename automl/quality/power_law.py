"""Fit and read learning curves: ``error = scale * n ** -exponent + floor``.

Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically" (arXiv 1712.00409): over
many tasks the error of a model falls with a power of the number of examples until it meets a floor.
What cannot be told from the points (mostly the floor) shows as a wide interval: each forecast comes
from fits to many resamplings of the repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.records import CurvePoint, PowerLaw

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FittedCurve", "fit_curve"]

_RESAMPLINGS = 100
_LOW, _HIGH = 2.5, 97.5
_MOST_EXPONENT = 2.0
"""Exponents measured in practice lie between 0.05 and 1 (Hestness et al., figure 6)."""
_STARTS = ((0.3, 0.0), (0.7, 0.0), (0.5, 0.5), (1.2, 0.9))
"""Exponent, and floor as a share of the least error: where the search for the best fit begins."""


@dataclass(frozen=True)
class FittedCurve:
    """A power law with what is not known about it."""

    law: PowerLaw
    others: tuple[PowerLaw, ...]
    """Laws that fit resampled scores."""

    def forecast(self, images: int) -> CurvePoint:
        """Return the score expected with so many images, with a 95 % interval."""
        scores = [law.score(images) for law in self.others]
        low, high = np.percentile(scores, [_LOW, _HIGH])
        mean = self.law.score(images)
        return CurvePoint(images, mean, min(float(low), mean), max(float(high), mean))

    def gain(self, images: int, to: int) -> CurvePoint:
        """Return what the score gains from one number of images to another, with its interval."""
        gains = [law.score(to) - law.score(images) for law in self.others]
        low, high = np.percentile(gains, [_LOW, _HIGH])
        mean = self.law.score(to) - self.law.score(images)
        return CurvePoint(to, mean, min(float(low), mean), max(float(high), mean))

    def images_for(self, score: float, *, most: int) -> int | None:
        """Return how many images are expected to reach a score; ``None``: more than ``most``."""
        law = self.law
        error = 1.0 - score - law.floor
        if error <= 0 or law.score(most) < score:
            return None
        return int(np.ceil((law.scale / error) ** (1.0 / max(law.exponent, 1e-9))))


def fit_curve(images: NDArray[np.int64], scores: NDArray[np.float64], *, seed: int) -> FittedCurve:
    """Fit a power law to repeated scores.

    Args:
        images: ``(sizes,)`` ascending numbers of training images.
        scores: ``(repeats, sizes)`` in [0, 1]; each row judged on images of its own.
        seed: of the resamplings.
    """
    law = _fit(images, scores)
    generator = np.random.default_rng(seed)
    repeats = len(scores)
    center = np.array([law.score(n) for n in images.tolist()])
    # Rows are resampled whole, since one row's scores share their judged images; what the law does
    # not explain is added at random, so that a few lucky points do not look like certainty.
    left_over = scores.mean(axis=0) - center
    others = []
    for _ in range(_RESAMPLINGS):
        rows = scores[generator.integers(repeats, size=repeats)]
        shaken = rows + generator.choice(left_over, len(images))[None, :]
        others.append(_fit(images, shaken, start=law))
    return FittedCurve(law, tuple(others))


def _fit(
    images: NDArray[np.int64], scores: NDArray[np.float64], *, start: PowerLaw | None = None
) -> PowerLaw:
    from scipy.optimize import least_squares

    errors = 1.0 - scores.mean(axis=0)
    spread = scores.std(axis=0) / np.sqrt(len(scores)) + 0.002
    least = max(float(errors.min()), 1e-4)
    largest = float(images[-1])

    def residuals(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        level, exponent, floor = parameters
        found: NDArray[np.float64] = (
            level * (images / largest) ** -exponent + floor - errors
        ) / spread
        return found

    upper = np.array([1.0, _MOST_EXPONENT, max(least, 2e-4)])
    begin = [(max(least * (1 - part), 1e-5), exponent, least * part) for exponent, part in _STARTS]
    if start is not None:
        begin = [(start.scale * largest**-start.exponent, start.exponent, start.floor)]
    fits = [
        least_squares(
            residuals, np.clip(one, 1e-9, upper * (1 - 1e-6)), bounds=(0.0, upper), x_scale=upper
        )
        for one in begin
    ]
    level, exponent, floor = min(fits, key=lambda fit: fit.cost).x
    return PowerLaw(float(level * largest**exponent), float(exponent), float(floor))
