"""The training loop: one epoch a call, so that a scheduler can stop between epochs.

AdamW (Loshchilov & Hutter 2019) with a one-cycle learning rate (Smith & Topin 2018): fine-tuning on a
few hundred images needs a warm-up to keep pretrained weights, and a decay to settle.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from automl.data.truth import Truth
from automl.errors import AutomlError
from automl.records import Epoch, Recipe
from automl.tasks.base import objective_of
from automl.training.activations import FrozenStart
from automl.training.averaging import AveragedWeights
from automl.training.batches import Batches
from automl.training.course import Course, EarlyLook
from automl.training.precision import Precision, choose_precision
from automl.training.progress import Origin, TrainingState
from automl.training.schedule import decayed_apart, one_cycle
from automl.training.validation import Normalise, judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.models.backbones import Network
    from automl.tasks.base import Task
    from automl.training.examples import Examples

__all__ = ["DivergedError", "Trainer"]

_MOST_WEIGHED = 500
"""Training truths that tell how rare each class is."""
_GRADIENT_NORM = 5.0
"""Clip: keeps one odd batch from throwing pretrained weights away."""


class DivergedError(AutomlError):
    """The loss is no longer a number: the learning rate was too high for this network."""


class Trainer:
    """Trains one network on one set by gradient descent, an epoch at a time.

    Args:
        network: what to train; its ``mean`` and ``std`` (of pixels in 0..1) normalise the images.
        task: what the network is for: loss, answers and metrics.
        recipe: learning rate, epochs and so on.
        train: the training images.
        val: images that are only looked at, for the score after each epoch.
        objective: the metric of the task that is reported for each epoch.
        eval_norms: normalisation layers that stay in eval mode and so keep their statistics.
        device: ``cpu`` or ``cuda``.
        seed: of the order, the augmentation and dropout.
        left_s: seconds that are left to train. A training that cannot end in time is made shorter
            after its first epoch, so that its learning rate still falls to the end; an epoch in
            which time runs out is validated as it is.
        early: what the first epochs look at in place of ``train``; ``None``: the same. Not asked where
            activations of training images are kept: they are computed once, at their full size.
        kept_bytes: that activations of a frozen start may take; ``None``: a share of what is free.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        recipe: Recipe,
        *,
        train: Examples,
        val: Examples,
        objective: str,
        eval_norms: tuple[nn.Module, ...],
        device: str,
        seed: int,
        left_s: Callable[[], float] = lambda: math.inf,
        early: EarlyLook | None = None,
        kept_bytes: int | None = None,
    ) -> None:
        self._network = network
        self._module = network.module.to(device).to(memory_format=torch.channels_last)
        self._task = task
        self._recipe = recipe
        self._train = train
        self._val = val
        self._objective = objective
        self._loss = task.loss(
            train.some_truths(_MOST_WEIGHED), label_smoothing=recipe.label_smoothing
        ).to(device)
        self._eval_norms = eval_norms
        self._device = device
        self._seed = seed
        self._left_s = left_s
        self._precision: Precision | None = None
        self._scaler = torch.amp.GradScaler(device, enabled=False)
        torch.manual_seed(seed)
        self._order = np.random.default_rng(seed)
        self._normalise = Normalise(network, device)
        self._batches = Batches(task, recipe, train, self._order)
        self._start: FrozenStart | None = None
        if self._batches.crop is None and val.tile is None:
            self._start = FrozenStart.of(
                self._module,
                epochs=recipe.epochs,
                train=train,
                val=val,
                augment=self._batches.augment,
                normalise=self._normalise,
                seed=seed,
                device=device,
                most_bytes=kept_bytes,
            )
        self._course = Course(self._batches, self._early_batches(early), epochs=recipe.epochs)
        self._optimizer = torch.optim.AdamW(
            decayed_apart(self._module, recipe.weight_decay), lr=recipe.learning_rate, fused=True
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: one_cycle(step / self._course.steps)
        )
        self._average = AveragedWeights(self._module, steps=self._course.steps)
        self._state = TrainingState(
            self._module, self._optimizer, self._schedule, self._average, self._order
        )
        self._origin = Origin(
            network.architecture,
            recipe,
            seed,
            len(train),
            network.has_fitted_head,
            self._course.early_steps,
        )
        self.epochs: list[Epoch] = []

    @property
    def total_epochs(self) -> int:
        """How many epochs make a whole training."""
        return self._course.epochs

    @property
    def next_epoch_s(self) -> float:
        """Seconds that another epoch will take, as the last one tells."""
        return self._course.expected_s(len(self.epochs) + 1)

    def run_epoch(self) -> Epoch:
        """Train one epoch and look at the validation images once.

        The network is left with its averaged weights, ready to be exported.

        Raises:
            DivergedError: when the loss is not finite.
        """
        started = time.perf_counter()
        self._average.take_out()
        self._module.train()
        for part in self._eval_norms:
            part.eval()
        batches = self._course.batches(len(self.epochs) + 1)
        order = batches.epoch()
        precision = self._precision or self._compute_in(self._choose_precision(order[0]))
        losses, moments = [], [time.perf_counter()]
        for positions in order:
            losses.append(self._step(batches, positions, precision))
            moments.append(time.perf_counter())
            if self._left_s() <= 0:
                break
        self._average.put_in()
        val_loss, val_score = self.validate()
        ended = time.perf_counter()
        number = len(self.epochs) + 1
        epoch = Epoch(
            number=number,
            train_loss=float(np.mean(losses)),
            val_loss=val_loss,
            val_score=val_score,
            seconds=ended - started,
            is_early=self._course.is_early(number),
        )
        self.epochs.append(epoch)
        self._course.note(
            number, steps_s=_usual_step_s(moments) * len(order), rest_s=ended - moments[-1]
        )
        if epoch.number == 1:
            self._course.shorten(self._left_s())
        return epoch

    def checkpoint(self, path: Path) -> None:
        """Write how far the training came to one safetensors file, atomically; between two epochs."""
        self._state.save(
            path,
            origin=self._origin,
            epochs=tuple(self.epochs),
            planned_epochs=self._course.epochs,
            precision=self._precision,
            scaler=self._scaler.state_dict(),
        )

    def restore(self, path: Path) -> None:
        """Go on from a file of the same training as if it had never stopped: to the last bit, on the
        same machine with one thread.

        Raises:
            FileNotFoundError: when there is no such file.
            DamagedFileError: when it is torn, altered, or of another training.
        """
        progress = self._state.restore(path, origin=self._origin)
        self.epochs[:] = progress.epochs
        self._course.epochs = progress.planned_epochs
        if progress.precision is not None:
            self._compute_in(progress.precision)
            self._scaler.load_state_dict(progress.scaler)

    def validate(self) -> tuple[float, float]:
        """Return loss and objective on the validation images."""
        losses: list[tuple[float, int]] = []

        def note_loss(outputs: Any, truths: list[Truth]) -> None:
            targets = self._task.collate([self._task.encode(truth) for truth in truths])
            value = float(self._loss(outputs, _moved(targets, self._device)))
            losses.append((value, len(truths)))

        scores = judge(
            self._network,
            self._task,
            self._val,
            device=self._device,
            seed=self._seed,
            each=note_loss,
            forward=None if self._start is None else self._start.judge,
        )
        loss = sum(value * count for value, count in losses) / sum(count for _, count in losses)
        if not math.isfinite(loss):
            raise DivergedError(_DIVERGED.format(what="validation", epoch=len(self.epochs) + 1))
        return loss, objective_of(scores, self._objective)

    def _early_batches(self, early: EarlyLook | None) -> Batches | None:
        """Return the batches of epochs that look at less, unless they go through what is kept."""
        if early is None or (self._start is not None and self._start.views):
            return None
        return Batches(
            self._task, self._recipe, early.examples, self._order, most_images=early.images
        )

    def _step(self, batches: Batches, positions: NDArray[np.int64], precision: Precision) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        if self._start is None or not self._start.views:
            images, targets = batches.images(positions)
            outputs = self._run(self._module, (self._normalise(images),), precision)
        else:
            rows = self._start.rows(positions, epoch=len(self.epochs))
            values = self._start.values(rows, getattr(torch, precision))
            outputs = self._run(self._start.rest, values, precision)
            targets = self._batches.targets(positions, self._start.variation(rows))
        loss: Tensor = self._loss(outputs, _moved(targets, self._device))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(_DIVERGED.format(what="training", epoch=len(self.epochs) + 1))
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._module.parameters(), _GRADIENT_NORM)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        self._average.update()
        return value

    def _compute_in(self, precision: Precision) -> Precision:
        """Use a precision from now on; in float16 the loss is scaled, or small gradients vanish."""
        self._precision = precision
        self._scaler = torch.amp.GradScaler(self._device, enabled=precision == "float16")
        return precision

    def _choose_precision(self, positions: NDArray[np.int64]) -> Precision:
        """Time steps of a batch; random numbers, statistics and weights are left as they were."""
        with torch.random.fork_rng(devices=()):  # full images: most of the time goes into those
            images, targets = self._batches.images(positions)
        pixels, known = self._normalise(images), _moved(targets, self._device)

        def loss_of(precision: Precision) -> Tensor:
            loss: Tensor = self._loss(self._run(self._module, (pixels,), precision), known)
            return loss

        name = self._network.architecture.key
        chosen = choose_precision(self._module, pixels, loss_of, name=name)
        self._optimizer.zero_grad(set_to_none=True)
        return chosen

    def _run(self, module: nn.Module, inputs: tuple[Tensor, ...], precision: Precision) -> Any:
        """Return what a module says in a precision, as float32."""
        half = precision != "float32"
        with torch.autocast(self._device, getattr(torch, precision), enabled=half):
            outputs = module(*inputs)
        return tree_map(Tensor.float, outputs) if half else outputs


def _usual_step_s(moments: list[float]) -> float:
    """Return what a step takes: the mean, without the first, in which much happens once."""
    steps = np.diff(moments)
    return float(np.mean(steps[1:] if len(steps) > 1 else steps))


_DIVERGED = (
    "The {what} loss of epoch {epoch} is not a number: the training diverged. "
    "A lower learning rate in the search space avoids it."
)


def _moved(targets: Any, device: str) -> Any:
    return tree_map(lambda t: t.to(device) if isinstance(t, Tensor) else t, targets)
