"""Time within a run, by clocks that nobody can set.

A run's time is counted in seconds of the run: those of its earlier parts and those since this part
began. Whoever sets the machine's clock, or a time server that corrects it at night, neither ends a run
early nor makes it last. Processes of one machine share the monotonic clock, so that a worker knows the
run's time exactly. Another machine's clock began elsewhere: there the time counts from when the trial was
handed out, which is late by what handing out takes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RunClock", "SharedClock"]

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class SharedClock:
    """The driver's clock as a worker process reads it; pickled to the workers."""

    began: float
    """Monotonic time of the driver's machine at second 0 of the run."""
    boot: str | None
    """Which start of which machine that clock belongs to; ``None`` where the system does not say."""

    def began_here(self, handed_out_s: float) -> float:
        """Return second 0 of the run as monotonic time of this process.

        Args:
            handed_out_s: seconds of the run when the driver handed out what is begun now.
        """
        if self.boot is not None and self.boot == _boot():
            return self.began
        return time.monotonic() - handed_out_s


class RunClock:
    """How long a run has gone on, over all its parts, and when it must end.

    Args:
        earlier_s: what earlier parts of the run took.
        limit_s: what the whole run may take.
    """

    def __init__(self, earlier_s: float, limit_s: float) -> None:
        self._began = time.monotonic() - earlier_s
        self._limit_s = limit_s

    @property
    def elapsed_s(self) -> float:
        """Seconds of the run until now."""
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float:
        """Seconds until the run must end; negative when it is over."""
        return self._limit_s - self.elapsed_s

    def shared(self) -> SharedClock:
        """Return what tells the same time in a worker process."""
        return SharedClock(self._began, _boot())


def _boot() -> str | None:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return None
