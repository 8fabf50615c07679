"""Outlines, run lengths and orientations against independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from PIL import Image, ImageOps

from automl.data.filling import fill_outline
from automl.data.orientation import is_stored_size, turn_corners, turn_pixels, turn_points
from automl.data.run_lengths import bounds_of_runs, decode_compressed, fill_runs

ORIENTATIONS = range(1, 9)


def _filled(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left, inside = fill_outline(points.astype(float), size)
    pixels = np.zeros(size, bool)
    pixels[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return pixels


def _even_odd(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cast a ray to the left from the centre of each pixel, one pixel and edge at a time."""
    pixels = np.zeros(size, bool)
    ends = np.roll(points, -1, axis=0)
    for row in range(size[0]):
        for column in range(size[1]):
            x, y, crossings = column + 0.5, row + 0.5, 0
            for (x0, y0), (x1, y1) in zip(points, ends, strict=True):
                if (y0 <= y) != (y1 <= y):
                    crossings += x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x
            pixels[row, column] = crossings % 2 == 1
    return pixels


@pytest.mark.parametrize("seed", range(12))
def test_an_outline_fills_the_pixels_whose_centres_lie_inside(seed: int) -> None:
    dice = np.random.default_rng(seed)
    points = dice.uniform(-6, 24, (dice.integers(3, 9), 2))
    np.testing.assert_array_equal(_filled(points, (17, 19)), _even_odd(points, (17, 19)))


@pytest.mark.parametrize(
    ("points", "pixels"),
    [
        ([(2, 3), (5, 3), (5, 7), (2, 7)], 12),
        ([(0, 0), (19, 0), (19, 17), (0, 17)], 17 * 19),
        ([(-50, -50), (90, -50), (90, 90), (-50, 90)], 17 * 19),
        ([(2, 3), (5, 3), (9, 3)], 0),
        ([(-9, -9), (-2, -9), (-2, -3)], 0),
        ([(4.6, 0), (4.9, 0), (4.9, 17), (4.6, 17)], 0),
    ],
)
def test_a_rectangle_on_pixel_edges_fills_its_area(
    points: list[tuple[float, float]], pixels: int
) -> None:
    assert _filled(np.array(points), (17, 19)).sum() == pixels


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97, 1.0])
def test_compressed_runs_are_those_of_coco(share: float) -> None:
    pixels = np.asfortranarray(np.random.default_rng(3).random((37, 53)) < share, np.uint8)
    encoded = coco_mask.encode(pixels)
    counts = decode_compressed(encoded["counts"])
    runs = np.array([37, 53, *counts], np.uint32)
    np.testing.assert_array_equal(fill_runs(runs), pixels)
    left, top, width, height = coco_mask.toBbox(encoded)
    expected = (left, top, left + width, top + height) if pixels.any() else None
    assert bounds_of_runs(runs) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("61X13mN000`0 ", "the character ' ' belongs to no run length"),
        ("61P", "the run lengths end in the middle of a number"),
    ],
)
def test_damaged_runs_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_compressed(text)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pixels_points_and_boxes_turn_as_decoding_turns_images(orientation: int) -> None:
    stored = np.zeros((5, 7), np.uint8)
    stored[1, 2:5] = 200
    picture = Image.fromarray(stored)
    picture.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(turn_pixels(stored, orientation), upright)
    rows, columns = np.nonzero(upright)
    corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    turned = turn_corners(np.array([[2.0, 1.0, 5.0, 2.0]]), orientation, upright.shape)
    assert turned.tolist() == [corners]
    centre = turn_points(np.array([[3.5, 1.5]]), orientation, upright.shape)
    assert centre.tolist() == [[(corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2]]


def test_a_quarter_turn_shows_in_the_size_unless_the_image_is_square() -> None:
    assert is_stored_size((30, 20), (20, 30))
    assert not is_stored_size((20, 30), (20, 30))
    assert not is_stored_size((20, 20), (20, 20))
