"""How far one training came, kept beside its results so that a run that is cut off goes on there.

Decides when it is worth writing: a file is as large as four networks, so that writing one after each epoch
would slow trainings with short epochs. A disk that is full costs the way back, never the training.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automl.training.learner import Learner

__all__ = ["Checkpoints"]

_SHARE = 0.05
"""Of the training time, at most about so much goes to writing."""


class Checkpoints:
    """The file of one training.

    Args:
        file: where it lies.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._last = time.monotonic()
        self._cost_s = 0.0

    @property
    def is_there(self) -> bool:
        """Whether an earlier part of the run left one."""
        return self.file.exists()

    def keep(self, learner: Learner) -> None:
        """Write how far the learner came, unless the last one was written just now."""
        started = time.monotonic()
        if self._cost_s > _SHARE * (started - self._last):
            return
        try:
            learner.checkpoint(self.file)
        except OSError:  # full or vanished: the result itself will tell
            return
        self._last = time.monotonic()
        self._cost_s = self._last - started

    def clear(self) -> None:
        """Remove the file: the trial has ended."""
        self.file.unlink(missing_ok=True)
