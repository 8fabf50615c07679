"""The run's images in a worker process: opened once, read by every trial that runs in it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from automl.errors import RunError
from automl.pipeline.folder import RunFolder
from automl.records import Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl.data.frames import FrameStore
    from automl.records import Dataset

__all__ = ["Frames", "open_data", "some_frames", "spread"]


@functools.lru_cache(maxsize=1)
def open_data(folder: str) -> tuple[Dataset, FrameStore]:
    """Return the data of a run folder with its pixels.

    Raises:
        RunError: when ``data.json`` is missing or damaged.
    """
    from automl.data.frames import FrameStore

    data = RunFolder(Path(folder)).read_data()
    if data is None:
        raise RunError(f"'{folder}/data.json' is missing or damaged; start the run again.")
    return data.dataset, FrameStore(data.dataset)


class Frames(Sequence["NDArray[np.uint8]"]):
    """Frames ``(H, W, 3)`` of some samples, each read when it is asked for: a hundred large ones would
    fill the memory."""

    def __init__(self, store: FrameStore, indices: Sequence[int]) -> None:
        self._store = store
        self._indices = tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, place: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, place: slice) -> Frames: ...
    def __getitem__(self, place: int | slice) -> NDArray[np.uint8] | Frames:
        """Return one frame, or some of them unread."""
        if isinstance(place, slice):
            return Frames(self._store, self._indices[place])
        return self._store.frame(self._indices[place])


def some_frames(folder: str, split: Split, count: int) -> Frames:
    """Return at most ``count`` frames ``(H, W, 3)`` of a split, evenly spread."""
    dataset, store = open_data(folder)
    return Frames(store, spread(dataset.indices(split), count))


def spread(indices: tuple[int, ...], count: int | None) -> tuple[int, ...]:
    """Return at most ``count`` of some positions, evenly spread, so that every class takes part."""
    if count is None or len(indices) <= count:
        return indices
    return tuple(indices[i * len(indices) // count] for i in range(count))
