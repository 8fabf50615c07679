"""Varying a batch at once: the same variety as image by image, and everything stays in its place."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from automl.data.augment import BatchAugmentation, Variation
from automl.data.view_geometry import seen_images
from automl.records import Augmentation

NONE = Augmentation("none", 0.0, 1.0, 0.0, 0.0, 0.0, False, False)
FULL = Augmentation("full", 15.0, 0.7, 0.1, 0.2, 0.2, True, True)
MANY = 20_000
SIZE = (48, 64)


def drawn(augmentation: Augmentation, count: int = MANY) -> Variation:
    return BatchAugmentation(augmentation, size=SIZE).draw(count, torch.Generator().manual_seed(0))


def quantiles(values: Tensor) -> list[float]:
    return [round(float(values.quantile(q)), 4) for q in (0.0, 0.25, 0.5, 0.75, 1.0)]


def parts_of_views(views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return angle in degrees, share of the area and aspect of views that are not mirrored."""
    width, height = views[:, :, 0].norm(dim=1), views[:, :, 1].norm(dim=1)
    angle = torch.atan2(views[:, 1, 0], views[:, 0, 0])
    return angle * 180 / math.pi, width * height, width / height


@pytest.mark.parametrize(
    ("augmentation", "part", "low", "high"),
    [
        (replace(NONE, rotate_deg=15.0), 0, -15.0, 15.0),
        (replace(NONE, crop=0.6), 1, 0.6, 1.0),
        (replace(NONE, crop=0.6, rotate_deg=20.0), 1, 0.6, 1.0),
    ],
    ids=["angle", "area", "area of turned ones"],
)
def test_views_are_drawn_evenly_over_the_range_that_the_recipe_gives(
    augmentation: Augmentation, part: int, low: float, high: float
) -> None:
    views = drawn(augmentation).view
    assert views is not None
    expected = [low + (high - low) * q for q in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert quantiles(parts_of_views(views)[part]) == pytest.approx(
        expected, abs=0.02 * (high - low)
    )


def test_stretching_is_even_on_a_logarithmic_scale() -> None:
    views = drawn(replace(NONE, stretch=0.2, crop=0.5)).view
    assert views is not None
    _, area, aspect = parts_of_views(views)
    free = aspect[area < 0.7].log()  # where no side is cut off at that of the image
    most = -math.log(0.8)
    expected = [most * q for q in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    assert quantiles(free) == pytest.approx(expected, abs=0.04 * most)


def test_light_is_drawn_as_torchvision_draws_it() -> None:
    variation = drawn(replace(NONE, brightness=0.3, contrast=0.2))
    jitter = v2.ColorJitter(0.3, 0.2)
    torch.manual_seed(0)
    theirs = [jitter.make_params([]) for _ in range(4_000)]
    for name, own in (("brightness", variation.brightness), ("contrast", variation.contrast)):
        factors = torch.tensor([float(one[f"{name}_factor"]) for one in theirs])
        assert own is not None
        assert quantiles(own) == pytest.approx(quantiles(factors), abs=0.02)
    orders = [list(one["fn_idx"]) for one in theirs]
    contrast_first = sum(order.index(1) < order.index(0) for order in orders) / len(orders)
    assert variation.contrast_first is not None
    assert float(variation.contrast_first.float().mean()) == pytest.approx(contrast_first, abs=0.03)


@pytest.mark.parametrize("contrast_first", [False, True])
def test_light_changes_pixels_as_torchvision_changes_them(contrast_first: bool) -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (6, 3, *SIZE), dtype=torch.uint8)
    brightness, contrast = torch.linspace(0.7, 1.4, 6), torch.linspace(1.3, 0.6, 6)
    variation = Variation(
        None, None, brightness, contrast, torch.full((6,), contrast_first, dtype=torch.bool)
    )
    own = BatchAugmentation(replace(FULL, rotate_deg=0, crop=1, stretch=0), size=SIZE)
    seen = own.images(images, variation)
    for image, bright, sharp, got in zip(images, brightness, contrast, seen, strict=True):
        steps = [
            lambda x, b=float(bright): v2.functional.adjust_brightness(x, b),
            lambda x, c=float(sharp): v2.functional.adjust_contrast(x, c),
        ]
        expected = image.float() / 255
        for step in reversed(steps) if contrast_first else steps:
            expected = step(expected)
        assert (got - 255 * expected).abs().max() < 0.1


def test_a_turn_is_that_of_torchvision() -> None:
    torch.manual_seed(0)
    smooth = v2.functional.gaussian_blur(torch.rand(1, 3, 64, 64) * 255, [15, 15])
    angle = math.radians(12.0)
    cosine, sine = math.cos(angle), math.sin(angle)
    seen = seen_images(smooth, torch.tensor([[[cosine, -sine, 0.0], [sine, cosine, 0.0]]]))
    expected = v2.functional.rotate(smooth, 12.0, v2.InterpolationMode.BILINEAR)
    inner = slice(16, 48)
    assert (seen - expected)[..., inner, inner].abs().max() < 0.5


@pytest.mark.parametrize("augmentation", [FULL, replace(NONE, flip_horizontal=True)])
def test_a_part_of_a_batch_is_varied_as_in_the_whole(augmentation: Augmentation) -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 160, 160), dtype=torch.uint8)
    batches = BatchAugmentation(augmentation, size=(160, 160))
    variation = batches.draw(20)
    whole = batches.images(images, variation)
    rows = torch.tensor([17, 3, 11])
    assert torch.equal(batches.images(images[rows], variation.at(rows)), whole[rows])


@pytest.mark.parametrize(
    "augmentation",
    [
        replace(FULL, brightness=0.0, contrast=0.0),
        replace(NONE, flip_horizontal=True, flip_vertical=True),
        replace(NONE, rotate_deg=30.0, crop=0.5),
    ],
    ids=["all", "flips", "views"],
)
def test_masks_and_boxes_of_every_image_of_a_batch_move_with_it(augmentation: Augmentation) -> None:
    """Rectangles at other places in each image are found where their masks and boxes say."""
    count = 24
    images = torch.zeros((count, 3, *SIZE), dtype=torch.uint8)
    encoded = []
    for row in range(count):
        top, left = 14 + row % 6, 18 + row % 10
        images[row, :, top : top + 12, left : left + 16] = 255
        corners = torch.tensor([[left, top, left + 16, top + 12]], dtype=torch.float32)
        boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(1, 1))
        mask = tv_tensors.Mask((images[row, 0] > 0).to(torch.uint8))
        encoded.append({"mask": mask, "boxes": boxes, "label": torch.tensor(row)})
    batches = BatchAugmentation(augmentation, size=SIZE)
    torch.manual_seed(2)
    variation = batches.draw(count)
    seen = batches.images(images, variation)
    for row, (image, known) in enumerate(zip(seen, batches.known(encoded, variation), strict=True)):
        assert isinstance(known["mask"], tv_tensors.Mask)
        assert ((image[0] > 128) != (known["mask"] > 0)).float().mean() < 0.02
        rows, columns = torch.nonzero(known["mask"] > 0, as_tuple=True)
        left, top, right, bottom = known["boxes"][0].tolist()
        assert left - 1.5 <= columns.min()
        assert columns.max() + 1 <= right + 1.5
        assert top - 1.5 <= rows.min()
        assert rows.max() + 1 <= bottom + 1.5
        assert int(known["label"]) == row
    assert len({tuple(image[0].flatten().tolist()) for image in seen}) > count // 2
