"""Tiles cover every pixel, and joining them undoes cutting."""

from __future__ import annotations

import pytest
import torch

from automl.models.tiles import Tiling

SIZES = [
    # side, height, width, tops, lefts
    (32, 64, 96, (0, 32), (0, 32, 64)),
    (32, 32, 32, (0,), (0,)),
    (32, 33, 70, (0, 1), (0, 19, 38)),
    (32, 20, 40, (0,), (0, 8)),
    (32, 10, 12, (0,), (0,)),
    (256, 1024, 1000, (0, 256, 512, 768), (0, 248, 496, 744)),
]


@pytest.mark.parametrize(("side", "height", "width", "tops", "lefts"), SIZES)
def test_tiles_are_evenly_spaced(
    side: int, height: int, width: int, tops: tuple[int, ...], lefts: tuple[int, ...]
) -> None:
    tiling = Tiling(side, height, width)
    assert (tiling.tops, tiling.lefts) == (tops, lefts)
    assert tiling.count == len(tops) * len(lefts)


@pytest.mark.parametrize(("side", "height", "width", "tops", "lefts"), SIZES)
def test_joining_undoes_cutting(
    side: int, height: int, width: int, tops: tuple[int, ...], lefts: tuple[int, ...]
) -> None:
    tiling = Tiling(side, height, width)
    frame = torch.rand(1, 3, height, width)
    tiles = tiling.cut(frame)
    assert tiles.shape == (len(tops) * len(lefts), 3, side, side)
    torch.testing.assert_close(tiling.join(tiles), frame)


def test_overlaps_are_averaged() -> None:
    tiling = Tiling(4, 6, 4)
    joined = tiling.join(torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)]))
    assert joined[0, 0, :, 0].tolist() == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


def test_coarse_maps_are_enlarged_to_their_tiles() -> None:
    tiling = Tiling(8, 8, 14)
    maps = torch.stack([torch.zeros(2, 2, 2), torch.ones(2, 2, 2)])
    joined = tiling.join(maps)
    assert joined.shape == (1, 2, 8, 14)
    assert joined[0, 0, 0].tolist() == [0.0] * 6 + [0.5] * 2 + [1.0] * 6


def test_small_frames_are_continued_by_their_edge() -> None:
    tile = Tiling(4, 2, 3).cut(torch.arange(6.0).reshape(1, 1, 2, 3))
    assert tile[0, 0].tolist() == [
        [0.0, 1.0, 2.0, 2.0],
        [3.0, 4.0, 5.0, 5.0],
        [3.0, 4.0, 5.0, 5.0],
        [3.0, 4.0, 5.0, 5.0],
    ]
