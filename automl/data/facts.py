"""Remember what each file of a folder was found to hold, so that a second look costs a stat a file.

One file in the cache for each data folder: the thumbnails of all files, then one line of JSON a
file, then a fixed trailer with the counts and the checksum of the lines. A file is trusted while
its size and time of change stay the same. A torn or altered file reads as empty: everything is
looked at again.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.data.examine import THUMBNAIL_SIDE, FileFacts
from automl.data.flatfile import replacing
from automl.data.source import source_status
from automl.storage import cache_folder, sha256_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KnownFacts", "load_facts", "new_thumbnails", "save_facts"]

_MAGIC = b"automl-facts-1\0\0"
"""Change the number when :class:`FileFacts`, the thumbnails or ``decode_image`` change."""
_TRAILER = struct.Struct("<QQ32s16s")
_THUMBNAIL_BYTES = THUMBNAIL_SIDE * THUMBNAIL_SIDE
_IN_MEMORY_BYTES = 64 * 2**20
_NAMES = tuple(field.name for field in fields(FileFacts))


@dataclass(frozen=True)
class KnownFacts:
    """Facts by path, with the row of each thumbnail; ``thumbnails`` is ``(N, 32, 32)`` uint8."""

    by_path: dict[str, tuple[FileFacts, int]]
    thumbnails: NDArray[np.uint8]

    def current(self, root: Path, path: str) -> tuple[FileFacts, int] | None:
        """Return what is known of a file that has not changed since.

        Raises:
            OSError: when the file is not there.
        """
        status = source_status(root, path)
        known = self.by_path.get(path)
        if known is None or not known[0].sha256:
            return None
        facts = known[0]
        same = (facts.size_bytes, facts.mtime_ns) == (status.size_bytes, status.mtime_ns)
        return known if same else None


def new_thumbnails(count: int) -> NDArray[np.uint8]:
    """Return ``(count, 32, 32)`` zeros to write to; many of them lie in a file without a name.

    A million thumbnails take 1 GB: backed by a file, the system may put them out of memory.
    """
    size = count * _THUMBNAIL_BYTES
    shape = (count, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    if size < _IN_MEMORY_BYTES or not hasattr(os, "posix_fallocate"):
        return np.zeros(shape, np.uint8)
    try:
        with tempfile.TemporaryFile(dir=cache_folder("facts")) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told here, not by a signal
            return np.memmap(file, np.uint8, "r+", 0, shape).view(np.ndarray)
    except OSError:
        return np.zeros(shape, np.uint8)  # no room on the disk: the memory must do


def load_facts(root: Path) -> KnownFacts:
    """Return what is known of a data folder; empty when nothing is, or the file is damaged."""
    try:
        return _read(_file_of(root))
    except (OSError, ValueError, struct.error):
        # Absent, unreadable or damaged: a cache, so it is made again.
        return KnownFacts({}, new_thumbnails(0))


def save_facts(root: Path, facts: Sequence[FileFacts], thumbnails: NDArray[np.uint8]) -> None:
    """Keep the facts of a data folder, in place of what was known.

    Raises:
        OSError: when the cache cannot be written.
    """
    digest, size = hashlib.sha256(), 0
    with replacing(_file_of(root)) as stream:
        stream.write(np.ascontiguousarray(thumbnails).data)
        for line in _lines(facts):
            digest.update(line)
            size += len(line)
            stream.write(line)
        stream.write(_TRAILER.pack(len(facts), size, digest.digest(), _MAGIC))


def _file_of(root: Path) -> Path:
    return cache_folder("facts") / f"{sha256_bytes(os.fsencode(os.path.realpath(root)))[:32]}.bin"


def _lines(facts: Sequence[FileFacts]) -> Iterator[bytes]:
    for one in facts:
        row = [getattr(one, name) for name in _NAMES]
        yield json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _read(file: Path) -> KnownFacts:
    with file.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, end - _TRAILER.size))
        count, size, digest, magic = _TRAILER.unpack(stream.read(_TRAILER.size))
        start = count * _THUMBNAIL_BYTES
        if magic != _MAGIC or start + size + _TRAILER.size != end:
            raise ValueError("not a facts file of this version, or torn")
        stream.seek(start)
        content = stream.read(size)
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("altered")
    by_path: dict[str, tuple[FileFacts, int]] = {}
    notes: dict[tuple[str, ...], tuple[str, ...]] = {}
    for row, line in enumerate(content.splitlines()):
        path, size_bytes, mtime, sha, height, width, noted, rule, error = json.loads(line)
        noted = notes.setdefault(tuple(noted), tuple(noted))
        one = FileFacts(path, size_bytes, mtime, sha, height, width, noted, rule, error)
        by_path[path] = (one, row)
    if not count:
        return KnownFacts({}, new_thumbnails(0))
    shape = (count, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return KnownFacts(by_path, np.memmap(file, np.uint8, "r", 0, shape).view(np.ndarray))
