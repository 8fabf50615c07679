"""Vary training images as a recipe says: a batch at a time, each image in its own way.

What is drawn (:class:`Variation`) is kept apart from what is done, so that the same view of an image
can be made again, of its pixels or of its truth alone. Rotation, crop, stretch and flips are one
matrix an image and one resampling of the batch; brightness and contrast are one scale and one offset
each. Tensors of the size of a batch are passed through as few times as possible, in parts that fit a
processor's cache: on images one by one, most of the time went into calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from automl.data.truth import IGNORED
from automl.data.view_geometry import (
    draw_views,
    on_canvas,
    seen_boxes,
    seen_images,
    seen_mask,
)
from automl.records import Augmentation

__all__ = ["Augment", "BatchAugmentation", "Encoded", "Variation", "build_augmentation", "crop"]


Encoded = Mapping[str, Tensor]
"""What is known of an image, as tensors. Masks and boxes are ``tv_tensors``, which move with it."""
Augment = Callable[[Tensor, Encoded], tuple[Tensor, Encoded]]

_PART_PIXELS = 4 * 128 * 128
"""Pixels that are varied at once: less than 1 MB of float32, which stays in a core's cache."""
_GRAY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601), as torchvision has them."""


@dataclass(frozen=True)
class Variation:
    """How each of B images is varied; ``None``: not in this way."""

    view: Tensor | None
    """``(B, 2, 3)`` float32: from what is seen to the image, both in [-1, 1], flips included."""
    flips: Tensor | None
    """``(B, 2)`` bool: whether mirrored left to right, and upside down, where that is all."""
    brightness: Tensor | None
    """``(B,)`` float32: factors of the brightness."""
    contrast: Tensor | None
    """``(B,)`` float32: factors of the distance from the mean gray."""
    contrast_first: Tensor | None
    """``(B,)`` bool: which of the two comes first, where there are both."""

    def at(self, rows: Tensor) -> Variation:
        """Return that of some of the images, by their positions ``(n,)`` int64."""

        def some(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[rows]

        return Variation(
            some(self.view),
            some(self.flips),
            some(self.brightness),
            some(self.contrast),
            some(self.contrast_first),
        )


class BatchAugmentation:
    """Varies images ``(B, 3, H, W)`` uint8 and what is known of them, as one recipe says."""

    def __init__(self, augmentation: Augmentation, *, size: tuple[int, int]) -> None:
        """``size``: (height, width) of the images."""
        self._recipe = augmentation
        self._size = size
        self._is_resampled = bool(
            augmentation.rotate_deg or augmentation.stretch or augmentation.crop < 1
        )
        self._is_flipped = augmentation.flip_horizontal or augmentation.flip_vertical

    @property
    def varies(self) -> bool:
        """Whether anything is done at all."""
        recipe = self._recipe
        return bool(self._is_resampled or self._is_flipped or recipe.brightness or recipe.contrast)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Variation:
        """Return how ``count`` images are varied, by torch's global generator unless one is given."""
        recipe = self._recipe

        def even(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator)

        flips = view = brightness = contrast = first = None
        if self._is_flipped:
            asked = torch.tensor([recipe.flip_horizontal, recipe.flip_vertical])
            flips = (even(2) < 0.5) & asked
        if self._is_resampled:
            view = draw_views(even(5), recipe)
            if flips is not None:
                view[:, :, :2] *= torch.where(flips, -1.0, 1.0)[:, None]
                flips = None
        if recipe.brightness:
            brightness = _factors(even(), recipe.brightness)
        if recipe.contrast:
            contrast = _factors(even(), recipe.contrast)
        if brightness is not None and contrast is not None:
            first = even() < 0.5
        return Variation(view, flips, brightness, contrast, first)

    def images(self, images: Tensor, variation: Variation) -> Tensor:
        """Return varied images ``(B, 3, H, W)`` float32 in [0, 255], in the memory layout of images
        with their colours together; images that nothing is done to are returned as they are."""
        if not self.varies:
            return images
        height, width = self._size
        rows = max(torch.get_num_threads(), _PART_PIXELS // (height * width))
        varied = torch.empty(images.shape, dtype=torch.float32, memory_format=torch.channels_last)
        for start in range(0, len(images), rows):
            some = torch.arange(start, min(start + rows, len(images)))
            varied[start : start + rows] = _varied(images[some], variation.at(some))
        return varied

    def known(self, encoded: Sequence[Encoded], variation: Variation) -> list[Encoded]:
        """Return what is known of the images, moved with them: boxes and masks exactly."""
        if variation.view is None and variation.flips is None:
            return list(encoded)
        return [
            {name: self._moved(value, variation, row) for name, value in one.items()}
            for row, one in enumerate(encoded)
        ]

    def _moved(self, known: Tensor, variation: Variation, row: int) -> Tensor:
        if not isinstance(known, tv_tensors.BoundingBoxes | tv_tensors.Mask):
            return known
        placed = on_canvas(known, self._size)
        if variation.view is not None:
            view = variation.view[row]
            if isinstance(placed, tv_tensors.BoundingBoxes):
                boxes: Tensor = tv_tensors.wrap(seen_boxes(placed, view), like=placed)
                return boxes
            return seen_mask(placed, view)
        if variation.flips is not None and variation.flips[row, 0]:
            placed = v2.functional.horizontal_flip(placed)
        if variation.flips is not None and variation.flips[row, 1]:
            placed = v2.functional.vertical_flip(placed)
        return placed


def build_augmentation(augmentation: Augmentation, *, size: tuple[int, int]) -> Augment:
    """Return a function that varies an image ``(3, H, W)`` uint8 and what is known of it together.

    Its randomness comes from torch's global generator, so ``torch.manual_seed`` repeats it.

    Args:
        augmentation: how much.
        size: (height, width) of the images.
    """
    batches = BatchAugmentation(augmentation, size=size)

    def varied(image: Tensor, encoded: Encoded) -> tuple[Tensor, Encoded]:
        if not batches.varies:
            return image, encoded
        drawn = batches.draw(1)
        (seen,) = batches.images(image[None], drawn)
        (known,) = batches.known([encoded], drawn)
        return seen.round().to(torch.uint8), known

    return varied


def _factors(even: Tensor, strength: float) -> Tensor:
    """Return factors between ``1 - strength`` (not below 0) and ``1 + strength``."""
    low = max(0.0, 1.0 - strength)
    return low + (1.0 + strength - low) * even


def _varied(images: Tensor, variation: Variation) -> Tensor:
    """Return ``(b, 3, H, W)`` float32 in [0, 255] of uint8 images of that shape."""
    seen = images.float()
    if variation.view is not None:
        seen = seen_images(seen, variation.view)
    if variation.flips is not None:
        across, along = (flags.view(-1, 1, 1, 1) for flags in variation.flips.unbind(1))
        seen = torch.where(across, seen.flip(3), seen)
        seen = torch.where(along, seen.flip(2), seen)
    if variation.contrast is None and variation.brightness is None:
        return seen
    return _relit(seen, variation)


def _relit(images: Tensor, variation: Variation) -> Tensor:
    """Change brightness and contrast in place, in the order of each image.

    Both are a scale and an offset: of contrast such that the mean gray stays where it is.
    """
    ones = images.new_ones(len(images))
    brightness = ones if variation.brightness is None else variation.brightness
    if variation.contrast is None:
        return _scaled(images, brightness, torch.zeros_like(brightness))
    contrast = variation.contrast
    if variation.contrast_first is None:
        return _scaled(images, contrast, (1.0 - contrast) * _mean_gray(images))
    first = variation.contrast_first
    offset = torch.where(first, (1.0 - contrast) * _mean_gray(images), 0.0)
    images = _scaled(images, torch.where(first, contrast, brightness), offset)
    offset = torch.where(first, 0.0, (1.0 - contrast) * _mean_gray(images))
    return _scaled(images, torch.where(first, brightness, contrast), offset)


def _scaled(images: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    across = (-1, 1, 1, 1)
    return images.mul_(scale.view(across)).add_(offset.view(across)).clamp_(0.0, 255.0)


def _mean_gray(images: Tensor) -> Tensor:
    """Return ``(B,)``: the mean over each image of its gray."""
    return images.mean((2, 3)) @ images.new_tensor(_GRAY)


def crop(
    image: Tensor, encoded: Encoded, *, top: int, left: int, side: int
) -> tuple[Tensor, Encoded]:
    """Return the square of an image ``(3, H, W)`` that begins at a pixel, and what is known of it.

    Beyond the right and lower border the image is continued by its last pixels, of which nothing is
    known.
    """
    height, width = image.shape[-2:]
    beyond = [0, 0, max(0, left + side - width), max(0, top + side - height)]
    if any(beyond):
        image = v2.functional.pad(image, beyond, padding_mode="edge")
        encoded = {
            name: v2.functional.pad(value, beyond, fill=IGNORED)
            if isinstance(value, tv_tensors.Mask)
            else value
            for name, value in encoded.items()
        }
    moved = {name: _cut(value, top=top, left=left, side=side) for name, value in encoded.items()}
    return image[:, top : top + side, left : left + side], moved


def _cut(known: Tensor, *, top: int, left: int, side: int) -> Tensor:
    """Return a mask cut, boxes moved (they may reach beyond: how much is seen of them counts), the
    rest as it is."""
    if isinstance(known, tv_tensors.BoundingBoxes):
        shift = torch.tensor([left, top, left, top], dtype=known.dtype)
        corners = known.as_subclass(Tensor) - shift
        moved: Tensor = tv_tensors.BoundingBoxes(
            corners, format=known.format, canvas_size=(side, side)
        )
        return moved
    if isinstance(known, tv_tensors.Mask):
        cut: Tensor = v2.functional.crop(known, top, left, side, side)
        return cut
    return known
