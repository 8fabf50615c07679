"""The run's images in a worker process: opened once, read by every trial that runs in it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import RunError
from automl.pipeline.folder import RunFolder
from automl.records import Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl.data.frames import FrameStore
    from automl.records import Dataset

__all__ = ["open_data", "some_frames", "spread"]


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


def some_frames(folder: str, split: Split, count: int) -> list[NDArray[np.uint8]]:
    """Return at most ``count`` frames ``(H, W, 3)`` of a split, evenly spread."""
    dataset, store = open_data(folder)
    return [store.frame(i) for i in spread(dataset.indices(split), count)]


def spread(indices: tuple[int, ...], count: int | None) -> tuple[int, ...]:
    """Return at most ``count`` of some positions, evenly spread, so that every class takes part."""
    if count is None or len(indices) <= count:
        return indices
    return tuple(indices[i * len(indices) // count] for i in range(count))
