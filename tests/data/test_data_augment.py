"""Augmentation: seeded, shape-preserving, and off when it is switched off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from automl.data.augment import build_augmentation
from automl.records import Augmentation

NONE = Augmentation("none", 0.0, 1.0, 0.0, 0.0, 0.0, False, False)
FULL = Augmentation("full", 15.0, 0.7, 0.1, 0.2, 0.2, True, True)


@pytest.fixture
def paper(paper_images: Path) -> torch.Tensor:
    with Image.open(next(iter(sorted((paper_images / "fail").iterdir())))) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def test_nothing_asked_changes_nothing(paper: torch.Tensor) -> None:
    assert build_augmentation(NONE, image_size=128)(paper) is paper


@pytest.mark.parametrize(
    "augmentation",
    [
        FULL,
        replace(NONE, rotate_deg=10.0),
        replace(NONE, crop=0.6),
        replace(NONE, stretch=0.2),
        replace(NONE, brightness=0.3),
        replace(NONE, contrast=0.3),
        replace(NONE, flip_horizontal=True),
        replace(NONE, flip_vertical=True),
    ],
    ids=lambda a: (
        ",".join(k for k, v in vars(a).items() if v != getattr(NONE, k))
        if isinstance(a, Augmentation)
        else ""
    ),
)
def test_each_part_varies_images_and_repeats_with_the_seed(
    paper: torch.Tensor, augmentation: Augmentation
) -> None:
    augment = build_augmentation(augmentation, image_size=128)
    torch.manual_seed(0)
    first = [augment(paper) for _ in range(8)]
    torch.manual_seed(0)
    second = [augment(paper) for _ in range(8)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(one.shape == paper.shape and one.dtype == torch.uint8 for one in first)
    assert any(not torch.equal(one, paper) for one in first)


def test_flips_are_flips(paper: torch.Tensor) -> None:
    torch.manual_seed(0)
    augment = build_augmentation(replace(NONE, flip_horizontal=True), image_size=128)
    seen = [augment(paper) for _ in range(16)]
    assert all(torch.equal(one, paper) or torch.equal(one, paper.flip(2)) for one in seen)


def test_a_rotation_brings_no_black_corners_and_keeps_the_brightness() -> None:
    bright = torch.randint(180, 220, (3, 96, 96), dtype=torch.uint8)
    augment = build_augmentation(replace(NONE, rotate_deg=45.0), image_size=96)
    torch.manual_seed(0)
    for _ in range(10):
        turned = augment(bright)
        assert turned.min() >= 180
        assert turned.float().mean() == pytest.approx(200, abs=2)


def test_a_rotation_by_almost_nothing_is_almost_the_image(paper: torch.Tensor) -> None:
    turned = build_augmentation(replace(NONE, rotate_deg=1e-6), image_size=128)(paper)
    assert (turned.int() - paper.int()).abs().max() <= 1
