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

from automl.data.augment import BatchAugmentation, crop
from automl.data.truth import Truth
from automl.errors import AutomlError
from automl.records import Epoch, Recipe
from automl.tasks.base import objective_of
from automl.training.averaging import AveragedWeights
from automl.training.precision import Precision, choose_precision
from automl.training.progress import Origin, TrainingState
from automl.training.validation import Normalise, judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.models.backbones import Network
    from automl.tasks.base import Encoded, Task
    from automl.training.examples import Examples

__all__ = ["DivergedError", "Trainer", "one_cycle"]

_WARM_UP_SHARE = 0.25
"""Share of all steps in which the learning rate rises; a quarter held best on short fine-tunings."""
_FEWEST_BATCHES = 25
"""An epoch of crops has at least so many, however few the images: else there are too few steps."""
_FIRST_RATE = 0.04
_LAST_RATE = 4e-6
"""Shares of the learning rate at both ends of a training, as Smith & Topin chose them."""
_SLOWER_LATER = 1.05
"""Other work on the machine may slow later epochs down a little."""
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
        frozen: modules that keep their batch statistics and weights.
        device: ``cpu`` or ``cuda``.
        seed: of the order, the augmentation and dropout.
        left_s: seconds that are left to train. A training that cannot end in time is made shorter
            after its first epoch, so that its learning rate still falls to the end; an epoch in
            which time runs out is validated as it is.
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
        frozen: tuple[nn.Module, ...],
        device: str,
        seed: int,
        left_s: Callable[[], float] = lambda: math.inf,
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
        self._frozen = frozen
        self._device = device
        self._seed = seed
        self._left_s = left_s
        self._epochs = recipe.epochs
        self._precision: Precision | None = None
        torch.manual_seed(seed)
        self._order = np.random.default_rng(seed)
        self._normalise = Normalise(network, device)
        self._crop = _crop_side(
            recipe.crop or train.tile, train.size, is_tiled=train.tile is not None
        )
        size = train.size if self._crop is None else (self._crop, self._crop)
        self._augment = BatchAugmentation(recipe.augmentation, size=size)
        self._views = len(train)
        if self._crop is not None:
            cover = len(train) * round(train.size[0] * train.size[1] / self._crop**2)
            self._views = max(cover, _FEWEST_BATCHES * recipe.batch_size)
        self._batches = max(1, self._views // recipe.batch_size)
        self._optimizer = torch.optim.AdamW(
            _decayed_apart(self._module, recipe.weight_decay), lr=recipe.learning_rate
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: one_cycle(step / (self._batches * self._epochs))
        )
        self._average = AveragedWeights(self._module, steps=self._batches * recipe.epochs)
        self._state = TrainingState(
            self._module, self._optimizer, self._schedule, self._average, self._order
        )
        self._origin = Origin(network.architecture, recipe, seed, len(train))
        self.epochs: list[Epoch] = []

    @property
    def total_epochs(self) -> int:
        """How many epochs make a whole training."""
        return self._epochs

    def run_epoch(self) -> Epoch:
        """Train one epoch and look at the validation images once.

        The network is left with its averaged weights, ready to be exported.

        Raises:
            DivergedError: when the loss is not finite.
        """
        started = time.perf_counter()
        self._average.take_out()
        self._module.train()
        for part in self._frozen:
            part.eval()
        order = self._order.permutation(self._views) % len(self._train)
        size = self._recipe.batch_size
        losses = []
        for batch in range(self._batches):
            losses.append(self._step(np.sort(order[batch * size : (batch + 1) * size])))
            if self._left_s() <= 0:
                break
        self._average.put_in()
        val_loss, val_score = self.validate()
        epoch = Epoch(
            number=len(self.epochs) + 1,
            train_loss=float(np.mean(losses)),
            val_loss=val_loss,
            val_score=val_score,
            seconds=time.perf_counter() - started,
        )
        self.epochs.append(epoch)
        if epoch.number == 1:
            self._fit_time(epoch.seconds)
        return epoch

    def checkpoint(self, path: Path) -> None:
        """Write how far the training came to one safetensors file, atomically; between two epochs."""
        self._state.save(
            path,
            origin=self._origin,
            epochs=tuple(self.epochs),
            planned_epochs=self._epochs,
            precision=self._precision,
            scale=None,
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
        self._epochs = progress.planned_epochs
        self._precision = progress.precision

    def _fit_time(self, epoch_s: float) -> None:
        """Shorten the training to what its first epoch says can be done in time."""
        possible = self._left_s() / (epoch_s * _SLOWER_LATER)
        if possible < self._epochs - 1:
            self._epochs = 1 + max(1, int(possible))

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
        )
        loss = sum(value * count for value, count in losses) / sum(count for _, count in losses)
        if not math.isfinite(loss):
            raise DivergedError(_DIVERGED.format(what="validation", epoch=len(self.epochs) + 1))
        return loss, objective_of(scores, self._objective)

    def _step(self, positions: NDArray[np.int64]) -> float:
        images, targets = self._batch(positions)
        self._optimizer.zero_grad(set_to_none=True)
        pixels, known = self._normalise(images), _moved(targets, self._device)
        if self._precision is None:
            self._precision = choose_precision(
                self._module,
                pixels,
                lambda precision: self._loss_of(pixels, known, precision),
                name=self._network.architecture.key,
            )
            self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss_of(pixels, known, self._precision)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(_DIVERGED.format(what="training", epoch=len(self.epochs) + 1))
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        nn.utils.clip_grad_norm_(self._module.parameters(), _GRADIENT_NORM)
        self._optimizer.step()
        self._schedule.step()
        self._average.update()
        return value

    def _loss_of(self, pixels: Tensor, known: Any, precision: Precision) -> Tensor:
        half = precision != "float32"
        with torch.autocast(self._device, getattr(torch, precision), enabled=half):
            outputs = self._module(pixels)
        loss: Tensor = self._loss(tree_map(Tensor.float, outputs) if half else outputs, known)
        return loss

    def _batch(self, positions: NDArray[np.int64]) -> tuple[Tensor, Any]:
        """Return varied images ``(B, 3, H, W)`` in [0, 255] and the targets of the loss."""
        images = torch.from_numpy(self._train.images(positions)).permute(0, 3, 1, 2)
        truths = [self._train.truth(int(position)) for position in positions]
        known = [self._task.encode(truth) for truth in truths]
        if self._crop is not None:
            places = zip(images, known, truths, strict=True)
            parts = [self._cropped(*place, self._crop) for place in places]
            images = torch.stack([image for image, _ in parts])
            known = [encoded for _, encoded in parts]
        drawn = self._augment.draw(len(images))
        known = self._augment.known(known, drawn)
        return self._augment.images(images, drawn), self._task.collate(known)

    def _cropped(
        self, image: Tensor, encoded: Encoded, truth: Truth, side: int
    ) -> tuple[Tensor, Encoded]:
        """Cut a square out where the task wants to look, else anywhere."""
        focus = self._task.focus(truth, float(self._order.random()))
        places = []
        for axis, length in enumerate(self._train.size):
            room = max(0, length - side)
            if focus is None:
                places.append(int(self._order.integers(0, room + 1)))
            else:
                shift = int(self._order.integers(-side // 3, side // 3 + 1))
                places.append(min(room, max(0, focus[axis] - side // 2 + shift)))
        return crop(image, encoded, top=places[0], left=places[1], side=side)


_DIVERGED = (
    "The {what} loss of epoch {epoch} is not a number: the training diverged. "
    "A lower learning rate in the search space avoids it."
)


def _decayed_apart(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return parameter groups: matrices decay, biases and normalisation scales do not."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def one_cycle(progress: float) -> float:
    """Return the share of the learning rate at a part of the training, both in [0, 1].

    It rises for a quarter of the time and falls for the rest, both along half a cosine.
    """
    if progress < _WARM_UP_SHARE:
        return _between(_FIRST_RATE, 1.0, progress / _WARM_UP_SHARE)
    return _between(1.0, _LAST_RATE, min(1.0, (progress - _WARM_UP_SHARE) / (1 - _WARM_UP_SHARE)))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))


def _moved(targets: Any, device: str) -> Any:
    return tree_map(lambda t: t.to(device) if isinstance(t, Tensor) else t, targets)


def _crop_side(crop_side: int | None, size: tuple[int, int], *, is_tiled: bool) -> int | None:
    """Return the side of the crops, or ``None`` when images are trained on whole.

    Those that are cut into tiles in use never are: a network need not take images of every size.
    """
    if crop_side is None or size == (crop_side, crop_side):
        return None
    if min(size) < crop_side and not is_tiled:
        return None
    return crop_side
