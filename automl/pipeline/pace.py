"""Whether there is time for one more trial: decided from what the trials of this run took so far.

Asked before every trial, so what was read of a result is kept: a search of many trials must not read all of
them again for each.
"""

from __future__ import annotations

from collections.abc import Callable

from automl.pipeline.folder import RunFolder
from automl.records import TrialStatus

__all__ = ["SHORTEST_TRIAL_SECONDS", "Pace"]

SHORTEST_TRIAL_SECONDS = 15.0
"""With less time than this before the proof, no first trial is begun."""
_SHARE = 0.8
"""A trial is begun when at least this much of what trials took on average is left: it can be shortened."""


class Pace:
    """Knows how long the finished trials of a run took.

    Args:
        folder: of the run; finished trials do not change, so each is read once.
        left_s: seconds until the last trial must have been written.
    """

    def __init__(self, folder: RunFolder, *, left_s: Callable[[], float]) -> None:
        self._folder = folder
        self._left_s = left_s
        self._read: set[str] = set()
        self._sum_s = 0.0
        self._finished = 0

    def may_start(self) -> bool:
        """Return whether a trial begun now would probably end in time."""
        self._look()
        expected_s = self._sum_s / self._finished if self._finished else SHORTEST_TRIAL_SECONDS
        return self._left_s() > _SHARE * expected_s

    def _look(self) -> None:
        """Read the results that were written since the last look."""
        for trial_id in self._folder.trial_ids():
            if trial_id in self._read:
                continue
            result = self._folder.read_trial(trial_id)
            if result is None:
                continue
            self._read.add(trial_id)
            if result.status is TrialStatus.FINISHED and result.rung == "train":
                self._finished += 1
                self._sum_s += sum(result.seconds.values())
