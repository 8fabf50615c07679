"""Some images of a data set at one size, with what is known of them, read as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from automl.data.truth import Truth, fit_truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.data.frames import FrameStore

__all__ = ["FittedTruths", "Images", "Resized"]


class Images(Protocol):
    """N images of one size that need not be in memory together."""

    def __len__(self) -> int: ...

    def batch(self, positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return a new array ``(n, H, W, 3)`` uint8 of the images at some positions."""
        ...


class Resized:
    """Some images of a :class:`FrameStore` at one size, read a batch at a time.

    A set of any size can be trained on: memory is needed for one batch, not for the set.
    """

    def __init__(
        self,
        store: FrameStore,
        indices: NDArray[np.intp],
        size: tuple[int, int],
        *,
        kept: NDArray[np.uint8] | None,
        rows: NDArray[np.intp] | None,
    ) -> None:
        """Read the samples ``indices`` of a store; made by :meth:`FrameStore.images`.

        Args:
            store: where the frames are.
            indices: ``(n,)`` samples of the store.
            size: (height, width).
            kept: the images on disk, ``(entries, h, w, 3)``; ``None``: made at every use.
            rows: ``(n,)`` entry of ``kept`` for each sample.
        """
        self._store = store
        self._indices = indices
        self._size = size
        self._kept = kept
        self._rows = rows

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return a new array ``(n, h, w, 3)`` uint8 of the images at some positions of this set.

        Raises:
            DataError: when a file must be read and has changed or gone.
        """
        if self._kept is not None and self._rows is not None:
            return np.asarray(self._kept[self._rows[positions]])
        pixels = np.empty((len(positions), *self._size, 3), np.uint8)
        for place, index in enumerate(self._indices[positions].tolist()):
            pixels[place] = self._store.image(index, self._size)
        return pixels


class FittedTruths:
    """What is known of some images at one size, by position in this set."""

    def __init__(self, store: FrameStore, indices: NDArray[np.intp], size: tuple[int, int]) -> None:
        """Read the samples ``indices`` of a store; made by :meth:`FrameStore.truths`."""
        self._store = store
        self._indices = indices
        self._size = size

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> Truth:
        """Return one truth.

        Raises:
            IndexError: when there is no such position.
            DataError: when the compiled annotations have gone from the cache.
        """
        index = int(self._indices[position])
        sample = self._store.dataset.samples[index]
        return fit_truth(self._store.truth(index), (sample.height, sample.width), self._size)
