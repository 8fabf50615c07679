"""How far a training by gradient descent came, as a file: to go on from it as if it had never stopped.

Decides what that takes: the weights of the last step and their running average, the optimiser's
moments, where the learning rate is, the epochs so far, what was decided by the clock (precision,
number of epochs), and both sources of random numbers. What follows from the recipe and the data is
built again, so a file is refused by any other training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automl.records import Architecture, Epoch, Recipe
from automl.storage import DamagedFileError
from automl.training.averaging import AveragedWeights
from automl.training.checkpoint import load_progress, save_progress
from automl.training.precision import Precision

__all__ = ["Origin", "TrainingProgress", "TrainingState"]


@dataclass(frozen=True)
class Origin:
    """Which training it is: all that makes it begin the same way, besides the images."""

    architecture: Architecture
    recipe: Recipe
    seed: int
    images: int
    """Of the training split."""
    has_fitted_head: bool = False
    """Whether it began with a head that was fitted, and keeps the statistics that this one knows."""
    early_steps: tuple[int, int] | None = None
    """Pixels and steps of an epoch that looks at less."""


@dataclass(frozen=True)
class TrainingProgress:
    """What is no tensor of a half-done training."""

    origin: Origin
    epochs: tuple[Epoch, ...]
    planned_epochs: int
    """That make a whole training: fewer than the recipe's when time was short."""
    precision: Precision | None
    """What was decided about half precision; ``None``: not yet."""
    scaler: dict[str, int | float]
    """How the loss is scaled in float16 (state of torch's ``GradScaler``); empty in others."""
    steps: int
    """Of the optimiser and its schedule."""
    rates: tuple[float, ...]
    """The learning rate of each group of parameters for the next step."""
    averaged: int
    """Steps in the running average."""
    order: str
    """State of the numpy generator as JSON: the order of images, and where crops are cut."""


class TrainingState:
    """The parts of one training that change while it runs, to be written and read together."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
        average: AveragedWeights,
        order: np.random.Generator,
    ) -> None:
        self._module = module
        self._optimizer = optimizer
        self._schedule = schedule
        self._average = average
        self._order = order

    def save(
        self,
        path: Path,
        *,
        origin: Origin,
        epochs: tuple[Epoch, ...],
        planned_epochs: int,
        precision: Precision | None,
        scaler: dict[str, int | float],
    ) -> None:
        """Write the state to one file, atomically; the training goes on as if nothing had happened."""
        progress = TrainingProgress(
            origin=origin,
            epochs=epochs,
            planned_epochs=planned_epochs,
            precision=precision,
            scaler=scaler,
            steps=self._schedule.last_epoch,
            rates=tuple(float(group["lr"]) for group in self._optimizer.param_groups),
            averaged=self._average.count,
            order=json.dumps(self._order.bit_generator.state),
        )
        self._average.take_out()
        try:
            save_progress(path, self._tensors(), progress)
        finally:
            self._average.put_in()

    def restore(self, path: Path, *, origin: Origin) -> TrainingProgress:
        """Read the state from a file; the module is left with its averaged weights.

        Raises:
            FileNotFoundError: when there is no such file.
            DamagedFileError: when the file is torn, altered, or of another training.
        """
        tensors, progress = load_progress(path, TrainingProgress)
        if progress.origin != origin:
            raise DamagedFileError(
                f"'{path}' is of another training: {_difference(origin, progress.origin)}. "
                "Delete it: the training will begin again."
            )
        try:
            self._put(tensors, progress)
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise DamagedFileError(
                f"'{path}' does not fit this network ({error}). "
                "Delete it: the training will begin again."
            ) from error
        return progress

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"module.{name}": t for name, t in self._module.state_dict().items()}
        tensors |= {f"average.{name}": t for name, t in self._average.tensors().items()}
        for name, parameter in self._module.named_parameters():
            for part, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{part}.{name}"] = value
        tensors["random"] = torch.random.get_rng_state()
        if torch.cuda.is_available():
            tensors["random_cuda"] = torch.cuda.get_rng_state()
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def _put(self, tensors: Mapping[str, Tensor], progress: TrainingProgress) -> None:
        self._average.take_out()
        self._module.load_state_dict(_below(tensors, "module."))
        self._average.restore(_below(tensors, "average."), count=progress.averaged)
        self._put_moments(_below(tensors, "optimizer."))
        self._schedule.last_epoch = progress.steps
        for group, rate in zip(self._optimizer.param_groups, progress.rates, strict=True):
            group["lr"] = rate
        self._order.bit_generator.state = json.loads(progress.order)
        torch.random.set_rng_state(tensors["random"])
        if torch.cuda.is_available() and "random_cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random_cuda"])
        self._average.put_in()

    def _put_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Give the optimiser its moments, each laid out in memory as its parameter is."""
        parameters = dict(self._module.named_parameters())
        for key, value in moments.items():
            part, _, name = key.partition(".")
            parameter = parameters[name]
            own = value.clone()
            if value.shape == parameter.shape:
                own = torch.empty_like(parameter, requires_grad=False).copy_(value)
            state: dict[str, Any] = self._optimizer.state[parameter]
            state[part] = own


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _difference(own: Origin, other: Origin) -> str:
    """Name the first thing in which two trainings differ."""
    for name in ("architecture", "recipe", "seed", "images", "has_fitted_head", "early_steps"):
        mine, theirs = getattr(own, name), getattr(other, name)
        if mine != theirs:
            if isinstance(mine, Architecture):
                mine, theirs = mine.key, theirs.key
            return f"its {name} is {theirs}, here it is {mine}"
    return "nothing differs"
