"""Whether a model is any better than guessing: a model that fits its limits may still be useless."""

from __future__ import annotations

import math

from automl.records import Scores
from automl.report.words import format_score, wilson_interval
from automl.units import plural

__all__ = ["describe_guessing"]

_Z = 1.959964
"""Half width of a 95 % interval, in standard deviations."""


def describe_guessing(scores: Scores | None, objective: str) -> str:
    """Return a sentence that says that a model is no better than guessing; empty when it is.

    Where accuracy is the objective, the share of right answers is compared with the share of the
    largest class. Otherwise the recall averaged over the classes is compared with that of a guess.
    """
    if scores is None or not sum(map(sum, scores.confusion)):
        return ""
    measure = "an accuracy" if objective == "accuracy" else "a balanced accuracy"
    judge = _largest_share if objective == "accuracy" else _same_for_each_class
    chance = judge(scores.confusion)
    if chance is None:
        return ""
    return (
        f"It is no better than guessing: giving the same class for every image would reach "
        f"{measure} of {format_score(chance)}, and with "
        f"{plural(scores.samples, 'test image')} the difference may be chance."
    )


def _largest_share(confusion: tuple[tuple[int, ...], ...]) -> float | None:
    """Return the share of the largest class, unless the share of right answers is above it."""
    total = sum(map(sum, confusion))
    right = sum(row[i] for i, row in enumerate(confusion))
    largest = max(map(sum, confusion)) / total
    low, _ = wilson_interval(right, total)
    return largest if low <= largest else None


def _same_for_each_class(confusion: tuple[tuple[int, ...], ...]) -> float | None:
    """Return one divided by the classes, unless the mean recall is above what guesses scatter to.

    Guesses find ``p = 1 / classes`` of each class; the mean of the recalls then has the variance
    ``sum(p (1 - p) / images of the class) / classes**2``.
    """
    rows = [(row[i], sum(row)) for i, row in enumerate(confusion) if sum(row)]
    chance = 1 / len(rows)
    recall = sum(right / count for right, count in rows) / len(rows)
    variance = sum(chance * (1 - chance) / count for _, count in rows) / len(rows) ** 2
    return chance if recall <= chance + _Z * math.sqrt(variance) else None
