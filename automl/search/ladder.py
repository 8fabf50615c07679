"""Which architecture is looked at how closely, and when: a ladder of ever dearer looks at ever fewer.

Decides, from what is known so far and nothing else, what comes before the trainings that Optuna proposes:

1. ``features``: frozen pretrained features of each backbone and image size, best expectation first.
2. ``probe``: the best linear model on them becomes a network that can be delivered, within a minute. Where
   that takes little of the time, it is trained shortly at once, before anything else is looked at.
3. ``glance``: an epoch at a low resolution, on some of the images, for twice as many as can be trained.
4. ``train``: the survivors, each by the middle recipe first, then as Optuna proposes.

Rungs that cannot help are left out: features without pretrained weights, glances when there is time to
train all. No clock is read and no number drawn here: the same results give the same decisions, also after
a run was killed and resumed. (Halving by ever larger budgets: Karnin et al. 2013, Jamieson and Talwalkar
2016; probing before tuning: Kumar et al. 2022, https://arxiv.org/abs/2202.10054.)
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from automl.records import (
    Architecture,
    PlannedArchitecture,
    Recipe,
    Rung,
    TruthKind,
)
from automl.search.climb import Climb
from automl.search.prior import combine
from automl.search.study import StudySpace, middle_recipe

__all__ = [
    "GLANCE_IMAGES",
    "Ladder",
    "Step",
    "low_resolution",
    "probe_id",
    "rungs_of",
]

_RUNGS: Mapping[TruthKind, tuple[Rung, ...]] = MappingProxyType(
    {
        "label": ("features", "probe", "glance", "train"),
        "mask": ("glance", "train"),
        "boxes": ("glance", "train"),
        "defect": ("train",),
    }
)
"""By what is known of an image. A linear model on pooled features gives one label an image and no mask or
boxes; what remembers good images learns in one pass, so that there is nothing cheaper than to train it."""
_EARLY_PROBES = 2
"""After so many sets of features the best so far is delivered, before the rest is looked at."""
_MOST_DELIVERED = 2
"""Networks with a linear head that are delivered; each takes as long to export as a short training."""
_CLEARLY_BETTER = 0.02
"""A later probe is delivered too if it scores so much more: less is chance, and trainings follow."""
_FEATURES_SHARE = 0.15
_GLANCES_SHARE = 0.15
"""Of search.time, at most so much goes to these rungs; the rest trains."""
_TRAINING_SHARE = 0.6
"""Of search.time, about so much is left to train after planning, probing and before the proof."""
_EARLY_SHARE = 0.15
"""Of search.time, at most so much for a first training of a network that may not be the best one."""
_FEWEST_WITH_EARLY = 4
"""Trainings, before one of them goes to a network that may not be the best one."""
_TRIALS_EACH = 3
"""Trainings that a survivor should get: with fewer, its recipe is a matter of luck."""
_FEWEST_SURVIVORS = 2
_GLANCES_EACH = 2
"""Glances for each survivor."""
GLANCE_IMAGES = 2_000
"""Images that a glance trains on, and that judge it, at most: it only compares networks."""
_LOW_RESOLUTION = 0.7
"""Of the image size, for a glance: half the pixels, half the time."""
_MULTIPLE = 32
"""Image sizes are multiples of this, the total stride of most networks."""
_MACS_PER_SECOND = 15e9
"""Forward multiply-accumulates of one core in training (38 images of tf_efficientnet_lite0 at 224 px a
second); only to guess how many trainings there is time for, before any was seen."""
_PASSES = 3.0
"""A training step costs about three forward passes."""
_IMAGE_SECONDS = 0.003
"""To read, augment and validate one image in one epoch, beside what the network computes."""
_FINISH_SECONDS = 12.0
"""To export, quantize and judge one network."""
_GLANCE_NOISE = 0.03
"""Standard deviation of a score after one epoch, by which it misleads about the end of a training."""

Waiting = Literal["wait"]


@dataclass(frozen=True)
class Step:
    """What to do next."""

    rung: Rung
    architecture: Architecture
    recipe: Recipe
    place: str
    """Where on the ladder, for people: ``probe 3/12``."""


@dataclass(frozen=True)
class Ladder:
    """What there is to decide about, known before the search begins."""

    study: StudySpace
    planned: tuple[PlannedArchitecture, ...]
    """The architectures of the study, as planned."""
    rungs: tuple[Rung, ...]
    expected: Mapping[str, float]
    """Of each architecture, from :func:`automl.search.prior.expected_scores`."""
    images: int
    """Of the training split."""
    time_s: float
    cores: int
    """That train at the same time, in all trials together."""
    trial_cores: int
    """That train one network."""
    trials: int | None

    def next(self, climb: Climb) -> Step | Waiting | None:
        """Return what to do before training, ``wait`` for what is under way, or ``None``: train."""
        if "features" in self.rungs:
            step = self._next_probe(climb)
            if step is not None:
                return step
        opening = self._opening(climb)
        if opening is not None:
            return opening
        return self._next_glance(climb) if "glance" in self.rungs else None

    def ranking(self, climb: Climb) -> list[Architecture]:
        """Return all architectures, the most promising first."""
        promise = self._promise(climb)
        glanced = {key: score for key, score in climb.glances.items() if score is not None}
        if glanced:
            # A glance scores lower than a training will. How much lower is learnt from those glanced at,
            # so that they can be compared with the others.
            promise = combine(promise, glanced, noise=dict.fromkeys(glanced, _GLANCE_NOISE))
        return sorted(self.study.architectures, key=lambda a: -promise[a.key])

    def survivors(self, climb: Climb) -> tuple[Architecture, ...]:
        """Return the architectures that are worth a whole training in the time there is."""
        failed = {key for key, score in climb.glances.items() if score is None}
        ranking = [a for a in self.ranking(climb) if a.key not in failed]
        return tuple(ranking[: self._survivor_count(climb)]) or self.study.architectures

    def points(self, climb: Climb) -> list[tuple[Architecture, Recipe]]:
        """Return what to train first, before Optuna has learnt anything: each survivor at length.

        Before them the best one shortly, so that there is something better early, unless a network was
        trained from the head of its probe already.
        """
        middle = middle_recipe(self.study.space)
        survivors = self.survivors(climb)
        points = [(architecture, middle) for architecture in survivors]
        brief = self._shortly(survivors[0], climb)
        if brief is not None and not climb.has_trained_from_probe():
            points.insert(0, (survivors[0], brief))
        return points

    @property
    def _shortest(self) -> int:
        return min(self.study.space.epochs)

    def _shortly(self, architecture: Architecture, climb: Climb) -> Recipe | None:
        """Return the middle recipe with the fewest epochs; ``None``: it has no more itself."""
        middle = middle_recipe(self.study.space)
        if self._shortest >= middle.epochs:
            return None
        return self._gently(architecture, replace(middle, epochs=self._shortest), climb)

    def _gently(self, architecture: Architecture, recipe: Recipe, climb: Climb) -> Recipe:
        """Return a recipe with the smallest steps of the space where a fitted head is there to be kept.

        With the middle rate, and before heads were softened, one epoch took networks whose heads scored 0.91
        to 0.93 down to 0.11 to 0.88 (sign_digits, tf_efficientnet_lite1 and 2, 0.0017).
        """
        if architecture.key not in climb.scores:
            return recipe
        return replace(recipe, learning_rate=self.study.space.learning_rate[0])

    def _next_probe(self, climb: Climb) -> Step | Waiting | None:
        groups = self._groups()
        waiting = [
            g for g in groups if g not in climb.probed and f"features {g}" not in climb.under_way
        ]
        if sum(climb.probed.values()) > _FEATURES_SHARE * self.time_s:
            waiting = []
        is_early = len(climb.probed) >= min(_EARLY_PROBES, len(groups)) and not climb.delivered
        delivery = self._delivery(climb) if is_early or not waiting else None
        if delivery is not None:
            return delivery
        training = self._early_training(climb)
        if training is not None:
            return training
        if waiting:
            place = f"probe {groups.index(waiting[0]) + 1}/{len(groups)}"
            return self._step("features", self._members(waiting[0])[-1], 0, place)
        return "wait" if climb.is_under_way("features") else None

    def _delivery(self, climb: Climb) -> Step | None:
        """Return the best probe as something to deliver, if it is new and clearly better."""
        if not climb.scores or len(climb.delivered) >= _MOST_DELIVERED:
            return None
        if climb.is_under_way("probe"):
            return None
        known = [k for k in climb.scores if k in self._planned]
        fresh = [k for k in known if k not in climb.delivered]
        done = [climb.scores.get(k, 0.0) for k, s in climb.delivered.items() if s is not None]
        done += [score for score in climb.trained.values() if score is not None]
        best = max(fresh, key=lambda k: (climb.scores[k], -self._planned[k].macs), default=None)
        if best is None or (done and climb.scores[best] < max(done) + _CLEARLY_BETTER):
            return None
        return self._step("probe", self._planned[best].architecture, 0, "best probe")

    def _early_training(self, climb: Climb) -> Step | None:
        """Return the network that was delivered, trained shortly, where that is soon done.

        A trained network is worth more to who waits than to know which of all would be the best.
        """
        delivered = {key: score for key, score in climb.delivered.items() if score is not None}
        is_late = climb.glances or climb.is_under_way("glance")
        if not delivered or climb.trained or is_late:
            return None
        if self.trials is not None and self.trials < _FEWEST_WITH_EARLY:
            return None
        best = self._planned[max(delivered, key=lambda key: delivered[key])].architecture
        recipe = self._shortly(best, climb)
        if recipe is None:
            return None
        seconds = self._early_seconds(best, epochs=recipe.epochs)
        return Step("train", best, recipe, "") if seconds <= _EARLY_SHARE * self.time_s else None

    def _early_seconds(self, architecture: Architecture, *, epochs: int) -> float:
        """Return what a training with the cores of one trial is expected to take, its file included."""
        computing = self._train_seconds(architecture, epochs=epochs) * self.cores / self.trial_cores
        return computing + epochs * self.images * _IMAGE_SECONDS + _FINISH_SECONDS

    def _opening(self, climb: Climb) -> Step | None:
        """Return the lightest network, trained shortly, when nothing else was delivered."""
        is_delivered = any(score is not None for score in climb.delivered.values())
        if is_delivered or climb.trained or climb.is_under_way("probe"):
            return None
        lightest = min(self.planned, key=lambda p: (p.weights is None, p.macs)).architecture
        return self._step("train", lightest, self._shortest, "")

    def _next_glance(self, climb: Climb) -> Step | Waiting | None:
        survivors = self._survivor_count(Climb())  # as guessed before: glances do not beget glances
        promise = self._promise(climb)
        candidates = sorted(self._glanceable(), key=lambda a: -promise[a.key])
        if len(candidates) <= survivors:
            return None
        chosen = candidates[: self._glance_count(candidates, survivors)]
        if len(chosen) <= 1:
            return None
        for place, architecture in enumerate(chosen, 1):
            key = architecture.key
            if key in climb.glances or f"glance {key}" in climb.under_way:
                continue
            if sum(climb.glance_seconds.values()) > _GLANCES_SHARE * self.time_s:
                break
            step = self._step("glance", architecture, 1, f"glance {place}/{len(chosen)}")
            return replace(step, recipe=self._gently(architecture, step.recipe, climb))
        return "wait" if climb.is_under_way("glance") else None

    def _glanceable(self) -> list[Architecture]:
        """Return those worth a look: without pretrained weights only where no network has any."""
        weighted = [p.architecture for p in self.planned if p.weights is not None]
        return weighted or list(self.study.architectures)

    def _glance_count(self, candidates: Sequence[Architecture], survivors: int) -> int:
        """Return how many glances there is time for: about, by what they are expected to cost."""
        seconds = [self._glance_seconds(a) + _FINISH_SECONDS / 4 for a in candidates]
        count, spent = 0, 0.0
        for one in seconds[: _GLANCES_EACH * survivors]:
            spent += one
            if spent > _GLANCES_SHARE * self.time_s:
                break
            count += 1
        return count

    def _survivor_count(self, climb: Climb) -> int:
        """Return how many architectures can be trained a few times each."""
        if self.rungs == ("train",):
            return len(self.study.architectures)
        epochs = statistics.fmean(self.study.space.epochs)
        each = [self._train_seconds(p.architecture, epochs=epochs) for p in self.planned]
        mean = statistics.fmean(each) * self._slowness(climb) + _FINISH_SECONDS
        affordable = _TRAINING_SHARE * self.time_s / mean
        if self.trials is not None:
            affordable = min(affordable, self.trials)
        return min(
            len(self.study.architectures), max(_FEWEST_SURVIVORS, int(affordable / _TRIALS_EACH))
        )

    def _train_seconds(self, architecture: Architecture, *, epochs: float) -> float:
        macs = self._planned[architecture.key].macs
        return epochs * self.images * macs * _PASSES / (_MACS_PER_SECOND * max(1, self.cores))

    def _glance_seconds(self, architecture: Architecture) -> float:
        share = min(1.0, GLANCE_IMAGES / max(1, self.images)) * _LOW_RESOLUTION**2
        return self._train_seconds(architecture, epochs=1) * share

    def _slowness(self, climb: Climb) -> float:
        """Return how much slower trainings are here than guessed, as far as glances tell."""
        ratios = [
            seconds / max(1e-3, self._glance_seconds(a))
            for a in self.study.architectures
            if (seconds := climb.glance_seconds.get(a.key)) is not None
        ]
        return statistics.median(ratios) if ratios else 1.0

    def _promise(self, climb: Climb) -> dict[str, float]:
        """Return what is expected of each architecture before it is trained at all."""
        return combine({key: self.expected[key] for key in self._planned}, climb.scores)

    def _groups(self) -> list[str]:
        """Return the sets of features, the one with the best expectation first."""
        best: dict[str, tuple[float, int]] = {}
        for planned in self.planned:
            if planned.weights is None:
                continue
            id_ = probe_id(planned.architecture)
            value = (self.expected[planned.architecture.key], planned.macs)
            best[id_] = max(value, best.get(id_, value))
        return sorted(best, key=lambda id_: best[id_], reverse=True)

    def _members(self, group: str) -> list[Architecture]:
        return [p.architecture for p in self.planned if probe_id(p.architecture) == group]

    def _step(self, rung: Rung, architecture: Architecture, epochs: int, place: str) -> Step:
        recipe = replace(middle_recipe(self.study.space), epochs=epochs)
        if rung == "probe":
            recipe = replace(recipe, freeze="backbone")
        return Step(rung, architecture, recipe, place)

    @property
    def _planned(self) -> dict[str, PlannedArchitecture]:
        return {p.architecture.key: p for p in self.planned}


def rungs_of(truth: TruthKind, planned: Sequence[PlannedArchitecture]) -> tuple[Rung, ...]:
    """Return the rungs that can help: no features where no network has pretrained weights."""
    rungs = _RUNGS[truth]
    if any(p.weights is not None for p in planned):
        return rungs
    return tuple(rung for rung in rungs if rung in ("glance", "train"))


def probe_id(architecture: Architecture) -> str:
    """Return the name of the features that an architecture's head is fitted on, shared by all depths."""
    return f"probe-{architecture.backbone}-{architecture.image_size}"


def low_resolution(image_size: int) -> int:
    """Return the side of the images of a glance: about 0.7 of the usual, a multiple of 32."""
    steps = max(1, round(image_size * _LOW_RESOLUTION / _MULTIPLE))
    return min(image_size, steps * _MULTIPLE)
