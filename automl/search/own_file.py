"""A small SQLite file that anything may have happened to.

Decides whether a file is ours and whole. One that is not is set aside with a warning and a new one
begun; trouble around it (a full disk, a folder that cannot be written, another process that does not let
go) leaves it where it is. Either way the caller goes on with less knowledge, and never fails.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

__all__ = ["OwnFile"]

_APPLICATION = 0x61_75_74_6D
"""``autm`` in SQLite's application id: whose file it is."""
_LARGEST_BYTES = 64_000_000
"""Many times what is kept can take: whatever grew the file was not us."""
_PATIENCE_SECONDS = 5.0
"""To wait for another process; each holds the file for milliseconds."""
_TROUBLE_AROUND = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Primary codes of errors that say nothing against the file."""
_ABOUT_CONTENT = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
"""Extended codes among those that do."""
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class OwnFile:
    """A SQLite file with exactly the tables that this program makes. Several processes may use it."""

    def __init__(self, path: Path, *, tables: tuple[str, ...], version: int, holds: str) -> None:
        """Name a file in a folder that exists; it is made when it is used first.

        Args:
            path: the file. Beside it lie ``<path>.lock`` and, of the last file that was set aside,
                ``<path>.set-aside``.
            tables: the statements that make them, as SQLite keeps them.
            version: of the tables; a file of another version, older or newer, is set aside.
            holds: what is lost without the file, for messages.
        """
        self._path = path
        self._tables = tables
        self._version = version
        self._holds = holds

    def use(self, work: Callable[[sqlite3.Connection], _Result], *, otherwise: _Result) -> _Result:
        """Return what ``work`` makes of a connection, or ``otherwise`` where there is trouble."""
        for is_last in (False, True):
            opened = None
            try:
                with contextlib.closing(self._connect()) as connection:
                    opened = _inode(self._path)
                    return work(connection)
            except (sqlite3.Error, OSError) as error:
                if is_last or not _is_about_content(error, self._path):
                    _log.warning("%s not used this time: %s.", self._holds, error)
                    break
                self._replace(opened, str(error))
        return otherwise

    def _connect(self) -> sqlite3.Connection:
        """Return a connection to a file that is ours, new if need be."""
        with self._alone():
            fault = _size_fault(self._path)
            if fault is None:
                connection = _opened(self._path)
                try:
                    fault = self._fault(connection)
                except BaseException:
                    connection.close()
                    raise
                if fault is None:
                    return connection
                connection.close()
            self._set_aside(fault)
            connection = _opened(self._path)
            self._create(connection)
            return connection

    def _replace(self, opened: int | None, reason: str) -> None:
        """Set aside a file that went wrong while it was used, unless another process did already."""
        with contextlib.suppress(OSError), self._alone():
            if opened is not None and _inode(self._path) == opened:
                self._set_aside(reason)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only process that opens, makes or sets aside the file.

        Raises:
            OSError: when another process does not let go, or the folder cannot be written.
        """
        ends = time.monotonic() + _PATIENCE_SECONDS
        with Path(f"{self._path}.lock").open("a") as stream:
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > ends:
                        raise
                    time.sleep(0.02)
            yield

    def _set_aside(self, reason: str) -> None:
        aside = Path(f"{self._path}.set-aside")
        with contextlib.suppress(FileNotFoundError):
            self._path.replace(aside)
        for ending in ("-wal", "-shm", "-journal"):
            Path(f"{self._path}{ending}").unlink(missing_ok=True)
        _log.warning("%s lost: %s. The file is now '%s'.", self._holds, reason, aside)

    def _fault(self, connection: sqlite3.Connection) -> str | None:
        """Return why a file is not ours, or is damaged; make the tables in an empty one."""
        try:
            _prepare(connection)
            found = connection.execute("SELECT sql FROM sqlite_master").fetchall()
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if not found and application == 0 and version == 0:
                self._create(connection)
                return None
            if application != _APPLICATION:
                return "the file belongs to another program"
            if version != self._version:
                return f"the file is of version {version}, and this program reads {self._version}"
            if {sql for (sql,) in found if sql is not None} != set(self._tables):
                return "the tables in the file are not those that this program makes"
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                return "the file is damaged"
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.Error as error:
            if not _is_about_content(error, self._path):
                raise
            return f"the file is damaged ({error})"
        return None

    def _create(self, connection: sqlite3.Connection) -> None:
        _prepare(connection)
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        for statement in self._tables:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute("COMMIT")


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)
    connection.text_factory = _text
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Let the file run nothing and be read with care; the first of these opens it."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA synchronous = NORMAL")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _size_fault(path: Path) -> str | None:
    if path.exists() and path.stat().st_size > _LARGEST_BYTES:
        return f"the file is larger than {_LARGEST_BYTES:,} bytes"
    return None


def _is_about_content(error: Exception, path: Path) -> bool:
    """Whether an error comes of what is in the file, and not of what is around it."""
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _ABOUT_CONTENT:
        return True
    if code & 0xFF == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK)  # a header that forbids writing, in a file that allows it
    return code & 0xFF not in _TROUBLE_AROUND
