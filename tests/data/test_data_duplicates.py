"""Near duplicates: copies saved again are found, things of the same kind are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data.duplicates import exact_clusters, near_pairs
from automl.data.examine import examine

Draw = Callable[..., Image.Image]


def _saved_again(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: _saved_again(image, 70),
        lambda image: image.resize((77, 90)),
        lambda image: image.point(lambda value: min(255, round(value * 1.05))),
        lambda image: image.convert("L").convert("RGB"),
    ],
    ids=["jpeg", "resized", "brighter", "gray"],
)
def test_a_copy_is_found_whatever_was_done_to_it(
    tmp_path: Path, draw: Draw, change: Callable[[Image.Image], Image.Image]
) -> None:
    for i in range(20):
        draw(i, 96, 96).save(tmp_path / f"{i:02d}.png")
        change(draw(i, 96, 96)).save(tmp_path / f"{20 + i:02d}.png")
    thumbnails = _thumbnails(tmp_path)
    assert near_pairs(thumbnails, np.arange(40)) == [(i, i + 20) for i in range(20)]


def test_a_small_defect_makes_another_image(tmp_path: Path, draw: Draw) -> None:
    draw(0, 128, 128).save(tmp_path / "0.png")
    scratched = draw(0, 128, 128)
    scratched.paste((0, 0, 0), (60, 60, 72, 72))
    scratched.save(tmp_path / "1.png")
    assert near_pairs(_thumbnails(tmp_path), np.arange(2)) == []


def test_plain_surfaces_are_no_copies_of_each_other() -> None:
    noise = np.random.default_rng(0).normal(128, 1, (300, 32, 32))
    assert near_pairs(noise.round().astype(np.uint8), np.arange(300)) == []


def test_thousands_of_look_alikes_are_bounded() -> None:
    base = np.random.default_rng(0).integers(0, 256, (1, 32, 32))
    many = np.repeat(base, 3000, axis=0).astype(np.uint8)
    assert 3000 <= len(near_pairs(many, np.arange(3000))) <= 3000 * 16


def test_only_the_rows_asked_for_are_compared() -> None:
    one = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8)
    thumbnails = np.concatenate([one, one])
    assert near_pairs(thumbnails, np.array([1, 2, 3])) == [(0, 2)]
    assert near_pairs(thumbnails, np.array([2])) == []


def test_equal_contents_form_clusters() -> None:
    assert exact_clusters(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]


def _thumbnails(folder: Path) -> np.ndarray:
    names = sorted(file.name for file in folder.iterdir())
    found = [examine(folder, name, stored_side=None).thumbnail for name in names]
    return np.stack([one for one in found if one is not None])
