"""Augmentation: seeded, shape-preserving, and off when it is switched off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from automl.data.augment import build_augmentation, crop
from automl.records import Augmentation

NONE = Augmentation("none", 0.0, 1.0, 0.0, 0.0, 0.0, False, False)
FULL = Augmentation("full", 15.0, 0.7, 0.1, 0.2, 0.2, True, True)


def _images(augmentation: Augmentation, side: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The augmentation of images of which nothing but a label is known."""
    augment = build_augmentation(augmentation, size=(side, side))
    return lambda image: augment(image, {"label": torch.tensor(0)})[0]


@pytest.fixture
def paper(paper_images: Path) -> torch.Tensor:
    with Image.open(next(iter(sorted((paper_images / "fail").iterdir())))) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def test_nothing_asked_changes_nothing(paper: torch.Tensor) -> None:
    known = {"label": torch.tensor(1)}
    seen, same = build_augmentation(NONE, size=(128, 128))(paper, known)
    assert seen is paper
    assert same is known


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
    augment = _images(augmentation, 128)
    torch.manual_seed(0)
    first = [augment(paper) for _ in range(8)]
    torch.manual_seed(0)
    second = [augment(paper) for _ in range(8)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(one.shape == paper.shape and one.dtype == torch.uint8 for one in first)
    assert any(not torch.equal(one, paper) for one in first)


def test_flips_are_flips(paper: torch.Tensor) -> None:
    torch.manual_seed(0)
    augment = _images(replace(NONE, flip_horizontal=True), 128)
    seen = [augment(paper) for _ in range(16)]
    assert all(torch.equal(one, paper) or torch.equal(one, paper.flip(2)) for one in seen)


def test_a_rotation_brings_no_black_corners_and_keeps_the_brightness() -> None:
    bright = torch.randint(180, 220, (3, 96, 96), dtype=torch.uint8)
    augment = _images(replace(NONE, rotate_deg=45.0), 96)
    torch.manual_seed(0)
    for _ in range(10):
        turned = augment(bright)
        assert turned.min() >= 180
        assert turned.float().mean() == pytest.approx(200, abs=2)


def test_a_rotation_by_almost_nothing_is_almost_the_image(paper: torch.Tensor) -> None:
    turned = _images(replace(NONE, rotate_deg=1e-6), 128)(paper)
    assert (turned.int() - paper.int()).abs().max() <= 1


MOVES = [
    replace(NONE, rotate_deg=20.0, crop=0.7, stretch=0.1),
    replace(NONE, crop=0.6),
    replace(NONE, flip_horizontal=True, flip_vertical=True),
    FULL,
]


@pytest.mark.parametrize("augmentation", MOVES, ids=["view", "crop", "flips", "all"])
def test_masks_and_boxes_move_with_their_image(augmentation: Augmentation) -> None:
    """A bright rectangle is found where its mask and its box say."""
    size = (80, 120)
    image = torch.zeros((3, *size), dtype=torch.uint8)
    image[:, 30:50, 40:80] = 255
    mask = tv_tensors.Mask((image[0] > 0).to(torch.uint8))
    corners = torch.tensor([[40.0, 30.0, 80.0, 50.0]])
    boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=size)
    moves = augmentation.brightness == 0
    augment = build_augmentation(augmentation, size=size)
    torch.manual_seed(1)
    for _ in range(10):
        seen, known = augment(image, {"mask": mask, "boxes": boxes, "label": torch.tensor(3)})
        bright = seen[0] > (128 if moves else 90)
        differing = (bright != (known["mask"] > 0)).float().mean()
        assert differing < 0.02
        rows, columns = torch.nonzero(known["mask"] > 0, as_tuple=True)
        left, top, right, bottom = known["boxes"][0].tolist()
        assert left - 1.5 <= columns.min()
        assert columns.max() + 1 <= right + 1.5
        assert top - 1.5 <= rows.min()
        assert rows.max() + 1 <= bottom + 1.5
        assert int(known["label"]) == 3


def test_a_crop_takes_its_part_of_all_that_is_known() -> None:
    image = torch.arange(80 * 120, dtype=torch.int32).reshape(1, 80, 120).expand(3, -1, -1)
    boxes = tv_tensors.BoundingBoxes([[40.0, 30, 80, 50]], format="XYXY", canvas_size=(80, 120))
    mask = tv_tensors.Mask(image[0] % 7)
    known = {"boxes": boxes, "mask": mask, "label": torch.tensor(2)}
    seen, moved = crop(image, known, top=20, left=30, side=40)
    assert torch.equal(seen, image[:, 20:60, 30:70])
    assert torch.equal(moved["mask"], mask[20:60, 30:70])
    assert moved["boxes"].tolist() == [[10, 10, 50, 30]]
    assert int(moved["label"]) == 2
