"""Ends what this process started, also when this process is killed, and whatever state that is in.

Ray's daemons end by themselves when their driver is gone, but not all at once: its agents first report
that to a server that is gone as well, for up to 60 s (ray 2.60), and a worker may sit in a long call. They
are known by the logs that they write: titles and environments are overwritten, parents die.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import psutil

__all__ = ["is_watcher", "main", "reaped"]

_MODULE = "automl.search.reaper"
_LOOK_S = 0.3
_AGAIN_S = 0.1
"""A process that is being killed may just have started another."""
_ROUNDS = 100
"""A process that waits for a disk that is gone cannot be killed, and must not hold up the run."""
_LONGEST = 32
"""A folder for temporary files with a longer path leaves no room for Ray's: those of sockets have at most
107 characters."""


@contextlib.contextmanager
def reaped() -> Iterator[str]:
    """Yield an empty folder for logs: who writes to a file there ends with the block.

    They end as well when this process does, however that is: a small process watches it. Then the folder
    is removed. It is made where ``RAY_TMPDIR`` or ``TMPDIR`` say.
    """
    folder = tempfile.mkdtemp(prefix="automl-ray-", dir=_place())
    watcher = subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(os.getpid()), folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what kills the driver's process group spares it
    )
    try:
        yield folder
    finally:
        watcher.kill()
        watcher.wait()
        _clear(folder)


def _place() -> str:
    usual = tempfile.gettempdir()
    place = os.environ.get("RAY_TMPDIR") or (usual if len(usual) <= _LONGEST else "/tmp")
    os.makedirs(place, exist_ok=True)
    return place


def is_watcher(process: psutil.Process) -> bool:
    """Return whether a process only watches its parent: who ends all others leaves it to its task.

    Raises:
        psutil.Error: the process is gone.
    """
    return _MODULE in process.cmdline()


def main() -> None:
    """Wait until the driver is gone; then end those that write to its folder."""
    driver, folder = int(sys.argv[1]), sys.argv[2]
    while os.getppid() == driver:
        time.sleep(_LOOK_S)
    _clear(folder)


def _clear(folder: str) -> None:
    """Kill all other processes that write to a folder, until none does; then remove it."""
    for _ in range(_ROUNDS):
        if not _kill(folder):
            break
        time.sleep(_AGAIN_S)
    shutil.rmtree(folder, ignore_errors=True)


def _kill(folder: str) -> int:
    """Kill the other processes that write to files of a folder; return how many there were."""
    killed = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and _writes_to(process, folder):
                process.kill()
                killed += 1
    return killed


def _writes_to(process: psutil.Process, folder: str) -> bool:
    return any(
        file.path.startswith(folder + os.sep) and getattr(file, "mode", "a") != "r"
        for file in process.open_files()
    )


if __name__ == "__main__":
    main()
