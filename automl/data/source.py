"""Read the bytes that a path of a data set names: a file, or one image inside a parquet file.

Everything that opens the user's images goes through here, so that images need not be unpacked.
``data/train.parquet#0000017`` is the image of row 17; ``data/train.parquet#0000017:mask`` is the image
in its column ``mask``. Rows that lie together are read together: at most some hundred
megabytes are held, whatever the size of the file.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "SourceStatus",
    "image_columns",
    "is_member",
    "member_path",
    "open_source",
    "read_source",
    "source_status",
]

_MEMBER = re.compile(r"(?P<file>.+\.parquet)#(?P<row>\d+)(?::(?P<column>.+))?", re.IGNORECASE)
_ROW_DIGITS = 7
"""So that the order of the paths is that of the rows."""
_MAX_BYTES = 1 << 30
"""A larger file is no photograph; reading it would fill the memory of small machines."""

_GROUP_BYTES = 64 * 2**20
"""Row groups up to this size are read at once; larger ones a few rows at a time."""
_GROUPS_HELD = 2
"""Of each file: images are looked at in the order of their paths, so nearly always once."""
_FILES_HELD = 2
_ROWS_AT_ONCE = 32
"""Of larger row groups: 32 photographs of 4 MB are 128 MB."""
_STREAM_BYTES = 1 << 20


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


def image_columns(schema: Any) -> tuple[str, ...]:
    """Return the columns of a ``pyarrow.Schema`` that hold images: structs with ``bytes``, or bytes.

    The column ``image`` comes first, if there is one; then those that are called after images.
    """
    import pyarrow

    def holds_images(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            kind = kind.field("bytes").type if kind.get_field_index("bytes") >= 0 else None
        return kind is not None and (
            pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)
        )

    found = [field.name for field in schema if holds_images(field.type)]
    order = ("image", "img", "photo", "picture")
    return tuple(sorted(found, key=lambda n: order.index(n) if n in order else len(order)))


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
_FILES: OrderedDict[tuple[str, SourceStatus], _ParquetFile] = OrderedDict()


def _parquet_file(file: Path, status: SourceStatus) -> _ParquetFile:
    """Return an open file, closing the one that was not used for longest."""
    key = (os.fspath(file), status)
    if key not in _FILES:
        while len(_FILES) >= _FILES_HELD:
            _FILES.popitem(last=False)[1].close()
        _FILES[key] = _ParquetFile(file)
    _FILES.move_to_end(key)
    return _FILES[key]


class _Rows:
    """Some rows of one column, and where they begin."""

    def __init__(self, start: int, values: Any) -> None:
        self.start, self.values = start, values

    def __contains__(self, row: int) -> bool:
        return self.start <= row < self.start + len(self.values)


class _ParquetFile:
    """A parquet file, its open row groups, and the stream through the group that is too large."""

    def __init__(self, file: Path) -> None:
        import pyarrow
        import pyarrow.parquet as parquet

        self._errors = pyarrow.ArrowException
        try:
            # Buffered: a column is read page by page, not whole.
            self._file = parquet.ParquetFile(
                file, buffer_size=_STREAM_BYTES, pre_buffer=False, memory_map=False
            )
        except self._errors as error:
            raise OSError(f"no parquet file, or a damaged one ({_first_line(error)})") from error
        groups = self._file.metadata.num_row_groups
        self._ends: list[int] = []
        for group in range(groups):
            before = self._ends[-1] if self._ends else 0
            self._ends.append(before + self._file.metadata.row_group(group).num_rows)
        self._columns = image_columns(self._file.schema_arrow)
        self._held: OrderedDict[tuple[str, int], _Rows] = OrderedDict()
        self._stream: tuple[str, int, Iterator[_Rows]] | None = None
        self._current: tuple[str, _Rows] | None = None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def image(self, row: int, column: str) -> tuple[bytes | None, str]:
        """Return the bytes of one row's image, or the path of the file it refers to.

        Raises:
            OSError: when there is no such row or column, or the file is damaged.
        """
        name = column or (self._columns[0] if self._columns else "")
        if name not in self._columns:
            raise FileNotFoundError(2, f"no column of images '{column or 'image'}'")
        if row >= (self._ends[-1] if self._ends else 0):
            raise FileNotFoundError(2, f"no row {row}")
        try:
            rows = self._rows(name, row)
        except self._errors as error:
            raise OSError(f"damaged parquet file ({_first_line(error)})") from error
        value = rows.values[row - rows.start].as_py()
        if isinstance(value, dict):
            return value.get("bytes"), value.get("path") or ""
        return value, ""

    def _rows(self, column: str, row: int) -> _Rows:
        group = next(g for g, end in enumerate(self._ends) if row < end)
        if self._group_bytes(group, column) > _GROUP_BYTES:
            return self._streamed(column, group, row)
        key = (column, group)
        if key not in self._held:
            while len(self._held) >= _GROUPS_HELD:
                self._held.popitem(last=False)
            table = self._file.read_row_group(group, columns=[column], use_threads=False)
            self._held[key] = _Rows(self._start(group), table.column(0))
        self._held.move_to_end(key)
        return self._held[key]

    def _streamed(self, column: str, group: int, row: int) -> _Rows:
        """Go on to a row of a large group; begin again when the row has been passed."""
        if self._current and self._current[0] == column and row in self._current[1]:
            return self._current[1]
        passed = self._current is None or self._current[1].start > row
        if self._stream is None or self._stream[:2] != (column, group) or passed:
            self._stream = (column, group, self._batches(column, group))
        for rows in self._stream[2]:
            self._current = (column, rows)
            if row in rows:
                return rows
        raise OSError(f"damaged parquet file (row {row} is missing)")

    def _batches(self, column: str, group: int) -> Iterator[_Rows]:
        start = self._start(group)
        for batch in self._file.iter_batches(
            _ROWS_AT_ONCE, row_groups=[group], columns=[column], use_threads=False
        ):
            yield _Rows(start, batch.column(0))
            start += len(batch)

    def _start(self, group: int) -> int:
        return self._ends[group - 1] if group else 0

    def _group_bytes(self, group: int, column: str) -> int:
        described = self._file.metadata.row_group(group)
        chunks = (described.column(i) for i in range(described.num_columns))
        return sum(
            chunk.total_uncompressed_size
            for chunk in chunks
            if f"{chunk.path_in_schema}.".startswith(f"{column}.")
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
