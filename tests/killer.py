"""A system that runs out of memory: it kills processes that do more than they should."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable

import psutil

_LONGEST_S = 2.0
"""Of processor time: on a busy machine a good network takes long, and no more of that."""


class Killer:
    """Kills processes that work longer than a good network needs, as a system does."""

    def __init__(
        self,
        workers: Callable[[], Iterable[psutil.Process]],
        *,
        times: int,
        victim_of: Callable[[psutil.Process], psutil.Process | None] = lambda worker: worker,
    ) -> None:
        """Look at workers all the time; end what each of so many of them leads to, itself or another."""
        self.left = times
        self._workers = workers
        self._victim_of = victim_of
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        killed: set[psutil.Process] = set()
        while self.left and not self._stop.wait(0.1):
            for worker in self._workers():
                with contextlib.suppress(psutil.Error):
                    if worker not in killed and sum(worker.cpu_times()[:2]) > _LONGEST_S:
                        victim = self._victim_of(worker)
                        if victim is not None and self.left:
                            killed.add(worker)
                            victim.kill()
                            self.left -= 1
