"""Compiled truths on disk: boxes in columns, masks compressed one by one, an index written last.

A folder is named after all that its content was made from. ``index.json`` is written last and holds
the sizes of the files, so a folder that is torn counts as absent; masks carry a checksum each.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from automl.errors import AutomlError
from automl.records import Finding, TruthKind
from automl.storage import cache_folder, read_record, write_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "AMOUNT",
    "ENTRY",
    "TruthFiles",
    "TruthIndex",
    "TruthWriter",
    "compress_mask",
    "find_truth",
    "open_truth",
    "path_digest",
]

_VERSION = "1"
"""Change it when the layout, or what is done with annotations, changes."""

ENTRY = np.dtype(
    [("path", "S16"), ("digest", "S16"), ("start", "<u8"), ("length", "<u4"), ("height", "<u4"),
     ("width", "<u4"), ("table", "<i2"), ("label", "<i2"), ("usable", "?"), ("crc32", "<u4")]
)  # fmt: skip
"""One image. ``path``: hash of its path. ``start``, ``length``: its boxes, or the bytes of its mask
(0: none). ``table``: what turns values of its mask into classes."""

AMOUNT = np.dtype([("row", "<u4"), ("label", "<u2"), ("amount", "<u4")])
"""How many objects or pixels of a class (or value of a mask) an image has."""

_FILES: dict[str, np.dtype[Any]] = {
    "corners": np.dtype("<f4"),
    "labels": np.dtype("<u2"),
    "ignored": np.dtype("?"),
    "masks": np.dtype("u1"),
    "amounts": AMOUNT,
}
_LEVEL = 3
"""Of compression: masks of 1 megapixel take about 4 ms to write and 2 ms to read."""
_STALE_S = 86_400.0


@dataclass(frozen=True)
class TruthIndex:
    """What a folder of truths holds."""

    version: str
    kind: TruthKind
    classes: tuple[str, ...]
    tables: tuple[tuple[int, ...], ...]
    """The class of each value of a mask, by ``table``; the first for boxes and drawn masks. -1 or 255:
    not known."""
    findings: tuple[Finding, ...]
    sizes: tuple[int, ...]
    """Bytes of ``entries`` and each other file."""
    checksums: tuple[int, ...]
    """CRC-32 of the same files; 0 for ``masks``, each of which has its own."""


@dataclass(frozen=True)
class TruthFiles:
    """An open folder, memory-mapped."""

    index: TruthIndex
    entries: NDArray[np.void]
    corners: NDArray[np.float32]
    labels: NDArray[np.uint16]
    ignored: NDArray[np.bool_]
    masks: NDArray[np.uint8]
    amounts: NDArray[np.void]


class TruthWriter:
    """Writes one folder of truths, row by row. Use as a context manager: what is unfinished goes.

    Raises:
        OSError: from every method, when the disk is full or the cache may not be written.
    """

    def __init__(self, key: str) -> None:
        """Begin an unfinished folder."""
        self._key = key
        parent = cache_folder("truth")
        _remove_stale(parent)
        self._folder = Path(tempfile.mkdtemp(dir=parent, prefix=".unfinished-"))
        self._checksums = dict.fromkeys(_FILES, 0)
        self._files: dict[str, IO[bytes]] = {
            name: (self._folder / name).open("wb") for name in _FILES
        }

    def __enter__(self) -> TruthWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, name: str, values: NDArray[np.generic]) -> None:
        """Append values to one of the columns."""
        content = np.ascontiguousarray(values, _FILES[name]).tobytes()
        self._checksums[name] = zlib.crc32(content, self._checksums[name])
        self._files[name].write(content)

    def add_mask(self, pixels: bytes) -> tuple[int, int, int]:
        """Append a compressed mask; return where it begins, its length, and its checksum."""
        start = self._files["masks"].tell()
        self._files["masks"].write(pixels)
        return start, len(pixels), zlib.crc32(pixels)

    def finish(
        self,
        entries: NDArray[np.void],
        *,
        kind: TruthKind,
        classes: tuple[str, ...],
        tables: tuple[tuple[int, ...], ...],
        findings: tuple[Finding, ...],
    ) -> Path:
        """Complete the folder under its name and return where it is."""
        content = entries.tobytes()
        (self._folder / "entries").write_bytes(content)
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        sizes = tuple((self._folder / name).stat().st_size for name in ("entries", *_FILES))
        checksums = (zlib.crc32(content), *self._checksums.values())
        index = TruthIndex(_VERSION, kind, classes, tables, findings, sizes, checksums)
        write_record(self._folder / "index.json", index)
        self._folder.chmod(0o755)
        target = self._folder.with_name(self._key)
        try:
            os.rename(self._folder, target)
        except OSError:
            if find_truth(self._key) is None:  # what has the name is torn
                shutil.rmtree(target, ignore_errors=True)
                os.rename(self._folder, target)
        return target


def path_digest(path: str) -> bytes:
    """Return the 16 bytes by which an image is found."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()[:16]


def compress_mask(pixels: NDArray[np.uint8]) -> bytes:
    """Return ``(H, W)`` pixels as :meth:`TruthWriter.add_mask` takes them."""
    return zlib.compress(np.ascontiguousarray(pixels).data, _LEVEL)


def find_truth(key: str) -> Path | None:
    """Return the folder of that name if it is whole, else ``None``."""
    try:
        folder = cache_folder("truth") / key
        files = open_truth(folder)
        for name, checksum in zip(("entries", *_FILES), files.index.checksums, strict=True):
            if (
                name != "masks"
                and zlib.crc32(getattr(files, name).reshape(-1).view(np.uint8)) != checksum
            ):
                return None
    except (OSError, ValueError, AutomlError):
        return None  # absent or torn: it is made again
    return folder


def open_truth(folder: Path) -> TruthFiles:
    """Open a folder of truths, after a check of its sizes.

    Raises:
        OSError, ValueError, DamagedFileError: when it is absent, torn or of another version.
    """
    index = read_record(folder / "index.json", TruthIndex)
    if index.version != _VERSION:
        raise ValueError(f"truths of version {index.version}; this is {_VERSION}")
    columns: dict[str, NDArray[Any]] = {}
    kinds: dict[str, np.dtype[Any]] = {"entries": ENTRY, **_FILES}
    for (name, kind), size in zip(kinds.items(), index.sizes, strict=True):
        if (folder / name).stat().st_size != size or size % kind.itemsize:
            raise ValueError(f"{name} is torn")
        empty = np.empty(0, kind)
        columns[name] = np.memmap(folder / name, kind, "r").view(np.ndarray) if size else empty
    columns["corners"] = columns["corners"].reshape(-1, 4)
    return TruthFiles(index, **columns)


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(".unfinished-*"):
        with suppress(FileNotFoundError):  # finished meanwhile by the process it belongs to
            if time.time() - folder.stat().st_mtime > _STALE_S:
                shutil.rmtree(folder, ignore_errors=True)
