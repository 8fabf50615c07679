"""Calibration holds few large frames at once, and more small ones."""

from __future__ import annotations

import pytest

from automl.export.schemes.calibration import _frames_at_once


@pytest.mark.parametrize(
    ("size", "count"),
    [((32, 32), 8), ((256, 256), 8), ((480, 640), 1), ((512, 512), 2), ((4000, 6000), 1)],
)
def test_frames_held_at_once_are_bounded_by_their_pixels(size: tuple[int, int], count: int) -> None:
    assert _frames_at_once(size) == count
