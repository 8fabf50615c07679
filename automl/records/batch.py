"""A queue of specs that run one after the other, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Batch", "BatchEntry", "BatchStatus", "BatchTarget"]


class BatchStatus(StrEnum):
    """What became of one spec of a batch."""

    WAITING = "not run"
    FITS = "fits"
    MISSES = "does not fit"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the spec need not run again."""
        return self in (BatchStatus.FITS, BatchStatus.MISSES)


@dataclass(frozen=True)
class BatchTarget:
    """What was delivered for one target of a spec."""

    name: str
    candidate: str | None
    """Key of the winner; ``None`` when nothing fits."""
    score: float | None
    """The spec's objective on the test images."""
    limit: str
    """The first limit on latency as the spec says it; empty when there is none."""
    got: str
    fits: bool
    proven: bool


@dataclass(frozen=True)
class BatchEntry:
    """One spec of the queue."""

    number: int
    """Place in the queue, from 1."""
    spec: str
    """Absolute path of the spec file."""
    sha256: str
    """Of the spec file; a spec that was changed is another entry."""
    name: str
    """Of the run; of the file, where the spec cannot be read."""
    folder: str
    """Of the run, relative to that of the batch."""
    status: BatchStatus = BatchStatus.WAITING
    allowed_s: float = 0.0
    """The spec's ``search.time``."""
    seconds: float = 0.0
    """Wall time so far, over all starts."""
    cores: int = 0
    """Processor cores that it might use."""
    objective: str = ""
    targets: tuple[BatchTarget, ...] = ()
    problem: str | None = None
    """What is missing, went wrong, or stood against a start."""


@dataclass(frozen=True)
class Batch:
    """A whole queue."""

    entries: tuple[BatchEntry, ...]
    started_at: str
    """ISO 8601, with the offset of the place."""
    until: str | None = None
    """Local time after which no spec may run, as the user wrote it."""
    price_usd_hour: float | None = None
    """What the machine or cluster costs an hour."""

    def count(self, status: BatchStatus) -> int:
        """Return how many specs came to this."""
        return sum(entry.status is status for entry in self.entries)

    @property
    def seconds(self) -> float:
        """Wall time of all specs."""
        return sum(entry.seconds for entry in self.entries)

    @property
    def exit_code(self) -> int:
        """0: every spec fits; 1: one failed; 3: one does not fit, or did not run."""
        if self.count(BatchStatus.FAILED):
            return 1
        return 0 if self.count(BatchStatus.FITS) == len(self.entries) else 3
