"""The training loop: one epoch a call, so that a scheduler can stop between epochs.

AdamW (Loshchilov & Hutter 2019) with a one-cycle learning rate (Smith & Topin 2018): fine-tuning on a
few hundred images needs a warm-up to keep pretrained weights, and a decay to settle.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from automl.errors import AutomlError
from automl.records import Epoch, Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.models.backbones import Network

__all__ = ["ArrayImages", "DivergedError", "ImageSet", "Images", "Trainer"]

_WARM_UP_SHARE = 0.25
"""Share of all steps in which the learning rate rises; a quarter held best on short fine-tunings."""
_FEWEST_STEPS = 5
"""With fewer, OneCycleLR divides by the length of a warm-up that has no steps."""
_VAL_BATCH = 64
"""Images that are looked at together: more are no quicker on a processor."""
_GRADIENT_NORM = 5.0
"""Clip: keeps one odd batch from throwing pretrained weights away."""


class DivergedError(AutomlError):
    """The loss is no longer a number: the learning rate was too high for this network."""


class Images(Protocol):
    """N images of one size that need not be in memory together."""

    def __len__(self) -> int: ...

    def batch(self, positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return a new array ``(n, S, S, 3)`` uint8 of the images at some positions."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images ``(N, S, S, 3)`` uint8 that are in memory."""

    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return a new array ``(n, S, S, 3)`` uint8 of the images at some positions."""
        return self.pixels[positions]


@dataclass(frozen=True)
class ImageSet:
    """Images with their labels ``(N,)`` int64."""

    images: Images
    labels: NDArray[np.int64]


class Trainer:
    """Trains one network on one set, an epoch at a time.

    Args:
        network: what to train; its ``mean`` and ``std`` (of pixels in 0..1) normalise the images.
        recipe: learning rate, epochs and so on.
        train: the training images.
        val: images that are only looked at, for the score after each epoch.
        loss: ``(logits, labels) -> scalar``.
        augment: applied to each training image ``(3, S, S)`` uint8.
        score: ``(logits (N, classes), labels) -> objective``.
        frozen: modules that keep their batch statistics and weights.
        device: ``cpu`` or ``cuda``.
        seed: of the order, the augmentation and dropout.
        is_time_up: asked after each batch; an epoch that it ends is validated as it is.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        *,
        train: ImageSet,
        val: ImageSet,
        loss: nn.Module,
        augment: Callable[[Tensor], Tensor],
        score: Callable[[Tensor, NDArray[np.int64]], float],
        frozen: tuple[nn.Module, ...],
        device: str,
        seed: int,
        is_time_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._network = network
        self._module = network.module.to(device).to(memory_format=torch.channels_last)
        self._recipe = recipe
        self._train = train
        self._val = val
        self._loss = loss.to(device)
        self._augment = augment
        self._score = score
        self._frozen = frozen
        self._device = device
        self._is_time_up = is_time_up
        torch.manual_seed(seed)
        self._order = np.random.default_rng(seed)
        self._mean = torch.tensor(network.mean, device=device).view(1, 3, 1, 1) * 255.0
        self._std = torch.tensor(network.std, device=device).view(1, 3, 1, 1) * 255.0
        self._batches = max(1, len(train.labels) // recipe.batch_size)
        self._optimizer = torch.optim.AdamW(
            _decayed_apart(self._module, recipe.weight_decay), lr=recipe.learning_rate
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=recipe.learning_rate,
            total_steps=max(_FEWEST_STEPS, self._batches * recipe.epochs + 1),
            pct_start=_WARM_UP_SHARE,
        )
        self.epochs: list[Epoch] = []

    def run_epoch(self) -> Epoch:
        """Train one epoch and look at the validation images once.

        Raises:
            DivergedError: when the loss is not finite.
        """
        started = time.perf_counter()
        self._module.train()
        for part in self._frozen:
            part.eval()
        order = self._order.permutation(len(self._train.labels))
        size = self._recipe.batch_size
        losses = []
        for batch in range(self._batches):
            losses.append(self._step(np.sort(order[batch * size : (batch + 1) * size])))
            if self._is_time_up():
                break
        val_loss, val_score = self.validate()
        epoch = Epoch(
            number=len(self.epochs) + 1,
            train_loss=float(np.mean(losses)),
            val_loss=val_loss,
            val_score=val_score,
            seconds=time.perf_counter() - started,
        )
        self.epochs.append(epoch)
        return epoch

    def validate(self) -> tuple[float, float]:
        """Return loss and objective on the validation images."""
        self._module.eval()
        logits = []
        with torch.inference_mode():
            count = len(self._val.labels)
            for start in range(0, count, _VAL_BATCH):
                positions = np.arange(start, min(start + _VAL_BATCH, count))
                images = torch.from_numpy(self._val.images.batch(positions))
                logits.append(self._module(self._normalise(images.permute(0, 3, 1, 2))).float())
            stacked = torch.cat(logits)
            labels = torch.from_numpy(self._val.labels).to(self._device)
            loss = float(self._loss(stacked, labels))
        if not math.isfinite(loss):
            raise DivergedError(_DIVERGED.format(what="validation", epoch=len(self.epochs) + 1))
        return loss, self._score(stacked, self._val.labels)

    def _step(self, indices: NDArray[np.int64]) -> float:
        images = torch.from_numpy(self._train.images.batch(indices)).permute(0, 3, 1, 2)
        varied = torch.stack([self._augment(image) for image in images])
        labels = torch.from_numpy(self._train.labels[indices]).to(self._device)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self._module(self._normalise(varied)), labels)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(_DIVERGED.format(what="training", epoch=len(self.epochs) + 1))
        loss.backward()
        nn.utils.clip_grad_norm_(self._module.parameters(), _GRADIENT_NORM)
        self._optimizer.step()
        self._schedule.step()
        return value

    def _normalise(self, images: Tensor) -> Tensor:
        """Return ``(B, 3, S, S)`` uint8 as normalised float32 on the device."""
        pixels = images.to(self._device).float()
        return ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)


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
