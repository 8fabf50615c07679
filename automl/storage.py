"""Files that survive a crash: written whole or not at all, and recognised when damaged.

Every result of a run is one JSON file with a checksum over its content. A file that was torn, truncated
or altered reads as :class:`DamagedFileError`, never as a wrong record. A disk that takes nothing more is told
apart from everything else that may go wrong: it is nobody's mistake, and the run goes on when there is room.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from automl.errors import RunError, StorageError
from automl.records import dump_record, load_record

__all__ = [
    "DamagedFileError",
    "cache_folder",
    "read_record",
    "sha256_bytes",
    "sha256_file",
    "storage_error",
    "storage_failures",
    "write_atomic",
    "write_record",
]

_Record = TypeVar("_Record")
_CHUNK_BYTES = 1 << 20
_STORAGE_FAILURES: Mapping[int, str] = MappingProxyType(
    {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the quota of the disk is used up",
        errno.EFBIG: "the file is larger than the disk or a limit allows",
        errno.EROFS: "the disk can only be read",
        errno.EACCES: "writing is not permitted",
        errno.EPERM: "writing is not permitted",
        errno.EIO: "the disk does not work",
        errno.ESTALE: "the shared folder has gone",
        errno.ENOTCONN: "the shared folder is not connected",
        errno.ENODEV: "the disk has gone",
        errno.ENXIO: "the disk has gone",
    }
)
"""What the system says when storage fails, in words."""
_NOT_PERMITTED = (errno.EACCES, errno.EPERM)
"""Of a file of ours it says that storage fails; of another it may be what the user set."""


class DamagedFileError(RunError):
    """A state file is torn, truncated, altered, or of another version."""


def cache_folder(name: str) -> Path:
    """Return (and make) a folder of the user's cache: ``$AUTOML_CACHE`` or ``~/.cache/automl``."""
    root = os.environ.get("AUTOML_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "automl"
    )
    folder = Path(root) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def storage_error(error: BaseException | None) -> StorageError | None:
    """Return that a disk is full, read-only or gone, if this is what led to an error; else ``None``.

    Looks through the errors that an error was raised from, since libraries wrap them.
    """
    while error is not None:
        if isinstance(error, StorageError):
            return error
        if isinstance(error, OSError) and error.errno not in _NOT_PERMITTED:
            why = _STORAGE_FAILURES.get(error.errno or 0)
            if why is not None:
                where = f"'{error.filename}'" if error.filename else "A file"
                return StorageError(f"{where} cannot be used: {why} ({error.strerror}).")
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def storage_failures(path: Path) -> Iterator[None]:
    """Raise :class:`StorageError`, naming ``path``, where the storage below it fails in the block."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        why = _STORAGE_FAILURES.get(error.errno or 0)
        if why is None:
            raise
        raise StorageError(f"'{path}' cannot be written: {why} ({error.strerror}).") from error


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never a part.

    Temporary file in the same folder, fsync, rename, fsync of the folder.

    Raises:
        StorageError: when the disk is full, read-only or gone; the old content is whole.
    """
    with storage_failures(path):
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_record(path: Path, record: object) -> None:
    """Write a record as JSON with its kind and a checksum of the content, atomically."""
    body = dump_record(record)
    envelope = {
        "kind": type(record).__name__,
        "sha256": sha256_bytes(body.encode()),
        "record": json.loads(body),
    }
    write_atomic(path, (json.dumps(envelope, indent=1, ensure_ascii=False) + "\n").encode())


def read_record(path: Path, kind: type[_Record]) -> _Record:
    """Read a record that :func:`write_record` wrote.

    Raises:
        FileNotFoundError: when there is no such file.
        DamagedFileError: when the content is not what was written.
    """
    content = path.read_bytes()
    try:
        envelope = json.loads(content)
        body = json.dumps(envelope["record"], ensure_ascii=False, separators=(",", ":"))
        if envelope["kind"] != kind.__name__ or envelope["sha256"] != sha256_bytes(body.encode()):
            raise ValueError("checksum or kind differ")
        return load_record(kind, body)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedFileError(
            f"'{path}' is damaged and cannot be read as {kind.__name__} ({error}). "
            "Delete it: what it held will be made again."
        ) from error
