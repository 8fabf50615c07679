"""What earlier runs suggest for today's images: which recipes to try first, which networks did well.

Decides which earlier data is like today's, how much a score there says here, and how a recipe of an
earlier search space is moved into today's. Pure; what earlier runs left is read in
:mod:`automl.search.experience`. A recollection orders what is tried and decides nothing else, so one that
misleads costs time alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Sequence
from typing import TypeVar

from automl.records import (
    DataDescription,
    PastRun,
    PastTrial,
    RecalledRun,
    RecalledScore,
    Recipe,
    Recollection,
    SearchSpace,
)
from automl.search.study import Parameters, StudySpace, assignment_parameters

__all__ = ["recalled_points", "recollect", "similarity"]

LEAST_SIMILARITY = 0.5
"""Data less alike than this tells nothing."""
MOST_RUNS = 8
"""The nearest so many earlier runs are learnt from."""
_MOST_RECIPES = 3
"""Tried before the search's own proposals; more would leave it little time of its own."""
_NOISE = 0.02
"""Standard deviation of the score of one training, were it repeated on the same data."""
_FOREIGN = 0.2
"""Standard deviation that is added for data that is not alike at all; in proportion for what is between."""

_OTHER_IMAGES = 0.02
"""Distance of all but the same images, so that these always come first."""
_PER_DOUBLING = 0.1
"""Distance for twice as many images, or twice the height or width."""
_PER_DOUBLED_CLASSES = 0.2
_PER_BALANCE = 0.5
_PER_LOOK = 3.0
"""For a root mean square difference of 1 in brightness and its spread; halves of one
set differed by 0.001 to 0.026, five sets of different kinds by 0.07 to 0.15."""
_OTHER_OBJECTIVE = 0.2

_Value = TypeVar("_Value", int, float)


def similarity(today: DataDescription, other: DataDescription) -> float:
    """Return how much alike two sets of images are for a search, in [0, 1].

    1 for the same images, labels and split under the same objective; 0 for another task. Else it falls
    by a factor e for each unit of distance, to which size, classes, balance and look add up.
    """
    if today.task != other.task:
        return 0.0
    distance = 0.0 if today.objective == other.objective else _OTHER_OBJECTIVE
    if today.fingerprint == other.fingerprint:
        return math.exp(-distance)
    distance += _OTHER_IMAGES
    for ours, theirs in (
        (today.images, other.images),
        (today.height, other.height),
        (today.width, other.width),
    ):
        distance += _PER_DOUBLING * abs(math.log2(ours / theirs))
    distance += _PER_DOUBLED_CLASSES * abs(math.log2(today.classes / other.classes))
    distance += _PER_BALANCE * abs(today.balance - other.balance)
    if len(today.look) == len(other.look) != 0:
        distance += _PER_LOOK * math.dist(today.look, other.look) / math.sqrt(len(today.look))
    return math.exp(-distance)


def recollect(
    today: DataDescription, runs: Sequence[PastRun], *, known: Collection[str]
) -> Recollection:
    """Return what earlier runs suggest.

    Scores count against the median of their run, because no two runs are equally hard. A network's
    is the mean over the runs, each weighted by its similarity.

    Args:
        runs: of any data; those that are not alike, or trained nothing that is known, are left out.
        known: keys of the architectures that may be trained now.
    """
    near = [(similarity(today, run.description), run) for run in runs]
    alike = sorted(
        ((s, run) for s, run in near if s >= LEAST_SIMILARITY and _best_trials(run, known)),
        key=lambda pair: (-pair[0], pair[1].id),
    )[:MOST_RUNS]
    scores = _scores(alike, known)
    promising = sorted(
        (key for key, one in scores.items() if one.score >= 0),
        key=lambda key: (scores[key].spread - scores[key].score, key),
    )
    return Recollection(
        runs=tuple(
            RecalledRun(run.name, s, run.description.fingerprint == today.fingerprint)
            for s, run in alike
        ),
        trials=tuple(_nearest_trial(key, alike) for key in promising[:_MOST_RECIPES]),
        scores=tuple(scores.items()),
    )


def recalled_points(recollection: Recollection, study: StudySpace) -> list[Parameters]:
    """Return what did best before, the most promising first, as points of today's search space.

    Numbers become the nearest that the space allows, names that it does not know its first ones, so
    every recipe is one that Optuna could have drawn.
    """
    by_key = {architecture.key: architecture for architecture in study.architectures}
    return [
        assignment_parameters(by_key[trial.architecture], _within(trial, study.space))
        for trial in recollection.trials
        if trial.architecture in by_key
    ]


def _best_trials(run: PastRun, known: Collection[str]) -> dict[str, PastTrial]:
    """Return the best trial of each known architecture of a run."""
    best: dict[str, PastTrial] = {}
    for trial in run.trials:
        if trial.architecture not in known:
            continue
        if trial.architecture not in best or trial.score > best[trial.architecture].score:
            best[trial.architecture] = trial
    return best


def _scores(
    alike: Sequence[tuple[float, PastRun]], known: Collection[str]
) -> dict[str, RecalledScore]:
    seen: dict[str, list[tuple[float, float]]] = {}
    for weight, run in alike:
        median = statistics.median(trial.score for trial in run.trials)
        for key, trial in _best_trials(run, known).items():
            seen.setdefault(key, []).append((weight, trial.score - median))
    scores = {}
    for key, pairs in seen.items():
        total = sum(weight for weight, _ in pairs)
        mean = sum(weight * score for weight, score in pairs) / total
        foreign = _FOREIGN * (1 - max(weight for weight, _ in pairs))
        scores[key] = RecalledScore(mean, math.hypot(_NOISE / math.sqrt(total), foreign))
    return scores


def _nearest_trial(key: str, alike: Sequence[tuple[float, PastRun]]) -> PastTrial:
    """Return the best trial of an architecture in the most similar run that has one."""
    return next(
        found for _, run in alike if (found := _best_trials(run, {key}).get(key)) is not None
    )


def _within(trial: PastTrial, space: SearchSpace) -> Recipe:
    augmentations = {augmentation.name: augmentation for augmentation in space.augmentations}
    return Recipe(
        learning_rate=_between(trial.learning_rate, space.learning_rate),
        weight_decay=_between(trial.weight_decay, space.weight_decay),
        epochs=_nearest(trial.epochs, space.epochs),
        batch_size=_nearest(trial.batch_size, space.batch_sizes),
        freeze=trial.freeze if trial.freeze in space.freezes else space.freezes[0],
        label_smoothing=_nearest(trial.label_smoothing, space.label_smoothings),
        augmentation=augmentations.get(trial.augmentation, space.augmentations[0]),
        crop=trial.crop if trial.crop in space.crops else space.crops[0],
    )


def _between(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return min(max(value, low), high)


def _nearest(value: _Value, allowed: Sequence[_Value]) -> _Value:
    return min(allowed, key=lambda one: abs(one - value))
