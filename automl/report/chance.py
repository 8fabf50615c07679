"""Whether a model is any better than guessing: a model that fits its limits may still be useless."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from automl.records import Scores
from automl.report.words import format_score, wilson_interval
from automl.units import plural

__all__ = ["describe_guessing"]

_Z = 1.959964
"""Half width of a 95 % interval, in standard deviations."""
Confusion = tuple[tuple[int, ...], ...]


def describe_guessing(scores: Scores | None, objective: str, *, task: str) -> str:
    """Return a sentence that says that a model is no better than guessing; empty when it is.

    Said where a guess has a score: not of boxes, which nobody hits by chance.
    """
    judge = _JUDGES.get(task)
    if scores is None or judge is None or not sum(map(sum, scores.confusion)):
        return ""
    return judge(scores, objective)


def _guessed_class(scores: Scores, objective: str) -> str:
    """Judge labels: accuracy against the largest class, else mean recall against that of a guess."""
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


def _guessed_pixels(scores: Scores, objective: str) -> str:
    """Judge masks: against the most frequent class for every pixel.

    Pixels of one image are alike, so there is no interval; the comparison is plain.
    """
    confusion = scores.confusion
    total = sum(map(sum, confusion))
    largest = max(map(sum, confusion)) / total
    if objective == "pixel-accuracy":
        right, chance = sum(row[i] for i, row in enumerate(confusion)) / total, largest
        measure = "share of right pixels"
    else:
        present = sum(any(row) for row in confusion)
        right, chance = _mean_overlap(confusion), largest / present
        measure = "mean IoU"
    if right > chance or chance == 1.0:
        return ""
    return (
        "It is no better than guessing: giving the most frequent class to every pixel would reach "
        f"a {measure} of {format_score(chance)}."
    )


def _mean_overlap(confusion: Confusion) -> float:
    """Return intersection over union, averaged over the classes that occur."""
    columns = [sum(column) for column in zip(*confusion, strict=True)]
    overlaps: list[float] = [
        row[i] / (sum(row) + columns[i] - row[i]) for i, row in enumerate(confusion) if any(row)
    ]
    return sum(overlaps) / len(overlaps)


def _guessed_order(scores: Scores, objective: str) -> str:
    """Judge scores that order images: the area under the ROC curve against a half.

    Under guessing its variance is ``(m + n + 1) / (12 m n)`` for m good and n defective images (that
    of the Mann-Whitney statistic; Hanley & McNeil 1982, Radiology 143:29).
    """
    area = scores.values.get("image-auroc")
    if area is None or len(scores.confusion) != 2:
        return ""
    good, defective = (sum(row) for row in scores.confusion)
    if not good or not defective:
        return ""
    spread = math.sqrt((good + defective + 1) / (12 * good * defective))
    if area > 0.5 + _Z * spread:
        return ""
    return (
        "It is no better than guessing: scores drawn at random would reach an image AUROC of "
        f"50.0 %, and with {plural(good, 'good image')} and {plural(defective, 'defective one')} "
        "in the test the difference may be chance."
    )


def _largest_share(confusion: Confusion) -> float | None:
    """Return the share of the largest class, unless the share of right answers is above it."""
    total = sum(map(sum, confusion))
    right = sum(row[i] for i, row in enumerate(confusion))
    largest = max(map(sum, confusion)) / total
    low, _ = wilson_interval(right, total)
    return largest if low <= largest else None


def _same_for_each_class(confusion: Confusion) -> float | None:
    """Return one divided by the classes, unless the mean recall is above what guesses scatter to.

    Guesses find ``p = 1 / classes`` of each class; the mean of the recalls then has the variance
    ``sum(p (1 - p) / images of the class) / classes**2``.
    """
    rows = [(row[i], sum(row)) for i, row in enumerate(confusion) if sum(row)]
    chance = 1 / len(rows)
    recall = sum(right / count for right, count in rows) / len(rows)
    variance = sum(chance * (1 - chance) / count for _, count in rows) / len(rows) ** 2
    return chance if recall <= chance + _Z * math.sqrt(variance) else None


_JUDGES: Mapping[str, Callable[[Scores, str], str]] = MappingProxyType(
    {
        "classification": _guessed_class,
        "segmentation": _guessed_pixels,
        "anomaly": _guessed_order,
    }
)
"""By task; a task that is not named here has no guess to beat."""
