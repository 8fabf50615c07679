"""What the frozen start of a network says of each image, kept so that it is computed once.

A frozen start says the same of the same image in every epoch, but each epoch varies the images anew.
So a few views of each image are drawn for the whole training, and the epochs go through them in turn:
the first epochs fill the cache, later ones find everything there. Which view an image has in an epoch,
and how it is varied there, follow from the seed, so a training that goes on after a stop sees the same.

That is only done where little is left to train, such as a head: a large rest learns a few views by heart.
With half of EfficientNet-lite0 frozen, 12 images a class and 8 epochs, accuracy fell from 0.78 to 0.70
(two seeds); with all but the head frozen it was 0.57 and 0.55. Images that are not varied, and those of
validation, have one view, so they are kept with any frozen start and nothing changes but rounding.

Kept as float16, which holds 11 bits of each value (bfloat16: 8), in a bounded part of the memory. Where
that is short there are fewer views; with less than two, or a training too short to see any view twice,
images are seen anew in each epoch.
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from automl.data.augment import BatchAugmentation, Variation
from automl.training.frozen import Halves, cut_at_frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl.training.examples import Examples
    from automl.training.validation import Normalise

__all__ = ["FrozenStart", "free_bytes"]

_VIEWS = 4
"""Of each image, at most: an epoch of a training of eight or more finds half of its start done."""
_SMALL_REST = 0.1
"""Of all parameters: with no more than this to train, a few views do for a whole training."""
_SHARE_OF_MEMORY = 0.25
"""Of what is free, for all trainings on the machine together."""
_MOST_BYTES = 1_000_000_000
"""For one training: half of what a trial is reckoned to take."""
_LARGEST = 65_504.0
"""Of float16."""


class FrozenStart:
    """Gives what the frozen start of one network says of training images, and runs the rest of it.

    Args:
        halves: of the network.
        train: the training images, which must be trained on whole.
        val: those that are judged after each epoch.
        augment: how the training images are varied.
        normalise: the network's.
        seed: of the views.
        views: of each training image; 0: only what is said of validation images is kept.
        device: that the network is on.
    """

    def __init__(
        self,
        halves: Halves,
        *,
        train: Examples,
        val: Examples,
        augment: BatchAugmentation,
        normalise: Normalise,
        seed: int,
        views: int,
        device: str,
    ) -> None:
        self.views = views
        self._halves = halves
        self._train = train
        self._augment = augment
        self._normalise = normalise
        self._device = device
        count = views * len(train)
        self._variation = augment.draw(count, torch.Generator().manual_seed(seed))
        self._kept = _Store(halves.shapes, count)
        self._judged = _Store(halves.shapes, len(val))

    @classmethod
    def of(
        cls,
        module: nn.Module,
        *,
        epochs: int,
        train: Examples,
        val: Examples,
        augment: BatchAugmentation,
        normalise: Normalise,
        seed: int,
        device: str,
        most_bytes: int | None,
    ) -> FrozenStart | None:
        """Return the frozen start of a network; ``None`` when it has none, or keeping would not pay.

        Args:
            epochs: of the training.
            most_bytes: that may be kept; ``None``: a share of what is free.
        """
        if epochs < 2:
            return None
        image = normalise(torch.from_numpy(train.images([0])).permute(0, 3, 1, 2))
        halves = cut_at_frozen(module, image)
        if halves is None:
            return None
        gc.collect()  # an earlier training of this process may lie in a cycle with what it kept
        image_bytes = 2 * sum(math.prod(shape) for shape in halves.shapes)
        most_bytes = free_bytes() if most_bytes is None else most_bytes
        left = most_bytes // image_bytes - len(val)
        if left < 0:
            return None
        views = min(_views_wanted(module, augment, epochs=epochs), left // len(train))
        return cls(
            halves,
            train=train,
            val=val,
            augment=augment,
            normalise=normalise,
            seed=seed,
            views=0 if augment.varies and views < 2 else views,
            device=device,
        )

    @property
    def rest(self) -> nn.Module:
        """From what the start says to the network's output, to be trained."""
        return self._halves.training_rest

    def rows(self, positions: NDArray[np.int64], *, epoch: int) -> Tensor:
        """Return which views ``(n,)`` images have in an epoch, counted from 0."""
        places = torch.from_numpy(positions)
        return (places + epoch) % self.views * len(self._train) + places

    def variation(self, rows: Tensor) -> Variation:
        """Return how the images are varied in some views."""
        return self._variation.at(rows)

    def values(self, rows: Tensor, precision: torch.dtype) -> tuple[Tensor, ...]:
        """Return what the start says of some views, float32 on the device: computed in a precision
        when they are seen for the first time, else kept."""
        missing = rows[~self._kept.has(rows)]
        if len(missing):
            images = torch.from_numpy(self._train.images((missing % len(self._train)).numpy()))
            varied = self._augment.images(images.permute(0, 3, 1, 2), self.variation(missing))
            self._kept.put(missing, self._said(self._normalise(varied), precision))
        return self._kept.get(rows, self._device)

    def judge(self, begin: int, images: Callable[[], Tensor], count: int) -> Any:
        """Return the network's output for validation images ``begin`` to ``begin + count``.

        Args:
            begin: how many were judged before in this epoch; it is the same set in each.
            images: gives them normalised, when they are seen for the first time.
            count: how many.
        """
        rows = torch.arange(begin, begin + count)
        if begin + count > len(self._judged):  # a task may judge on more than the images themselves
            return self._halves.judging_rest(*self._said(images(), torch.float32))
        if not bool(self._judged.has(rows).all()):
            self._judged.put(rows, self._said(images(), torch.float32))
        return self._halves.judging_rest(*self._judged.get(rows, self._device))

    def _said(self, images: Tensor, precision: torch.dtype) -> tuple[Tensor, ...]:
        half = precision != torch.float32
        with torch.no_grad(), torch.autocast(self._device, precision, enabled=half):
            said: tuple[Tensor, ...] = self._halves.start(images)
        return said


