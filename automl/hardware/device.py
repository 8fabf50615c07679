"""What every device answers: which host it is, and how long an ONNX file takes there.

A device is one class with this shape and one line in :data:`automl.registry.DEVICES`. The local
one starts processes of its own; a remote one sends the same requests to an agent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from automl.records.measurement import Host, Measurement
from automl.records.spec import LatencyBudget, Scope

__all__ = ["Announcer", "Device", "MeasureFailure", "MeasureRequest"]

_MEASURED = re.compile(r"measured ([0-9]+) of [0-9]+: (.*)", re.DOTALL)


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


class Announcer:
    """Tells how many of the files of one call are done, wherever they are measured."""

    def __init__(
        self, total: int, progress: Callable[[str], None] | None, *, done: int = 0
    ) -> None:
        """Begin to count.

        Args:
            total: files that were asked for.
            progress: called with a line for people; ``None``: nobody listens.
            done: files that need no measuring.
        """
        self._total = total
        self._progress = progress
        self._done = done

    def count(self, name: str) -> None:
        """Tell that one more file is done."""
        self._done += 1
        self._tell(self._done, name)

    def pass_on(self, text: str, *, before: int) -> None:
        """Tell what another announcer told, which counts a part of these files.

        Args:
            before: files that were done before that part.
        """
        told = _MEASURED.fullmatch(text)
        if told is not None:
            self._tell(before + int(told[1]), told[2])
        elif self._progress is not None:
            self._progress(text)

    def _tell(self, done: int, name: str) -> None:
        if self._progress is not None:
            self._progress(f"measured {done} of {self._total}: {name}")


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
