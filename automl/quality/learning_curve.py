"""Would more images help, and how many? A curve of scores over numbers of training images.

The networks of a run would take hours to train at ten sizes; a linear model on frozen features takes
a second, and gains from more images much as they do. Groups are drawn whole, and each repeat judges on
groups of its own, all among the training and validation images.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.quality import probe
from automl.quality.power_law import FittedCurve, fit_curve
from automl.quality.units import Units
from automl.records import CurvePoint, Dataset, FewExamples, LearningCurve, Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["advise", "draw_learning_curve", "few_examples"]

_SIZES = 6
_REPEATS = 8
_LEAST_REPEATS = 3
_JUDGED = 0.25
"""Share of the groups that each repeat judges on."""
_LEAST_IMAGES = 12
_LEAST_GROUPS = 8
_LEAST_LEARNT = 8
"""Images at the beginning of the curve, if it goes down that far."""
_DRAWS = 1000
_MOST_TIMES = 8
"""A forecast beyond so many times the images would be fancy."""
_POINT = 0.01
_FEW = 20
"""With fewer examples of a class neither training nor judging is to be trusted."""
_STEEP = 0.03
"""Recall of a class that the second half of the images brought: still rising."""
_SURE = 2.0
"""Standard errors beyond which a gain is none by chance."""


@dataclass(frozen=True)
class _Repeats:
    """Scores ``(repeats, sizes)`` and recalls ``(repeats, sizes, classes)``, NaN where none."""

    images: NDArray[np.int64]
    """``(sizes,)`` images learnt from, ascending."""
    scores: NDArray[np.float64]
    recalls: NDArray[np.float64]


def draw_learning_curve(
    units: Units, dataset: Dataset, *, embedder: str, seconds: float, seed: int
) -> LearningCurve | None:
    """Return the curve with what it says about more images.

    ``None`` where it cannot be drawn: one class, or fewer than 12 images to learn and judge from.

    Args:
        units: what is learnt; those of test images are left alone.
        dataset: where they come from.
        embedder: name of what made the features, for the report.
        seconds: time for it; at least three repeats are made whatever they take.
        seed: of the draws.
    """
    started = time.monotonic()
    own = np.flatnonzero(units.splits(dataset) != Split.TEST)
    images = np.unique(units.samples[own])
    if len(images) < _LEAST_IMAGES or len(np.unique(units.labels[own])) < 2:
        return None
    found = _repeat(units, dataset, own, until=started + seconds, seed=seed)
    if found is None:
        return None
    points = tuple(_point(found, place, seed) for place in range(len(found.images)))
    fitted = fit_curve(found.images, found.scores, seed=seed)
    now = len(dataset.indices(Split.TRAIN))
    forecasts = tuple(fitted.forecast(now * times) for times in (2, 4))
    needed, advice = advise(fitted, now)
    return LearningCurve(
        unit="images",
        metric=f"mean recall over the classes of {units.noun}, by a linear model on {embedder}",
        points=points,
        fitted=fitted.law,
        forecasts=forecasts,
        needed=needed,
        advice=advice,
        per_class_few=few_examples(
            units.classes[: len(dataset.classes)],
            *_examples(units, dataset, own),
            recalls=found.recalls,
        ),
        seconds=time.monotonic() - started,
    )


def advise(fitted: FittedCurve, now: int) -> tuple[int | None, str]:
    """Return the images needed for one more point, and whether more would help, in words."""
    twice, most = fitted.gain(now, 2 * now), fitted.gain(now, 4 * now)
    reached = fitted.law.score(now)
    total = fitted.images_for(reached + _POINT, most=_MOST_TIMES * now)
    needed = None if total is None else _rounded(max(1, total - now))
    doubled = (
        f"Twice as many images ({2 * now:,}) are expected to add {_points(twice)}, "
        f"four times as many {_points(most)}."
    )
    if twice.low >= _POINT and needed is not None:
        return needed, f"More images would help. {doubled} About {needed:,} more add one point."
    if most.high < _POINT:
        return None, f"More images would hardly help. {doubled}"
    if needed is None:
        return None, (
            f"More images would probably not help: no number of them is expected to add one point. "
            f"{doubled}"
        )
    return needed, (
        f"More images may help a little. {doubled} About {needed:,} more are expected to add one "
        "point."
    )


def _rounded(count: int) -> int:
    """Return a count with two significant digits: no forecast is finer."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return max(1, round(count / step) * step)


def few_examples(
    classes: tuple[str, ...],
    counts: NDArray[np.int64],
    noun: str,
    *,
    recalls: NDArray[np.float64],
) -> tuple[FewExamples, ...]:
    """Return the classes that have too few examples.

    Args:
        classes: names.
        counts: ``(classes or more,)`` examples of each.
        noun: what the examples are, in the plural.
        recalls: ``(repeats, sizes, classes or more)``, NaN where a class was not judged.
    """
    few = []
    for label, name in enumerate(classes):
        count = int(counts[label])
        if count < _FEW:
            reason = f"{count} {noun} to learn and choose from; {_FEW} are the least to trust"
            few.append(FewExamples(name, count, reason))
            continue
        gains = recalls[:, -1, label] - recalls[:, -3, label]
        gains = gains[~np.isnan(gains)]
        if len(gains) < _LEAST_REPEATS:
            continue
        error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
        gain = float(gains.mean())
        if gain >= _STEEP and gain > _SURE * error:
            reason = (
                f"its recall still rises steeply: the last doubling of the images brought "
                f"{100 * gain:.0f} points"
            )
            few.append(FewExamples(name, count, reason))
    return tuple(few)


