"""One candidate as one row, how it can end, and which rows nothing beats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from automl.records import Architecture

__all__ = [
    "NOT_NEEDED",
    "CandidateRow",
    "CandidateState",
    "listed_rows",
    "mark_front",
    "order_of",
]

NOT_NEEDED = "not needed"
"""With this begins what a trial says of a scheme that it left out because nothing had to be mended."""


class CandidateState(StrEnum):
    """How a candidate ended, in the words of the report."""

    WINNER = "winner"
    OUTSCORED = "outscored"
    MISSED = "requirement missed"
    REJECTED = "rejected"
    UNNEEDED = "not needed"
    """A scheme that repairs what another loses, where the other loses too little to be repaired."""
    WAITING = "undecided"
    UNTRAINED = "not trained"
    STOPPED = "stopped early"
    FAILED = "failed"


@dataclass(frozen=True)
class CandidateRow:
    """One candidate. ``trial`` is 0 when it was never trained; ``None`` was not measured."""

    trial: int
    architecture: Architecture
    scheme: str
    score: float | None
    latency_ms: float | None
    size_bytes: int | None
    state: CandidateState
    status: str
    """The plan's verdict (``too-slow`` …) where there is one."""
    clause: str
    text: str
    on_front: bool = False
    is_predicted: bool = False
    """Whether the latency was predicted; else it was measured."""

    @property
    def source(self) -> str:
        """How the latency became known: ``measured`` or ``predicted``."""
        return "predicted" if self.is_predicted else "measured"

    @property
    def network(self) -> str:
        """The architecture's name for people."""
        return self.architecture.key


def order_of(row: CandidateRow) -> tuple[bool, float, float]:
    """Return what rows are sorted by: the winner first, then by score, then by latency."""
    return (
        row.state is not CandidateState.WINNER,
        -1.0 if row.score is None else -row.score - 2,
        float("inf") if row.latency_ms is None else row.latency_ms,
    )


def mark_front(rows: tuple[CandidateRow, ...]) -> tuple[CandidateRow, ...]:
    """Mark the rows for which no other is both at least as fast and better."""
    points = [row for row in rows if row.score is not None and row.latency_ms is not None]
    points.sort(key=lambda row: (row.latency_ms or 0.0, -(row.score or 0.0)))
    best = float("-inf")
    front: set[int] = set()
    for row in points:
        if row.score is not None and row.score > best:
            best = row.score
            front.add(id(row))
    return tuple(replace(row, on_front=True) if id(row) in front else row for row in rows)


def listed_rows(rows: tuple[CandidateRow, ...], *, at_most: int) -> tuple[CandidateRow, ...]:
    """Return the rows that a table holds: of each way to end the first ``at_most``.

    A long night trains thousands. Nobody reads them all, and they would make the page too large to be
    sent. Those on the front and those that were never trained, whose number is that of the space, stay.
    """
    counts: dict[CandidateState, int] = {}
    kept = []
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
        is_kept = row.on_front or row.state is CandidateState.UNTRAINED
        if is_kept or counts[row.state] <= at_most:
            kept.append(row)
    return tuple(kept)
