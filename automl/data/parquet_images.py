"""Read single images out of the rows of a parquet file, whatever the size of its row groups.

Parquet is read by row groups, which may hold a few photographs or all of them. Small groups are read at
once and kept; large ones as a stream, a few rows at a time, which is quick in the order of the rows.
The memory is then that of two or three pages, which pyarrow writes for up to 1,024 rows: 20,000 images of
50 kB in one group of 1 GB were read in 0.2 GB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["ParquetImages", "image_columns"]

_GROUP_BYTES = 64 * 2**20
"""Row groups up to this size are read at once; larger ones a few rows at a time."""
_GROUPS_HELD = 2
"""Of each file: images are looked at in the order of their paths, so nearly always once."""
_ROWS_AT_ONCE = 32
"""Of larger row groups: 32 photographs of 4 MB are 128 MB."""
_STREAM_BYTES = 1 << 20


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


class ParquetImages:
    """A parquet file, its open row groups, and the stream through the group that is too large."""

    def __init__(self, file: Path) -> None:
        """Open a file, reading where its rows are.

        Raises:
            OSError: when it is missing, no parquet file, or damaged.
        """
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


class _Rows:
    """Some rows of one column, and where they begin."""

    def __init__(self, start: int, values: Any) -> None:
        self.start, self.values = start, values

    def __contains__(self, row: int) -> bool:
        return self.start <= row < self.start + len(self.values)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
