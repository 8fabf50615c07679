"""A listener that knows when the disk failed, whichever way the search comes to hear of it.

Ray Tune takes an error of a listener for one of the trial that it was told of, and an error of a trial for
text. A disk that is full is neither: no trial is at fault, none may be recorded as failed, and the run ends
so that it can go on when there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from automl.errors import StorageError
from automl.search.executor import StepReport, TrialListener
from automl.search.study import Assignment
from automl.storage import storage_error

__all__ = ["GuardedListener"]


class GuardedListener:
    """Passes everything on until the disk fails; from then on every call raises that failure.

    Attributes:
        failure: of the disk, or ``None``.
    """

    def __init__(self, listener: TrialListener) -> None:
        self._listener = listener
        self.failure: StorageError | None = None

    def started(self, assignment: Assignment) -> None:
        """Pass on that a trial was handed out."""
        self._do(lambda: self._listener.started(assignment))

    def stepped(self, assignment: Assignment, report: StepReport) -> None:
        """Pass on that a trial trained an epoch, or finished."""
        self._do(lambda: self._listener.stepped(assignment, report))

    def stopped(self, assignment: Assignment) -> None:
        """Pass on that the scheduler ended a trial."""
        self._do(lambda: self._listener.stopped(assignment))

    def crashed(self, assignment: Assignment, error: str) -> None:
        """Pass on that a trial's process died, unless it was the disk: then it counts as not run."""
        if self.failure is None:
            self.failure = _told(error)
        self._do(lambda: self._listener.crashed(assignment, error))

    @contextmanager
    def raising_failures(self) -> Iterator[None]:
        """Raise the failure of the disk in place of what the search makes of it.

        Raises:
            StorageError: when the disk failed in the block.
        """
        try:
            yield
        except Exception:
            if self.failure is not None:
                raise self.failure from None
            raise

    def _do(self, act: Callable[[], None]) -> None:
        if self.failure is not None:
            raise self.failure
        try:
            act()
        except OSError as error:
            self.failure = storage_error(error)
            raise


def _told(error: str) -> StorageError | None:
    """Return the failure of a disk that a worker's error speaks of, or ``None``."""
    name = f"{StorageError.__name__}: "
    for line in reversed(error.splitlines()):
        _, found, text = line.partition(name)
        if found:
            return StorageError(text.strip())
    return None
