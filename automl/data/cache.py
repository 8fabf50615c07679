"""Decoded images on disk: one flat file of pixels, an index of where each content begins.

A cache is a folder named after the contents it holds (and the side they are stored at), so equal
data shares it and changed data never meets a stale one. ``index.json`` is written last: a folder
without it, or whose sizes or checksums do not agree, counts as absent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from automl.errors import AutomlError
from automl.records import CacheRef
from automl.storage import cache_folder, read_record, sha256_file, write_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ENTRY",
    "CacheTooLargeError",
    "FrameWriter",
    "cache_key",
    "find_cache",
    "open_entries",
    "side_to_store",
]

_VERSION = "1"
"""Change it when ``decode_image``, the reduction or the layout changes."""

ENTRY = np.dtype(
    [("sha256", "S32"), ("offset", "<u8"), ("height", "<u4"), ("width", "<u4"),
     ("crc32", "<u4"), ("reduced", "?")]
)  # fmt: skip
"""One content: its frame is ``height * width * 3`` bytes at ``offset``; sorted by ``sha256``."""

_CHECKED_BYTES = 256 * 10**6
"""So much is read to check a cache, evenly over it: all of a small one, a sample of a large one."""

_STALE_S = 86_400.0
"""Unfinished caches older than a day belong to a process that was killed."""


_WHOLE = 1 << 20
"""No image has a longer side."""


class CacheTooLargeError(AutomlError):
    """The decoded images are more than the limit; caught, and the set streams."""


@dataclass(frozen=True)
class _Index:
    version: str
    stored_side: int
    entries: int
    frames_bytes: int
    entries_sha256: str


def cache_key(hashes: Iterable[str], stored_side: int) -> str:
    """Return the name of the cache that holds these contents at this side."""
    digest = hashlib.sha256(f"automl-frames-{_VERSION}\n{stored_side}\n".encode())
    for content in sorted(set(hashes)):
        digest.update(content.encode())
    return digest.hexdigest()[:32]


def find_cache(key: str) -> CacheRef | None:
    """Return the cache of that name if it is whole, else ``None``."""
    try:
        folder = cache_folder("decoded") / key
        entries = open_entries(folder, check=True)
        frames = np.memmap(folder / "frames.u8", np.uint8, "r")
    except (OSError, ValueError, AutomlError):
        return None  # absent or damaged: it is made again
    return CacheRef(str(folder), key, frames.size) if _is_sound(entries, frames) else None


def open_entries(folder: Path, *, check: bool = False) -> NDArray[np.void]:
    """Return the entries of a cache, memory-mapped, after a check of sizes (and of their content).

    Raises:
        OSError, ValueError, DamagedFileError: when it is absent, torn or of another version.
    """
    index = read_record(folder / "index.json", _Index)
    if index.version != _VERSION:
        raise ValueError(f"a cache of version {index.version}; this is {_VERSION}")
    if (folder / "frames.u8").stat().st_size != index.frames_bytes:
        raise ValueError("frames.u8 is torn")
    table = folder / "entries.npy"
    if check and sha256_file(table) != index.entries_sha256:
        raise ValueError("entries.npy is altered")
    entries: NDArray[np.void] = np.load(table, mmap_mode="r", allow_pickle=False)
    if entries.dtype != ENTRY or len(entries) != index.entries:
        raise ValueError("entries.npy is torn")
    return entries


class FrameWriter:
    """Writes a cache while images are decoded. Use as a context manager: what is unfinished goes.

    Raises:
        OSError: from every method, when the disk is full or the cache may not be written.
    """

    def __init__(self, *, stored_side: int, limit_bytes: int) -> None:
        """Begin an unfinished cache; ``limit_bytes`` is the most that the frames may take."""
        self._side = stored_side
        self._limit = limit_bytes
        self._offset = 0
        self._rows: dict[str, tuple[int, int, int, int, bool]] = {}
        parent = cache_folder("decoded")
        _remove_stale(parent)
        self._folder = Path(tempfile.mkdtemp(dir=parent, prefix=".unfinished-"))
        self._frames: IO[bytes] = (self._folder / "frames.u8").open("wb")

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._frames.close()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, sha256: str, frame: NDArray[np.uint8], *, reduced: bool) -> None:
        """Append one frame; a content that is there already is not written again.

        Raises:
            CacheTooLargeError: when the limit is passed.
        """
        if sha256 in self._rows:
            return
        if self._offset + frame.nbytes > self._limit:
            raise CacheTooLargeError(f"the decoded images take more than {self._limit:,} bytes")
        pixels = np.ascontiguousarray(frame).data
        self._frames.write(pixels)
        height, width = frame.shape[:2]
        self._rows[sha256] = (self._offset, height, width, zlib.crc32(pixels), reduced)
        self._offset += frame.nbytes

    def finish(self) -> CacheRef:
        """Complete the cache under its name and return where it is."""
        self._frames.flush()
        os.fsync(self._frames.fileno())
        hashes = sorted(self._rows)
        entries = np.array([(bytes.fromhex(name), *self._rows[name]) for name in hashes], ENTRY)
        table = self._folder / "entries.npy"
        np.save(table, entries, allow_pickle=False)
        index = _Index(_VERSION, self._side, len(entries), self._offset, sha256_file(table))
        write_record(self._folder / "index.json", index)
        self._folder.chmod(0o755)
        key = cache_key(hashes, self._side)
        target = self._folder.with_name(key)
        try:
            os.rename(self._folder, target)
        except OSError:
            self._replace(target)
        return CacheRef(str(target), key, self._offset)

    def _replace(self, target: Path) -> None:
        """Take the place of what has the name already, unless it is whole: another process made
        it."""
        if find_cache(target.name) is None:
            shutil.rmtree(target)
            os.rename(self._folder, target)


def _is_sound(entries: NDArray[np.void], frames: NDArray[np.uint8]) -> bool:
    step = max(1, -(-frames.size // _CHECKED_BYTES))
    for entry in entries[::step]:
        start = int(entry["offset"])
        size = int(entry["height"]) * int(entry["width"]) * 3
        if zlib.crc32(frames[start : start + size].data) != int(entry["crc32"]):
            return False
    return True


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(".unfinished-*"):
        with suppress(FileNotFoundError):  # finished meanwhile by the process it belongs to
            if time.time() - folder.stat().st_mtime > _STALE_S:
                shutil.rmtree(folder, ignore_errors=True)


def side_to_store(image_size: int, *, native: bool) -> int:
    """Return the longest side at which frames are stored for networks that see so many pixels a side.

    Twice as many leave room for crops and stay small enough to map. ``native``: networks look at frames
    in full resolution, so that they are stored whole.
    """
    return _WHOLE if native else 2 * image_size
