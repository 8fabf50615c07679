"""How long one trial may take, and its end when it takes longer.

A trial that hangs, in a driver of a graphics card or a library that waits for itself, answers nobody; Ray
would wait for it until the night is over. So its own process ends it: a thread of the interpreter's fault
handler, which needs no lock of Python, writes where the trial was and ends the process. To the search that
is a trial whose process died.
"""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.images import open_data
from automl.records import Split
from automl.search.executor import StepReport, TrialSession
from automl.search.study import Assignment
from automl.storage import storage_failures

__all__ = ["LimitedSession", "hang_text", "longest_seconds"]

_MACS_PER_SECOND = 15e9
"""Forward multiply-accumulates of one core in training (38 images of 224 px a second through
tf_efficientnet_lite0)."""
_PASSES = 4.0
"""Forward passes that a training step costs, with a share of the validation."""
_SECONDS_PER_IMAGE = 0.02
"""To read and vary one image."""
_MARGIN = 10.0
"""A trial hangs when it takes ten times as long as expected, ..."""
_LEAST_S = 300.0
"""... and as long as it takes to export, quantize and judge the largest networks."""
_OVERTIME = 1.5
_OVERTIME_S = 10.0
"""After ``search.trial_time`` a trial still has to be exported; one that takes so much longer hangs."""
_AFTER_THE_END_S = 60.0
"""A trial that goes on for so long after the search should have ended is not going to end."""
_FILE = "hung.txt"


def longest_seconds(context: TrialContext, assignment: Assignment, *, left_s: float) -> float:
    """Return after how many seconds a trial counts as hanging.

    Args:
        left_s: until the last trial must have been written.
    """
    allowed = context.spec.search.trial_time_s
    longest = left_s + _AFTER_THE_END_S
    if allowed is not None:
        return min(longest, _OVERTIME * allowed + _OVERTIME_S)
    return min(longest, _LEAST_S + _MARGIN * _expected_seconds(context, assignment))


class LimitedSession:
    """A session whose process ends when it takes too long.

    Args:
        session: begun just now.
        folder: of the run.
        trial_id: in whose folder it is written what hung.
        longest_s: for all its steps together.
    """

    def __init__(
        self, session: TrialSession, folder: RunFolder, trial_id: str, *, longest_s: float
    ) -> None:
        self._session = session
        self._folder = folder
        self._file = folder.trial(trial_id) / _FILE
        self._ends = time.monotonic() + longest_s

    def step(self) -> StepReport:
        """Do the session's next step.

        Raises:
            StorageError: when the run's disk is full, read-only or gone.
        """
        with self._watched():
            return self._session.step()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        left_s = max(0.1, self._ends - time.monotonic())
        self._folder.check_ours()
        with storage_failures(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            stream = self._file.open("w")
        with stream:
            faulthandler.dump_traceback_later(left_s, exit=True, file=stream)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
        self._file.unlink(missing_ok=True)

    @classmethod
    def of(
        cls, session: TrialSession, context: TrialContext, assignment: Assignment
    ) -> LimitedSession:
        """Limit a session that was begun for an assignment."""
        began = context.clock.began_here(assignment.handed_out_s)
        left_s = began + context.ends_after_s - time.monotonic()
        return cls(
            session,
            RunFolder(Path(context.folder), owner=context.owner),
            assignment.id,
            longest_s=longest_seconds(context, assignment, left_s=max(0.0, left_s)),
        )


def hang_text(folder: RunFolder, trial_id: str) -> str | None:
    """Return what hung in a trial whose process ended, or ``None`` when it did not hang."""
    file = folder.trial(trial_id) / _FILE
    try:
        lines = file.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].startswith("Timeout ("):
        return None
    places = [line.strip().removeprefix("File ") for line in lines if line.startswith("  File ")]
    ours = [place for place in places if "/automl/" in place and Path(__file__).name not in place]
    where = f", in {ours[0]}" if ours else ""
    return (
        f"it took longer than a trial may take and was ended{where}. "
        "'search.trial_time' says how long one may take."
    )


def _expected_seconds(context: TrialContext, assignment: Assignment) -> float:
    """Return a generous guess of how long a trial trains on one core."""
    dataset, _ = open_data(context.folder)
    planned = {p.architecture.key: p.macs for p in context.planned}
    macs = planned.get(assignment.architecture.key, 0)
    each_s = _SECONDS_PER_IMAGE + _PASSES * macs / _MACS_PER_SECOND
    return assignment.recipe.epochs * len(dataset.indices(Split.TRAIN)) * each_s
