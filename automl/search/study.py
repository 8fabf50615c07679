"""What Optuna is asked: the space as distributions, and trials as its parameters and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from automl.records import Architecture, Recipe, Rung, SearchSpace, TrialResult
from automl.records.candidates import Freeze

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = [
    "Assignment",
    "Parameters",
    "StudySpace",
    "assignment_parameters",
    "middle_recipe",
    "told_value",
]

Parameters = dict[str, object]


@dataclass(frozen=True)
class Assignment:
    """What one trial is to train."""

    id: str
    number: int
    architecture: Architecture
    recipe: Recipe
    handed_out_s: float = 0.0
    """Second of the run when the driver handed it out."""
    rung: Rung = "train"
    place: str = ""
    """Where on the ladder it stands, for people: ``probe 3/12``; empty for a training."""


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
        rung = cast(Rung, parameters.get("rung", "train"))
        features = f"probe-{architecture.backbone}-{architecture.image_size}"
        return Assignment(
            features if rung == "features" else f"{number:04d}-{architecture.key}",
            number,
            architecture,
            recipe,
            handed_out_s=cast(float, parameters.get("handed_out_s", 0.0)),
            rung=rung,
            place=cast(str, parameters.get("place", "")),
        )


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


def middle_recipe(space: SearchSpace) -> Recipe:
    """Return the recipe in the middle of a space, at its full length."""
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
