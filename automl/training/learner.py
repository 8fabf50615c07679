"""What makes a trained network of a built one, an epoch at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from automl.records import Epoch, Recipe

if TYPE_CHECKING:
    from torch import nn

    from automl.models.backbones import Network
    from automl.tasks.base import Task
    from automl.training.course import EarlyLook
    from automl.training.examples import Examples

__all__ = ["Learner"]


class Learner(Protocol):
    """Registered by name as ``learner`` in :mod:`automl.registry`; a task names the one it needs.

    The arguments are those of :class:`automl.training.loop.Trainer`.
    """

    epochs: list[Epoch]
    """What was done so far."""

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
    ) -> None: ...

    @property
    def total_epochs(self) -> int:
        """How many epochs make a whole training."""
        ...

    @property
    def next_epoch_s(self) -> float:
        """Seconds that another epoch will take, as the last one tells."""
        ...

    def run_epoch(self) -> Epoch:
        """Learn from the training images, and look at the validation images once."""
        ...

    def checkpoint(self, path: Path) -> None:
        """Write how far the learner came to one file, atomically; between two epochs."""
        ...

    def restore(self, path: Path) -> None:
        """Go on from a file that :meth:`checkpoint` of the same training wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            DamagedFileError: when it is torn, altered, or of another training; the learner can then
                be used no more: build it again to begin anew.
        """
        ...
