"""What Optuna is asked: the space as distributions, good first points, and past trials told again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from automl.records import Architecture, Plan, Recipe, SearchSpace, TrialResult
from automl.records.candidates import Freeze

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["Assignment", "StudySpace", "assignment_parameters", "first_points", "told_value"]

Parameters = dict[str, object]


@dataclass(frozen=True)
class Assignment:
    """What one trial is to train."""

    id: str
    number: int
    architecture: Architecture
    recipe: Recipe


@dataclass(frozen=True)
class StudySpace:
    """The feasible architectures with the recipes of a search space."""

    space: SearchSpace
    architectures: tuple[Architecture, ...]

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space for Optuna, one distribution a parameter."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        space = self.space
        return {
            "architecture": CategoricalDistribution([a.key for a in self.architectures]),
            "learning_rate": FloatDistribution(*space.learning_rate, log=True),
            "weight_decay": FloatDistribution(*space.weight_decay, log=True),
            "epochs": CategoricalDistribution(space.epochs),
            "batch_size": CategoricalDistribution(space.batch_sizes),
            "freeze": CategoricalDistribution(space.freezes),
            "label_smoothing": CategoricalDistribution(space.label_smoothings),
            "augmentation": CategoricalDistribution([a.name for a in space.augmentations]),
            "crop": CategoricalDistribution(space.crops),
        }

    def assignment(self, parameters: Mapping[str, object], *, number: int) -> Assignment:
        """Return the trial that Optuna's parameters describe."""
        architecture = next(a for a in self.architectures if a.key == parameters["architecture"])
        augmentation = next(
            a for a in self.space.augmentations if a.name == parameters["augmentation"]
        )
        recipe = Recipe(
            learning_rate=cast(float, parameters["learning_rate"]),
            weight_decay=cast(float, parameters["weight_decay"]),
            epochs=cast(int, parameters["epochs"]),
            batch_size=cast(int, parameters["batch_size"]),
            freeze=cast(Freeze, parameters["freeze"]),
            label_smoothing=cast(float, parameters["label_smoothing"]),
            augmentation=augmentation,
            crop=cast(int | None, parameters["crop"]),
        )
        return Assignment(f"{number:04d}-{architecture.key}", number, architecture, recipe)


def assignment_parameters(architecture: Architecture, recipe: Recipe) -> Parameters:
    """Return a trial as Optuna's parameters: the inverse of :meth:`StudySpace.assignment`."""
    return {
        "architecture": architecture.key,
        "learning_rate": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "freeze": recipe.freeze,
        "label_smoothing": recipe.label_smoothing,
        "augmentation": recipe.augmentation.name,
        "crop": recipe.crop,
    }


def first_points(
    study: StudySpace, plan: Plan, *, tried: Sequence[TrialResult]
) -> list[Parameters]:
    """Return what to try before Optuna has learnt anything, best guess first.

    The lightest network with pretrained weights opens with the fewest epochs, so that there is
    something to deliver early. Then networks with pretrained weights, those that use the most of the
    budget first: with equal training a larger network that still fits is seldom worse. The recipe is
    the middle of the space. Architectures that were tried before (a resumed run) are left out.
    """
    planned = {p.architecture: p for p in plan.architectures}
    done = {result.architecture for result in tried}
    waiting = [a for a in study.architectures if a not in done]
    ranked = sorted(waiting, key=lambda a: (planned[a].weights is None, -planned[a].macs))
    points = [assignment_parameters(a, _middle(study.space)) for a in ranked]
    if done or not waiting:
        return points
    light = min(waiting, key=lambda a: (planned[a].weights is None, planned[a].macs))
    opening = replace(_middle(study.space), epochs=min(study.space.epochs))
    rest = [point for point in points if point["architecture"] != light.key]
    return [assignment_parameters(light, opening), *rest]


def _middle(space: SearchSpace) -> Recipe:
    return Recipe(
        learning_rate=_geometric_middle(space.learning_rate),
        weight_decay=_geometric_middle(space.weight_decay),
        epochs=max(space.epochs),
        batch_size=space.batch_sizes[0],
        freeze=space.freezes[0],
        label_smoothing=space.label_smoothings[0],
        augmentation=space.augmentations[0],
        crop=space.crops[0],
    )


def told_value(result: TrialResult) -> float:
    """Return what Optuna is told of a past trial: 0 when it gave nothing that may be delivered."""
    return result.objective or 0.0


def _geometric_middle(bounds: tuple[float, float]) -> float:
    return float((bounds[0] * bounds[1]) ** 0.5)
