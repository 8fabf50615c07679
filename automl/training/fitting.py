"""Learning without gradients: what good images look like is gathered in one pass.

Decides which images and which views of them are remembered. Images with a defect are never looked
at. Turned and mirrored views are added where the recipe says that parts may lie so: with some thirty
images they give the memory more to go by (image AUROC on PIPED's hardest paper 0.909 instead of
0.893, while the score was still the maximum of the heat map; padim on EfficientNet-lite0, depth 3,
128 px). Changes of brightness and contrast made no
difference and are left out, as is everything of a recipe that belongs to a gradient.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from automl.data.truth import DefectTruth
from automl.errors import AutomlError
from automl.models.anomaly_memory import AnomalyNetwork
from automl.records import Architecture, Augmentation, Epoch, Recipe
from automl.storage import DamagedFileError
from automl.training.checkpoint import load_progress, save_progress
from automl.training.validation import Normalise, judge

if TYPE_CHECKING:
    from automl.models.backbones import Network
    from automl.tasks.base import Task
    from automl.training.course import EarlyLook
    from automl.training.examples import Examples

__all__ = ["Fitter"]

_BATCH = 16
"""Images whose features are made together."""
_MOST_VIEWS = 4_000
"""Views that a memory is fitted on, unless there are more images: more change a covariance little."""
_QUARTER_TURN = 90.0
_THRESHOLD_SPREADS = 3.0
"""Standard deviations above the mean: the threshold until one is set on a file's own answers."""


@dataclass(frozen=True)
class _Fitted:
    """Which fitting it is, and what was done."""

    architecture: Architecture
    recipe: Recipe
    seed: int
    images: int
    epochs: tuple[Epoch, ...]


View = tuple[int, bool]
"""Quarter turns, and whether mirrored first."""


