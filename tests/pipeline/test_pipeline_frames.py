"""Frames for calibration and parity are read one at a time, however many there are."""

from __future__ import annotations

import numpy as np
import pytest

from automl.export.schemes.calibration import _spread
from automl.pipeline.images import Frames


class Counting:
    """A store that makes a frame of each sample's number and counts how many were asked for."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def frame(self, index: int) -> np.ndarray:
        self.read.append(index)
        return np.full((2, 3, 3), index, np.uint8)


def test_frames_are_read_when_they_are_asked_for() -> None:
    store = Counting()
    frames = Frames(store, (4, 5, 6, 7))  # type: ignore[arg-type]  # a store in small
    some = frames[1:3]
    assert (len(frames), len(some), store.read) == (4, 2, [])
    assert [int(frame[0, 0, 0]) for frame in some] == [5, 6]
    assert store.read == [5, 6]
    assert frames[-1].shape == (2, 3, 3)
    with pytest.raises(IndexError):
        frames[4]


@pytest.mark.parametrize(
    ("count", "most", "taken"),
    [(4, 32, [0, 1, 2, 3]), (8, 4, [0, 2, 4, 6]), (9, 4, [0, 3, 6]), (1, 1, [0])],
)
def test_frames_of_histograms_are_spread_without_reading_any(
    count: int, most: int, taken: list[int]
) -> None:
    store = Counting()
    chosen = _spread(Frames(store, range(count)), most)  # type: ignore[arg-type]  # as above
    assert store.read == []
    assert [int(frame[0, 0, 0]) for frame in chosen] == taken
