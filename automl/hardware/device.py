"""What every device answers: which host it is, and how long an ONNX file takes there.

A device is one class with this shape and one line in :data:`automl.registry.DEVICES`. The local
one starts processes of its own; a remote one sends the same requests to an agent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from automl.records.measurement import Host, Measurement
from automl.records.spec import LatencyBudget, Scope

__all__ = ["Device", "MeasureFailure", "MeasureRequest"]


@dataclass(frozen=True)
class MeasureRequest:
    """One ONNX file to be timed, batch 1. The file names its classes in ``automl.classes``."""

    path: str
    sha256: str
    """SHA-256 of the file in hexadecimal: another content is refused, not measured."""
    threads: int
    scope: Scope
    frame_size: tuple[int, int]
    """(height, width) of the frame that is timed."""
    min_runs: int
    min_seconds: float
    """Both are reached, unless measuring stops early or ``max_seconds`` are over."""
    budgets: tuple[LatencyBudget, ...]
    """Used for stopping early only."""
    stop_early: bool
    """Stop as soon as one of the budgets cannot be met."""
    memory: bool
    """Also measure the peak resident memory, in a process of its own."""
    image: str | None = None
    """An encoded image file, timed as it is for scope ``file`` and brought to ``frame_size`` for
    the other scopes; ``None``: a made frame like a photograph, as JPEG for scope ``file``."""
    max_seconds: float = 60.0
    """Running time (warm-up included) after which a file is taken with the runs it has."""


@dataclass(frozen=True)
class MeasureFailure:
    """A file that could not be measured, and why, in one sentence."""

    path: str
    error: str


class Device(Protocol):
    """Where models are measured."""

    name: str

    def host(self) -> Host:
        """Return the facts of the machine that the numbers come from."""
        ...

    def measure(
        self,
        requests: Sequence[MeasureRequest],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Measurement | MeasureFailure, ...]:
        """Return one answer a request, in the order of the requests.

        All are timed in one fresh process, in turns, so that a slow spell of the machine hits all
        alike; they are all in memory at once, so compare a dozen or two a call. ``progress`` is
        called with a line for people each time one is done.

        Raises:
            AutomlError: when nothing at all can be measured on the device.
        """
        ...