class Fitter:
    """Fits the memory of one network, in a single epoch.

    Args:
        network: of :func:`automl.models.anomaly.build_anomaly`.
        task: what the network is for: answers and metrics.
        recipe: of which only ``flip`` and ``rotate`` (from 90 degrees on) of the augmentation count.
        train: the training images; those with a defect are left out.
        val: images that are only looked at, for the score.
        objective: the metric of the task that is reported.
        eval_norms: none; nothing is trained.
        device: ``cpu`` or ``cuda``.
        seed: of synthetic defects among the validation images.
        left_s: not asked: a memory of part of the images would call the rest defects.
        early: not asked: there is one epoch.
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
    ) -> None:
        if not isinstance(network.module, AnomalyNetwork):
            raise TypeError(
                f"What is fitted has a memory; got {type(network.module).__name__}, which is trained."
            )
        self._network = network
        self._module = network.module.to(device).to(memory_format=torch.channels_last).eval()
        self._task = task
        self._recipe = recipe
        self._train = train
        self._val = val
        self._objective = objective
        self._device = device
        self._seed = seed
        self._normalise = Normalise(network, device)
        self._good = [i for i in range(len(train)) if _is_good(train, i)]
        self._views = _views(recipe.augmentation)[: max(1, _MOST_VIEWS // max(1, len(self._good)))]
        self.epochs: list[Epoch] = []

    @property
    def total_epochs(self) -> int:
        """One: a second pass would remember the same."""
        return 1

    @property
    def next_epoch_s(self) -> float:
        """Seconds that another epoch would take."""
        return self.epochs[-1].seconds

    def run_epoch(self) -> Epoch:
        """Fit the memory on the good training images and look at the validation images once.

        Raises:
            AutomlError: when there is no good training image.
        """
        if not self._good:
            raise AutomlError(
                "An anomaly network learns from good images; the training split has none. "
                "Give images without a defect, or a smaller data.split.val and data.split.test."
            )
        started = time.perf_counter()
        with torch.inference_mode():
            self._module.memory.fit(self._read_maps)
            train_loss = self._set_threshold()
        heats: list[float] = []

        def note_heat(outputs: tuple[Tensor, ...], truths: Sequence[object]) -> None:
            heat = self._module.memory(outputs).mean((1, 2)).tolist()
            known = zip(heat, truths, strict=True)
            heats.extend(h for h, t in known if isinstance(t, DefectTruth) and t.label == 0)

        scores = judge(
            self._network,
            self._task,
            self._val,
            device=self._device,
            seed=self._seed,
            each=note_heat,
        )
        epoch = Epoch(
            number=len(self.epochs) + 1,
            train_loss=train_loss,
            val_loss=sum(heats) / len(heats) if heats else train_loss,
            val_score=scores.values.get(self._objective, 0.0),
            seconds=time.perf_counter() - started,
        )
        self.epochs.append(epoch)
        return epoch

    def checkpoint(self, path: Path) -> None:
        """Write the memory, if it is filled, to one safetensors file, atomically."""
        save_progress(path, self._module.state_dict(), self._fitted)

    def restore(self, path: Path) -> None:
        """Take the memory from a file that :meth:`checkpoint` of the same fitting wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            DamagedFileError: when it is torn, altered, or of another fitting.
        """
        tensors, fitted = load_progress(path, _Fitted)
        if replace(fitted, epochs=()) != replace(self._fitted, epochs=()):
            raise DamagedFileError(
                f"'{path}' is of another fitting, for '{fitted.architecture.key}' on {fitted.images} "
                "images. Delete it: the fitting will begin again."
            )
        self._module.load_state_dict(tensors)
        self.epochs[:] = fitted.epochs

    @property
    def _fitted(self) -> _Fitted:
        return _Fitted(
            self._network.architecture,
            self._recipe,
            self._seed,
            len(self._train),
            tuple(self.epochs),
        )

    def _read_maps(self, views: Sequence[View] | None = None) -> Iterator[tuple[Tensor, ...]]:
        """Yield the feature maps of all views of all good images, a batch at a time."""
        for turns, is_mirrored in self._views if views is None else views:
            for start in range(0, len(self._good), _BATCH):
                pixels = torch.from_numpy(self._train.images(self._good[start : start + _BATCH]))
                images = pixels.permute(0, 3, 1, 2)
                if is_mirrored:
                    images = images.flip(3)
                yield self._module(self._normalise(torch.rot90(images, turns, (2, 3))))

    def _set_threshold(self) -> float:
        """Set the threshold by the training images themselves; return their mean heat.

        It only serves until a file's own answers for other images set a better one.
        """
        memory = self._module.memory
        answer = self._task.postprocess(self._network).to(self._device).eval()
        unit = float(memory.threshold)
        scores, heats = [], []
        for maps in self._read_maps(self._views[:1]):
            heats += memory(maps).mean((1, 2)).tolist()
            for position in range(len(maps[0])):
                own = tuple(one[position : position + 1] for one in maps)
                scores.append(float(answer(own, *self._train.size)[0]) * unit)
        values = torch.tensor(scores, dtype=torch.float64)
        spread = float(values.std(correction=0))
        memory.threshold.fill_(max(1e-3, float(values.mean()) + _THRESHOLD_SPREADS * spread))
        return sum(heats) / len(heats)


def _is_good(examples: Examples, position: int) -> bool:
    truth = examples.truth(position)
    return isinstance(truth, DefectTruth) and truth.label == 0


def _views(augmentation: Augmentation) -> tuple[View, ...]:
    """Return the views that a recipe allows, the image as it is first."""
    turns = (0, 1, 2, 3) if augmentation.rotate_deg >= _QUARTER_TURN else (0,)
    views: list[View] = [(turn, False) for turn in turns]
    if augmentation.flip_horizontal:
        views += [(turn, True) for turn in turns]
    if augmentation.flip_vertical:  # mirrored and turned by half; both mirrors: turned by half
        views += [((turn + 2) % 4, True) for turn in turns]
        if augmentation.flip_horizontal:
            views += [((turn + 2) % 4, False) for turn in turns]
    return tuple(dict.fromkeys(views))
