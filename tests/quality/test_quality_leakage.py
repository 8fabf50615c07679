"""Copies planted across splits, and groups divided by the data's own split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.quality import find_leakage


@pytest.fixture
def own_split(tmp_path: Path) -> Path:
    """A CSV with its own split: an exact and a resaved copy of training images in test."""
    generator = np.random.default_rng(0)
    rows = ["path,label,split"]
    images = []
    for number in range(24):
        cells = generator.integers(0, 256, (8, 8, 3), np.uint8)
        images.append(Image.fromarray(cells).resize((64, 64), Image.Resampling.BICUBIC))
        split = ("train", "train", "val", "test")[number % 4]
        label = ("a", "b")[number // 4 % 2]
        images[-1].save(tmp_path / f"s{number // 4}_{number:02d}.png")
        rows.append(f"s{number // 4}_{number:02d}.png,{label},{split}")
    images[0].save(tmp_path / "x_exact.png")
    images[4].save(tmp_path / "x_resaved.jpg", quality=92)
    rows += ["x_exact.png,a,test", "x_resaved.jpg,b,test"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_planted_copies_across_splits_are_found(own_split: Path, opened: Callable) -> None:
    data, _ = opened(own_split)
    found = find_leakage(data)
    assert set(found.pairs) == {("s0_00.png", "x_exact.png"), ("s1_04.png", "x_resaved.jpg")}
    assert found.paths == ("x_exact.png", "x_resaved.jpg")
    assert (found.affected, found.test_images, found.groups) == (2, 8, ())


def test_groups_in_two_splits_are_found(own_split: Path, opened: Callable) -> None:
    data, _ = opened(own_split, group=r"([a-z0-9]+)_[^/]*$")
    found = find_leakage(data)
    assert found.groups == ("s0", "s1", "s2", "s3", "s4", "s5")
    assert found.affected == 8


def test_a_split_that_is_drawn_leaks_nothing(by_brightness: Path, opened: Callable) -> None:
    data, _ = opened(by_brightness)
    found = find_leakage(data)
    assert (found.pairs, found.groups, found.paths) == ((), (), ())
