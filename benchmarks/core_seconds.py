"""The processor time of a command and everything it started, while it runs.

Sampled from outside, so that whoever is measured does nothing for it. Of a process that ended between two
samples, up to 0.25 s are not seen.
"""

from __future__ import annotations

import bisect
import contextlib
import threading
import time

import psutil

__all__ = ["CoreSeconds"]

_EVERY_S = 0.25


class CoreSeconds:
    """Samples a process tree until it is stopped.

    Args:
        pid: the process at the root of the tree.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._started = time.monotonic()
        self._known: dict[tuple[int, float], float] = {}
        self._walls: list[float] = [0.0]
        self._cores: list[float] = [0.0]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def now(self) -> tuple[float, float]:
        """Return wall seconds since the start, and core-seconds until the last sample."""
        return time.monotonic() - self._started, self._cores[-1]

    def at(self, wall_s: float) -> float:
        """Return the core-seconds until a moment, which must be over."""
        position = bisect.bisect_left(self._walls, wall_s)
        return self._cores[min(position, len(self._cores) - 1)]

    def stop(self) -> tuple[float, float]:
        """Stop sampling and return wall seconds and core-seconds of the whole."""
        wall_s = time.monotonic() - self._started
        self._ended.set()
        self._thread.join()
        return wall_s, self._cores[-1]

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._sample()
            self._ended.wait(_EVERY_S)

    def _sample(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (self._root, *self._root.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    times = process.cpu_times()
                    self._known[process.pid, process.create_time()] = times.user + times.system
        self._walls.append(time.monotonic() - self._started)
        self._cores.append(sum(self._known.values()))
