"""Who may write to a run folder: one process at a time.

The lock is ``flock`` on a file in the folder, so it ends with its process, however that ends. What the file
says of its holder is for people, and for processes that work for the holder: they can tell when another has
taken over.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from automl.errors import RunError, StorageError
from automl.storage import storage_failures

__all__ = ["check_holder", "hold", "is_held"]

_FILE = ".lock"


@contextmanager
def hold(path: Path) -> Iterator[str]:
    """Make a folder, if it is not there, and hold it for this process; gives what the lock says of it.

    Raises:
        RunError: when another process holds it, with its number, its machine and since when; or when
            there can be no such folder.
        StorageError: when the disk is full, read-only or gone.
    """
    _make(path)
    with storage_failures(path):
        stream = (path / _FILE).open("a+")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise RunError(
                f"'{path}' is in use by {holder}. Wait for it to end, or choose another "
                "'name' or 'output' in the spec."
            ) from None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = f"process {os.getpid()} on {socket.gethostname()} since {now}"
        with storage_failures(path):
            stream.truncate(0)
            stream.write(holder)
            stream.flush()
        yield holder


def is_held(path: Path) -> bool:
    """Whether a process holds a folder right now."""
    file = path / _FILE
    if not file.exists():
        return False
    with file.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def check_holder(path: Path, holder: str) -> None:
    """Check that a folder is still held by whom the lock said.

    Raises:
        StorageError: when it is not.
    """
    try:
        now = (path / _FILE).read_text()
    except FileNotFoundError:
        now = "nobody"
    if now != holder:
        raise StorageError(
            f"The folder '{path}' was taken over: it belongs to {now or 'nobody'}, not to {holder}."
        )


def _make(path: Path) -> None:
    try:
        with storage_failures(path):
            path.mkdir(parents=True, exist_ok=True)
    except StorageError:
        raise
    except OSError as error:
        raise RunError(
            f"The folder '{path}' cannot be made ({error.strerror}). "
            "Choose another 'output' in the spec."
        ) from error
