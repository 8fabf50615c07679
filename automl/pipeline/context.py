"""What every trial of a run has in common; pickled to the worker processes."""

from __future__ import annotations

from dataclasses import dataclass

from automl.pipeline.clock import SharedClock
from automl.records import PlannedArchitecture, Spec

__all__ = ["TrialContext"]


@dataclass(frozen=True)
class TrialContext:
    """Everything a worker process needs to run any trial of a run."""

    folder: str
    spec: Spec
    schemes: dict[str, tuple[str, ...]]
    """Feasible schemes by architecture key."""
    planned: tuple[PlannedArchitecture, ...]
    """The feasible architectures."""
    weights: dict[str, str]
    """Source of the pretrained weights by backbone; those without are trained from scratch."""
    instruction_sets: tuple[str, ...]
    threads: int
    gpus: float
    clock: SharedClock
    ends_after_s: float
    """Second of the run when the last trial must have been written."""
    owner: str | None = None
    """What the lock of the run's folder says of the driver."""
