"""Read the pixels of a data set: from the cache where it is, else from the files themselves.

Opened in every process that trains, exports or measures, so opening costs a few system calls.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.data.cache import open_entries
from automl.data.examine import decode_quietly, resize
from automl.data.flatfile import locked, replacing
from automl.data.source import read_source
from automl.data.truth import Truth
from automl.data.truth_store import TruthStore
from automl.data.views import FittedTruths, Resized
from automl.errors import AutomlError, DataError
from automl.predictor import ImageError
from automl.records import Dataset, Sample
from automl.storage import sha256_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FrameStore"]

_RESIZED_LIMIT_BYTES = 4 * 10**9
"""Images of one size are kept on disk up to this much, or four times the frames if that is more."""

_FREE_SHARE = 0.5
"""At most this share of the free disk is taken for the images of one size."""


class FrameStore:
    """The images of a :class:`Dataset` as arrays, by position of the sample. Read-only.

    Safe to open in several processes at once; can be pickled (it is opened anew).
    """

    def __init__(self, dataset: Dataset) -> None:
        """Open the data's cache; without one (or if it has gone) images are decoded at every
        use."""
        self.dataset = dataset
        self._root = Path(dataset.root)
        self._folder: Path | None = None
        self._resized: dict[tuple[int, int], NDArray[np.uint8] | None] = {}
        if dataset.cache is None:
            return
        folder = Path(dataset.cache.folder)
        try:
            self._entries = open_entries(folder)
            self._frames = _mapped(folder / "frames.u8", (dataset.cache.size_bytes,))
            self._folder = folder
        except (OSError, ValueError, AutomlError):
            self._folder = None  # emptied or damaged meanwhile: slower, not wrong

    def __reduce__(self) -> tuple[type[FrameStore], tuple[Dataset]]:
        return FrameStore, (self.dataset,)

    def __len__(self) -> int:
        return len(self.dataset.samples)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """``(N,)`` int64: the class of each sample."""
        samples = self.dataset.samples
        return np.fromiter((sample.label for sample in samples), np.int64, len(samples))

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Return ``(H, W, 3)`` uint8 RGB exactly as :func:`automl.predictor.decode_image` gives it.

        Raises:
            DataError: when the file must be read and has changed or gone.
        """
        stored = self._stored(index)
        if stored is not None and stored.shape[:2] == self._size(index):
            return stored
        return self._decoded(index)

    def encoded(self, index: int) -> bytes:
        """Return the file's bytes.

        Raises:
            DataError: when the file has changed since it was audited, or has gone.
        """
        sample = self.dataset.samples[index]
        try:
            content = read_source(self._root, sample.path)
        except OSError as error:
            raise DataError(
                f"'{sample.path}' in '{self._root}' was there when the data was audited and cannot "
                f"be read now ({error.strerror}). Put it back, or start a new run."
            ) from error
        if sha256_bytes(content) != sample.sha256:
            raise DataError(
                f"'{sample.path}' in '{self._root}' has changed since the data was audited "
                f"(SHA-256 {sample.sha256[:12]}… expected). Restore it, or start a new run."
            )
        return content

    def truth(self, index: int) -> Truth:
        """Return what is known of an image, in pixels of its frame.

        Raises:
            DataError: when the compiled annotations have gone from the cache.
        """
        return self._truths.truth(index)

    def truths(self, indices: Sequence[int], size: tuple[int, int]) -> FittedTruths:
        """Return what is known of some images squashed to (height, width), to be read one by one."""
        return FittedTruths(self, np.asarray(indices, np.intp), size)

    def images(self, indices: Sequence[int], size: tuple[int, int]) -> Resized:
        """Return some images squashed to (height, width), to be read a batch at a time.

        The file of all images at that size is made now, if there is room for it, so that reading is
        quick; frames that have the size already are read as they are. An image stored reduced is taken
        from the reduced frame while that is at least as high and as wide.

        Raises:
            DataError: when a file must be read and has changed or gone.
        """
        positions = np.asarray(indices, np.intp)
        if not len(positions):
            return Resized(self, positions, size, kept=None, rows=None)
        places = self._places_of_frames(size)
        if places is not None:
            kept = self._frames.reshape(-1, *size, 3)
            return Resized(self, positions, size, kept=kept, rows=places[self._rows[positions]])
        made = self._resized_to(size)
        rows = None if made is None else self._rows[positions]
        return Resized(self, positions, size, kept=made, rows=rows)

    def squares(self, indices: Sequence[int], image_size: int) -> Resized:
        """Return some images squashed to squares of S pixels; see :meth:`images`."""
        return self.images(indices, (image_size, image_size))

    def resized(self, indices: Sequence[int], image_size: int) -> NDArray[np.uint8]:
        """Return ``(n, S, S, 3)`` uint8: all of :meth:`squares` at once."""
        squares = self.squares(indices, image_size)
        return squares.batch(np.arange(len(squares)))

    def image(self, index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return one frame squashed to (height, width), made now from the cached frame or the file.

        Bilinear and antialiased, ``(h, w, 3)`` uint8.

        Raises:
            DataError: when the file must be read and has changed or gone.
        """
        stored = self._stored(index)
        if stored is None or not self._is_enough(stored, index, size):
            stored = self._decoded(index)
        return resize(stored, size)

    def _is_enough(self, stored: NDArray[np.uint8], index: int, size: tuple[int, int]) -> bool:
        height, width = stored.shape[:2]
        return (height, width) == self._size(index) or (height >= size[0] and width >= size[1])

    @cached_property
    def _truths(self) -> TruthStore:
        return TruthStore(self.dataset)

    @cached_property
    def _rows(self) -> NDArray[np.intp]:
        """The cache's entry of each sample."""
        wanted = np.array(
            [bytes.fromhex(sample.sha256) for sample in self.dataset.samples], dtype="S32"
        )
        rows = np.searchsorted(self._entries["sha256"], wanted)
        if (self._entries["sha256"][np.minimum(rows, len(self._entries) - 1)] != wanted).any():
            raise DataError(
                f"The cache in '{self._folder}' does not hold the images of '{self._root}'. "
                "Delete that folder; it will be made again."
            )
        return rows

    def _size(self, index: int) -> tuple[int, int]:
        sample: Sample = self.dataset.samples[index]
        return sample.height, sample.width

    def _stored(self, index: int) -> NDArray[np.uint8] | None:
        return None if self._folder is None else self._entry(self._rows[index])

    def _entry(self, row: np.intp | int) -> NDArray[np.uint8]:
        entry = self._entries[row]
        start, height, width = int(entry["offset"]), int(entry["height"]), int(entry["width"])
        return self._frames[start : start + height * width * 3].reshape(height, width, 3)

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        try:
            return decode_quietly(self.encoded(index))
        except ImageError as error:
            raise DataError(f"'{self.dataset.samples[index].path}' {error}.") from error

    def _resized_to(self, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Open, or make, the file of one size; ``None`` when there is no room or no cache."""
        if size not in self._resized:
            self._resized[size] = self._open_resized(size)
        return self._resized[size]

    def _open_resized(self, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        if self._folder is None:
            return None
        shape = (len(self._entries), *size, 3)
        name = f"images-{size[0]}x{size[1]}"
        file, size_bytes = self._folder / f"{name}.u8", math.prod(shape)
        try:
            if not _has_size(file, size_bytes):
                if not self._has_room(size_bytes):
                    return None
                with locked(self._folder / f".{name}.lock"):
                    if not _has_size(file, size_bytes):
                        self._write_resized(file, size)
            return _mapped(file, shape)
        except OSError:
            return None  # full or read-only disk: made at every use instead

    def _places_of_frames(self, size: tuple[int, int]) -> NDArray[np.intp] | None:
        """Return the place of each entry's frame in the cache if all have a size, unreduced."""
        if self._folder is None:
            return None
        entries = self._entries
        is_size = (entries["height"] == size[0]) & (entries["width"] == size[1])
        if not (is_size & ~entries["reduced"]).all():
            return None
        return np.asarray(entries["offset"] // (size[0] * size[1] * 3), np.intp)

    def _write_resized(self, file: Path, size: tuple[int, int]) -> None:
        first = np.full(len(self._entries), -1, np.intp)
        first[self._rows] = np.arange(len(self._rows))
        with replacing(file) as stream:
            for row, index in enumerate(first.tolist()):
                # A content left out of this data set (conflicting labels) may be used by another.
                unused = index < 0
                image = resize(self._entry(row), size) if unused else self.image(index, size)
                stream.write(np.ascontiguousarray(image).data)

    def _has_room(self, size_bytes: int) -> bool:
        limit = max(_RESIZED_LIMIT_BYTES, 4 * self._frames.size)
        free = shutil.disk_usage(self._folder or "/").free
        return size_bytes <= min(limit, free * _FREE_SHARE)


def _mapped(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.memmap(file, np.uint8, "r", 0, shape).view(np.ndarray)


def _has_size(file: Path, size_bytes: int) -> bool:
    return os.path.exists(file) and file.stat().st_size == size_bytes