def _examples(
    units: Units, dataset: Dataset, own: NDArray[np.intp]
) -> tuple[NDArray[np.int64], str]:
    """Return how many examples of each class there are outside the test split, and what is counted.

    Where only some images were looked at, objects are counted by the share of images looked at.
    """
    learnt = [one for one in dataset.samples if one.split is not Split.TEST]
    count = len(units.classes)
    if units.noun != "boxes":
        shown = [label for sample in learnt for label in sample.classes]
        return np.bincount(np.array(shown, np.int64), minlength=count), "images"
    share = len(np.unique(units.samples[own])) / len(learnt)
    counts = np.bincount(units.labels[own], minlength=count) / share
    return np.round(counts).astype(np.int64), units.noun


def _repeat(
    units: Units, dataset: Dataset, own: NDArray[np.intp], *, until: float, seed: int
) -> _Repeats | None:
    sets = probe.compress(tuple(one[own] for one in units.sets), seed=seed)
    labels, samples = units.labels[own], units.samples[own]
    names, group = np.unique(units.groups(dataset)[own].astype(str), return_inverse=True)
    if len(names) < _LEAST_GROUPS:
        return None
    sizes = _sizes(round((1 - _JUDGED) * len(np.unique(samples))))
    scores, recalls = [], []
    for number in range(_REPEATS):
        if number >= _LEAST_REPEATS and time.monotonic() > until:
            break
        generator = np.random.default_rng([seed, number])
        judged, order = _divide(labels, group, generator)
        row = np.array(
            [
                _recalls(sets, labels, part, judged, len(units.classes))
                for part in _first_images(order, samples, sizes)
            ]
        )
        recalls.append(row)
        scores.append(_mean(row))
    return _Repeats(sizes, np.array(scores), np.array(recalls))


def _sizes(most: int) -> NDArray[np.int64]:
    """Return numbers of images, each the root of two times the one before, the last ``most``."""
    steps = max(2, min(_SIZES - 1, int(2 * math.log2(most / _LEAST_LEARNT))))
    return np.round(most * 2.0 ** (-np.arange(steps, -1, -1) / 2)).astype(np.int64)


def _divide(
    labels: NDArray[np.int64], group: NDArray[np.intp], generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return positions to judge on, and the others group by group, both at random.

    Groups are dealt by the class that most of their units have, so that what is judged and every
    beginning of the others shows all classes.
    """
    count = int(group.max()) + 1
    table = np.zeros((count, int(labels.max()) + 1), np.int64)
    np.add.at(table, (group, labels), 1)
    kind = table.argmax(axis=1)
    place = np.empty(count)
    for label in np.unique(kind):
        members = generator.permutation(np.flatnonzero(kind == label))
        held = max(1, round(_JUDGED * len(members))) if len(members) > 1 else 0
        place[members[:held]] = -1.0
        rest = members[held:]
        place[rest] = (np.arange(len(rest)) + generator.random()) / max(len(rest), 1)
    order = np.argsort(place[group], kind="stable")
    judged = int((place[group] < 0).sum())
    return order[:judged], order[judged:]


def _first_images(
    order: NDArray[np.intp], samples: NDArray[np.intp], sizes: NDArray[np.int64]
) -> list[NDArray[np.intp]]:
    """Return the beginnings of ``order`` that hold so many images each."""
    _, first = np.unique(samples[order], return_index=True)
    starts = np.sort(first)
    ends = [int(starts[size]) if size < len(starts) else len(order) for size in sizes.tolist()]
    return [order[:end] for end in ends]


def _recalls(
    sets: tuple[NDArray[np.float32], ...],
    labels: NDArray[np.int64],
    learnt: NDArray[np.intp],
    judged: NDArray[np.intp],
    classes: int,
) -> NDArray[np.float64]:
    """Return the recall of each class, NaN for those that are not judged."""
    answers = probe.predict(sets, labels, learnt, judged, classes=classes).argmax(axis=1)
    truth = labels[judged]
    asked = np.bincount(truth, minlength=classes).astype(np.float64)
    right = np.bincount(truth[answers == truth], minlength=classes)
    recalls: NDArray[np.float64] = np.full(classes, np.nan)
    np.divide(right, asked, out=recalls, where=asked > 0)
    return recalls


def _mean(recalls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean ``(sizes,)`` over the classes that are judged."""
    means: NDArray[np.float64] = np.nanmean(recalls, axis=1)
    return means


def _point(found: _Repeats, place: int, seed: int) -> CurvePoint:
    scores = found.scores[:, place]
    generator = np.random.default_rng([seed, place])
    means = generator.choice(scores, (_DRAWS, len(scores))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return CurvePoint(int(found.images[place]), float(scores.mean()), float(low), float(high))


def _points(gain: CurvePoint) -> str:
    """Return a gain in points: ``2.1 points (1.2 to 3.4)``."""
    low, high = 100 * gain.low, 100 * gain.high
    return f"{100 * gain.mean:.1f} points ({low:.1f} to {high:.1f})"
