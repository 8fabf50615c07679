"""The temporary folder of an agent: made for itself alone, and gone when it ends, however it ends.

It is kept locked while the agent lives. The lock ends with the process, so the next agent knows which
folders nobody works in, and removes what a killed one left behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["open_workplace"]

_PREFIX = "automl-agent-"
_DISK = Path("/var/tmp")
"""Kept on disk, where ``/tmp`` is often memory: uploads there would be missing when measuring."""
_YOUNG_S = 60.0
"""A folder without a lock may be another agent's that is just starting."""


@contextmanager
def open_workplace() -> Iterator[Path]:
    """Yield an empty folder that only this user may enter; remove it afterwards.

    It is made in ``$TMPDIR`` if that is set.
    """
    root = _root()
    _tidy(root)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _root() -> Path:
    if not os.environ.get("TMPDIR") and os.access(_DISK, os.W_OK):
        return _DISK
    return Path(tempfile.gettempdir())


def _tidy(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        if not folder.is_symlink() and folder.is_dir() and _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        if folder.stat().st_uid != os.getuid():
            return False
        with (folder / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        try:
            return time.time() - folder.stat().st_mtime > _YOUNG_S
        except OSError:
            return False
    except OSError:
        return False