def _views_wanted(module: nn.Module, augment: BatchAugmentation, *, epochs: int) -> int:
    """Return how many views of each image should be kept if the memory allows it."""
    if not augment.varies:
        return 1
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    trained = sum(size for size, is_trained in sizes if is_trained)
    is_small = trained <= _SMALL_REST * sum(size for size, _ in sizes)
    return min(_VIEWS, epochs // 2) if is_small else 0


class _Store:
    """Rows of a few tensors, of which some are known. Memory is taken as they become so.

    It is ordinary memory; what goes to a GPU is copied into pinned memory, a batch at a time.
    """

    def __init__(self, shapes: tuple[torch.Size, ...], count: int) -> None:
        self._known = torch.zeros(count, dtype=torch.bool)
        self._values = [
            torch.empty(
                (count, *shape),
                dtype=torch.float16,
                memory_format=_layout((count, *shape)),
            )
            for shape in shapes
        ]

    def __len__(self) -> int:
        return len(self._known)

    def has(self, rows: Tensor) -> Tensor:
        return self._known[rows]

    def put(self, rows: Tensor, values: tuple[Tensor, ...]) -> None:
        for kept, value in zip(self._values, values, strict=True):
            kept[rows] = value.float().clamp(-_LARGEST, _LARGEST).to("cpu", torch.float16)
        self._known[rows] = True

    def get(self, rows: Tensor, device: str) -> tuple[Tensor, ...]:
        return tuple(self._batch(value[rows], device) for value in self._values)

    def _batch(self, value: Tensor, device: str) -> Tensor:
        if device != "cpu":  # from pinned memory the copy does not hold up the processor
            value = value.pin_memory()
        moved = value.to(device, non_blocking=True).float()
        return moved.contiguous(memory_format=_layout(value.shape))


def _layout(shape: tuple[int, ...] | torch.Size) -> torch.memory_format:
    """Return the layout of a batch: colours together where it is one of maps."""
    return torch.channels_last if len(shape) == 4 else torch.contiguous_format


def free_bytes() -> int:
    """Return the memory that one training may keep activations in.

    A share of what is free now, divided by the trainings that have room beside it on this machine.
    """
    import psutil

    at_once = max(1, (os.cpu_count() or 1) // torch.get_num_threads())
    available = int(psutil.virtual_memory().available)
    return min(_MOST_BYTES, int(_SHARE_OF_MEMORY * available / at_once))
