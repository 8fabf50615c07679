"""What every trial of a run has in common; pickled to the worker processes."""

from __future__ import annotations

from dataclasses import dataclass

from automl.records import Spec

__all__ = ["TrialContext"]


@dataclass(frozen=True)
class TrialContext:
    """Everything a worker process needs to run any trial of a run."""

    folder: str
    spec: Spec
    schemes: dict[str, tuple[str, ...]]
    """Feasible schemes by architecture key."""
    weights: dict[str, str]
    """Source of the pretrained weights by backbone; those without are trained from scratch."""
    instruction_sets: tuple[str, ...]
    threads: int
    gpus: float
    run_started: float
    """``time.time()`` of the run's start, less what earlier parts of it took: only for display."""
    ends_at: float
    """``time.time()`` when the last trial must have been written."""
