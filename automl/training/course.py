"""Which batches each epoch of a training is made of, how many steps that makes, and how long it takes.

The early epochs (:mod:`automl.training.fidelity`) may look at smaller images and at fewer of them; the
learning rate and the running average follow the steps of all epochs together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from automl.training.fidelity import early_epochs

if TYPE_CHECKING:
    from automl.training.batches import Batches
    from automl.training.examples import Examples

__all__ = ["Course", "EarlyLook"]

_SLOWER_LATER = 1.05
"""Other work on the machine may slow later epochs down a little."""


@dataclass(frozen=True)
class EarlyLook:
    """What the early epochs of a training look at in place of all images at their full size."""

    examples: Examples
    """The same images in the same order, maybe smaller."""
    images: int
    """Of them in one epoch, drawn anew in each."""


@dataclass(frozen=True)
class _Spent:
    """What an epoch took."""

    epoch: int
    steps_s: float
    rest_s: float
    """In which images were judged, and the like."""


class Course:
    """The epochs of one training, counted from 1.

    Args:
        full: the batches of an epoch that looks at everything.
        early: those of one that looks at less; ``None``: none does.
        epochs: that are planned.
    """

    def __init__(self, full: Batches, early: Batches | None, *, epochs: int) -> None:
        self._full = full
        self._early = early
        self._planned = epochs
        self._spent = _Spent(1, 0.0, 0.0)
        self.epochs = epochs
        """That make the whole training: fewer than planned when it was made shorter."""

    @property
    def steps(self) -> int:
        """Of all epochs together."""
        early = self._early_epochs
        return early * len(self.batches(1)) + (self.epochs - early) * len(self._full)

    @property
    def early_steps(self) -> tuple[int, int] | None:
        """Pixels and steps of an early epoch: another training has others. ``None``: there is none."""
        return None if self._early is None else (self._early.pixels, len(self._early))

    def is_early(self, epoch: int) -> bool:
        """Whether an epoch looks at less than all."""
        return epoch <= self._early_epochs

    @property
    def _early_epochs(self) -> int:
        """How many, the first, look at less."""
        if self._early is None:
            return 0
        return early_epochs(self.epochs, planned=self._planned)

    def batches(self, epoch: int) -> Batches:
        """Return what makes the batches of an epoch."""
        return self._early if self._early is not None and self.is_early(epoch) else self._full

    def note(self, epoch: int, *, steps_s: float, rest_s: float) -> None:
        """Take in what an epoch took: its steps, and all else that every epoch does."""
        self._spent = _Spent(epoch, steps_s, rest_s)

    def expected_s(self, epoch: int) -> float:
        """Return what an epoch will take, as the last one tells.

        Steps by their pixels, if others than then: what a step takes besides is counted too often, so
        that full images are expected to take longer than they will, if anything.
        """
        more = self.batches(epoch).pixels / self.batches(self._spent.epoch).pixels
        return self._spent.steps_s * more + self._spent.rest_s

    def shorten(self, left_s: float) -> None:
        """Leave out what cannot be done in time; after the first epoch. A second stays, if only in part."""
        while self.epochs > 2 and self._coming_s() * _SLOWER_LATER > left_s:
            self.epochs -= 1

    def _coming_s(self) -> float:
        """Return what all epochs after the first will take."""
        early = max(0, self._early_epochs - 1)
        full = self.epochs - 1 - early
        return early * self.expected_s(1) + full * self.expected_s(self.epochs)
