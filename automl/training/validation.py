"""Judging a network in memory by the very answers that its file will give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from automl.data.truth import Truth
from automl.models.tiles import Tiling
from automl.predictor import ANSWERS, Answer
from automl.tasks.base import Judged

if TYPE_CHECKING:
    from automl.models.backbones import Network
    from automl.records import Scores
    from automl.tasks.base import Task
    from automl.training.examples import Examples

__all__ = ["Forward", "Normalise", "judge", "outputs_of"]

_PIXELS_AT_ONCE = 64 * 128 * 128
"""Pixels that are looked at together: more are no quicker on a processor."""


Forward = Callable[[int, Callable[[], Tensor], int], Any]
"""How many images were judged before, what gives those of a batch normalised, and how many they are;
returns the network's output for them."""


class Normalise:
    """From ``(B, 3, H, W)`` uint8 in main memory to what a network expects, on its device.

    For a GPU each batch is copied into pinned memory first; where images are kept is not pinned.
    """

    def __init__(self, network: Network, device: str) -> None:
        """Take the statistics that the network's weights were trained with."""
        self._device = device
        self._mean = torch.tensor(network.mean, device=device).view(1, 3, 1, 1) * 255.0
        self._std = torch.tensor(network.std, device=device).view(1, 3, 1, 1) * 255.0

    def __call__(self, images: Tensor) -> Tensor:
        """Return ``(B, 3, H, W)`` normalised float32, channels last in memory."""
        if self._device != "cpu":  # from pinned memory the copy does not hold up the processor
            images = images.pin_memory()
        pixels = images.to(self._device, non_blocking=True).float()
        return ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)


def judge(
    network: Network,
    task: Task,
    examples: Examples,
    *,
    device: str,
    seed: int,
    each: Callable[[Any, list[Truth]], None] | None = None,
    forward: Forward | None = None,
) -> Scores:
    """Return every metric of a network on some examples; the module is left in eval mode.

    Args:
        network: trained so far.
        task: whose answers and metrics they are.
        examples: images at the network's own size with their truths.
        device: that the network is on.
        seed: of synthetic defects, where the task makes some.
        each: told the network's output and the truths of every batch.
        forward: gives the outputs in place of the network, for images that are taken whole.
    """
    module = network.module.eval()
    normalise = Normalise(network, device)
    postprocess = task.postprocess(network).to(device).eval()
    scorer = task.scorer()
    batch_size = max(1, _PIXELS_AT_ONCE // (examples.size[0] * examples.size[1]))
    tiling = None if examples.tile is None else Tiling(examples.tile, *examples.size)
    queue = _judged(task, examples, batch_size, seed)

    def run(begin: int, images: Callable[[], Tensor], count: int) -> Any:
        return module(images()) if tiling is None else _tiled(module, images(), tiling)

    say, judged = forward or run, 0
    with torch.inference_mode():
        while batch := list(islice(queue, batch_size)):
            outputs = say(judged, partial(_pixels, batch, normalise), len(batch))
            judged += len(batch)
            if each is not None:
                each(outputs, [one.truth for one in batch])
            for position, one in enumerate(batch):
                scorer.add(_answer(task, postprocess, outputs, position, examples.size), one.truth)
    return scorer.scores()


def _pixels(batch: list[Judged], normalise: Normalise) -> Tensor:
    """Return the images of a batch as a network takes them."""
    frames = torch.from_numpy(np.stack([one.frame for one in batch]))
    return normalise(frames.permute(0, 3, 1, 2))


def _tiled(module: nn.Module, pixels: Tensor, tiling: Tiling) -> Tensor:
    """Return what a network says of the tiles of each image, joined as the delivered file joins it."""
    return torch.cat([tiling.join(module(tiling.cut(one[None]))) for one in pixels])


def outputs_of(
    network: Network, task: Task, examples: Examples, *, device: str
) -> Iterator[tuple[Any, list[Truth]]]:
    """Yield a network's outputs for batches of examples, with their truths."""
    module = network.module.eval()
    normalise = Normalise(network, device)
    batch_size = max(1, _PIXELS_AT_ONCE // (examples.size[0] * examples.size[1]))
    tiling = None if examples.tile is None else Tiling(examples.tile, *examples.size)
    with torch.inference_mode():
        for start in range(0, len(examples), batch_size):
            positions = range(start, min(start + batch_size, len(examples)))
            pixels = normalise(torch.from_numpy(examples.images(positions)).permute(0, 3, 1, 2))
            outputs = module(pixels) if tiling is None else _tiled(module, pixels, tiling)
            yield outputs, [examples.truth(i) for i in positions]


def _judged(task: Task, examples: Examples, batch_size: int, seed: int) -> Iterator[Judged]:
    for start in range(0, len(examples), batch_size):
        positions = range(start, min(start + batch_size, len(examples)))
        for position, frame in zip(positions, examples.images(positions), strict=True):
            one = Judged(frame, examples.truth(position))
            yield from task.judged(one, present=examples.present, seed=seed + position)


def _answer(
    task: Task, postprocess: nn.Module, outputs: Any, position: int, size: tuple[int, int]
) -> Answer:
    """Return the answer for one image of a batch, through the delivered postprocessing."""
    own = tree_map(lambda t: t[position : position + 1].float(), outputs)
    given = postprocess(own, *size)
    tensors = (given,) if isinstance(given, Tensor) else given
    arrays = {
        name: tensor.cpu().numpy() for name, tensor in zip(task.outputs, tensors, strict=True)
    }
    answer: Answer = ANSWERS[task.name].read(arrays, task.classes, {})
    return answer
