"""Which candidates could meet the requirements, known before any training."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from automl.records.candidates import Architecture, Candidate
from automl.records.dataset import Audit
from automl.records.experience import Recollection
from automl.records.forecast import Forecast
from automl.records.measurement import Host, Measurement

__all__ = ["Evidence", "Plan", "PlannedArchitecture", "Verdict", "VerdictStatus"]

Evidence: TypeAlias = Measurement | Forecast
"""What is known of a file's cost on a device: measured there, or predicted."""


class VerdictStatus(StrEnum):
    """What feasibility said of a candidate on a target."""

    FITS = "fits"
    UNSURE = "unsure"
    """The interval straddles the budget: trained, decided by the final measurement."""
    TOO_SLOW = "too-slow"
    TOO_LARGE = "too-large"
    TOO_MUCH_MEMORY = "too-much-memory"
    IMPLIED = "implied"
    """Not measured: a smaller member of the family was already hopeless."""
    SLOWER_THAN_FLOAT = "slower-than-float"
    """Fits, yet loses time against float32, so it can only cost accuracy."""
    AFTER_TRAINING = "after-training"
    """Not measurable untrained (int8-mixed): its float32 or int8-static bound fits."""
    NOT_EXAMINED = "not-examined"
    """Planning had used its share of the time before it was this one's turn."""
    FAILED = "failed"

    @property
    def is_feasible(self) -> bool:
        """Whether the candidate is worth training for."""
        return self in (VerdictStatus.FITS, VerdictStatus.UNSURE, VerdictStatus.AFTER_TRAINING)


@dataclass(frozen=True)
class Verdict:
    """What feasibility said of a candidate on one target, and why, in one sentence with numbers."""

    candidate: Candidate
    target: str
    status: VerdictStatus
    reason: str
    measurement: Measurement | None
    forecast: Forecast | None = None
    """Where nothing was measured and a prediction decided: it plans, and proves nothing."""

    @property
    def evidence(self) -> Evidence | None:
        """What the verdict rests on."""
        return self.measurement or self.forecast


@dataclass(frozen=True)
class PlannedArchitecture:
    """One architecture of the space, exported untrained."""

    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-accumulates of one frame."""
    weights: str | None
    """Where its pretrained weights come from (``hub``, ``package efficientnet-lite0-…``, a path), or
    ``None``: it would be trained from scratch."""


@dataclass(frozen=True)
class Plan:
    """The feasible set, with the verdict on everything else."""

    spec_sha256: str
    space: str
    host: Host
    """The machine that trains."""
    audit: Audit
    architectures: tuple[PlannedArchitecture, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    """What the user should know, e.g. that no hub answered."""
    measured: int
    cached: int
    seconds: float
    alternatives: tuple[Verdict, ...] = ()
    """Verdicts under schemes that the spec does not allow; made only when nothing else fits."""
    hosts: dict[str, Host] = field(default_factory=dict)
    """The machines that were measured on, by device as the spec names it."""
    predicted: int = 0
    """Files whose latency was predicted, not measured."""
    lost: dict[str, str] = field(default_factory=dict)
    """By target: why its device could not be asked any more, though it answered at first."""
    recollection: Recollection = field(default_factory=Recollection)
    """What earlier runs suggest; it orders what is tried first."""

    def feasible(self) -> tuple[Candidate, ...]:
        """Candidates that fit, or may fit, at least one target, each once, in the plan's order."""
        return tuple(dict.fromkeys(v.candidate for v in self.verdicts if v.status.is_feasible))
