"""Read the bytes that a path of a data set names: a file, or one image inside a parquet file.

Everything that opens the user's images goes through here, so that images need not be unpacked.
``data/train.parquet#0000017`` is the image of row 17; ``data/train.parquet#0000017:mask`` is the image
in its column ``mask``. Rows that lie together are read together
(:mod:`automl.data.parquet_images`).
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.data.parquet_images import ParquetImages
from automl.storage import cache_folder, sha256_bytes, write_atomic

__all__ = [
    "SourceStatus",
    "as_file",
    "is_member",
    "member_path",
    "open_source",
    "read_source",
    "source_status",
]

_MEMBER = re.compile(r"(?P<file>.+\.parquet)#(?P<row>\d+)(?::(?P<column>.+))?", re.IGNORECASE)
_ROW_DIGITS = 7
"""So that the order of the paths is that of the rows."""
_FILES_HELD = 2
"""Open parquet files, each with rows in memory."""
_MAX_BYTES = 1 << 30
"""A larger file is no photograph; reading it would fill the memory of small machines."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What tells that content has changed: size and time of change of the file it lies in."""

    size_bytes: int
    mtime_ns: int


def read_source(root: Path, path: str) -> bytes:
    """Return the content that a path of the data set names.

    Raises:
        OSError: as reading a file does; ``FileNotFoundError`` when file, row or image is missing.
    """
    return open_source(root, path)[0]


def open_source(root: Path, path: str) -> tuple[bytes, SourceStatus]:
    """Return the content that a path names, and the status of the file it was read from.

    Raises:
        OSError: as reading a file does; also when it is no regular file, or has more than 1 GiB.
    """
    member = _member(root, path)
    if member is None:
        return _read_file(root / path)
    file, row, column = member
    status = _status(os.stat(root / file))
    with _LOCK:
        content, beside = _parquet_file(root / file, status).image(row, column)
    if content is None:
        inside = os.path.normpath(beside.replace("\\", "/")) if beside else ".."
        if os.path.isabs(inside) or inside.startswith(".."):
            raise FileNotFoundError(2, "row without an image", path)
        return _read_file(root / inside)
    if len(content) > _MAX_BYTES:
        raise _too_large(len(content))
    return content, status


def as_file(root: Path, path: str) -> Path:
    """Return a file with the content that a path names: itself, or a copy of a row in the cache.

    Raises:
        OSError: when a row cannot be read, or the cache cannot be written.
    """
    if _member(root, path) is None:
        return root / path
    content = read_source(root, path)
    copy = cache_folder("rows") / sha256_bytes(content)
    if not copy.is_file():
        write_atomic(copy, content)
    return copy


def source_status(root: Path, path: str) -> SourceStatus:
    """Return size and time of change of the file that a path names or lies in.

    Raises:
        OSError: when the file is not there.
    """
    member = _member(root, path)
    return _status(os.stat(root / (path if member is None else member[0])))


def member_path(file: str, row: int, column: str = "") -> str:
    """Return the path of the image in one row of a parquet file.

    Args:
        file: Relative to the root, with forward slashes, ending in ``.parquet``.
        row: Counted from 0 through the whole file.
        column: Empty for the first column that holds images.
    """
    member = f"{file}#{row:0{_ROW_DIGITS}}"
    return f"{member}:{column}" if column else member


def is_member(path: str) -> bool:
    """Whether a path has the form of :func:`member_path`."""
    return _MEMBER.fullmatch(path) is not None


def _member(root: Path, path: str) -> tuple[str, int, str] | None:
    match = _MEMBER.fullmatch(path)
    if match is None or os.path.lexists(root / path):
        return None
    return match["file"], int(match["row"]), match["column"] or ""


def _status(status: os.stat_result) -> SourceStatus:
    return SourceStatus(status.st_size, status.st_mtime_ns)


def _too_large(size: int) -> OSError:
    return OSError(f"{size:,} bytes are more than {_MAX_BYTES:,}")


def _read_file(file: Path) -> tuple[bytes, SourceStatus]:
    with _open_regular(file) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        if status.st_size > _MAX_BYTES:
            raise _too_large(status.st_size)
        return stream.read(), _status(status)


def _open_regular(file: Path) -> Any:
    """Open without waiting for the other end, should it be a pipe."""
    return open(file, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


_LOCK = threading.Lock()
"""Frames are read by several threads; a parquet file has one place where it is read."""
_FILES: OrderedDict[tuple[str, SourceStatus], ParquetImages] = OrderedDict()


def _parquet_file(file: Path, status: SourceStatus) -> ParquetImages:
    """Return an open file, closing the one that was not used for longest."""
    key = (os.fspath(file), status)
    if key not in _FILES:
        while len(_FILES) >= _FILES_HELD:
            _FILES.popitem(last=False)[1].close()
        _FILES[key] = ParquetImages(file)
    _FILES.move_to_end(key)
    return _FILES[key]
