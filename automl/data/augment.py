"""Vary training images as a recipe says, with torchvision's v2 transforms on uint8 squares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.functional import affine_grid, grid_sample
from torchvision import tv_tensors
from torchvision.transforms import v2

from automl.data.truth import IGNORED
from automl.records import Augmentation

__all__ = ["Augment", "Encoded", "RandomView", "build_augmentation", "crop"]


Encoded = Mapping[str, torch.Tensor]
"""What is known of an image, as tensors. Masks and boxes are ``tv_tensors``, which move with it."""
Augment = Callable[[torch.Tensor, Encoded], tuple[torch.Tensor, Encoded]]


def build_augmentation(augmentation: Augmentation, *, size: tuple[int, int]) -> Augment:
    """Return a function that varies an image ``(3, H, W)`` uint8 and what is known of it together.

    Its randomness comes from torch's global generator, so ``torch.manual_seed`` repeats it. About
    0.4 ms an image at 128 pixels on one core with every part on; parts that are off cost nothing.

    Args:
        augmentation: how much.
        size: (height, width) of the images.
    """
    steps: list[Any] = []
    stretch = (1.0 - augmentation.stretch, 1.0 / (1.0 - augmentation.stretch))
    if augmentation.rotate_deg or augmentation.stretch:
        steps.append(RandomView(augmentation.rotate_deg, augmentation.crop, stretch))
    elif augmentation.crop < 1:
        scale = (augmentation.crop, 1.0)
        steps.append(v2.RandomResizedCrop(size, scale=scale, ratio=(1.0, 1.0), antialias=True))
    if augmentation.flip_horizontal:
        steps.append(v2.RandomHorizontalFlip())
    if augmentation.flip_vertical:
        steps.append(v2.RandomVerticalFlip())
    if augmentation.brightness or augmentation.contrast:
        steps.append(v2.ColorJitter(augmentation.brightness, augmentation.contrast))
    if not steps:
        return _unchanged
    composed = v2.Compose(steps)

    def varied(image: torch.Tensor, encoded: Encoded) -> tuple[torch.Tensor, Encoded]:
        placed = {name: _on_canvas(value, size) for name, value in encoded.items()}
        seen, known = composed(tv_tensors.Image(image), placed)
        return seen.as_subclass(torch.Tensor), known

    return varied


def crop(
    image: torch.Tensor, encoded: Encoded, *, top: int, left: int, side: int
) -> tuple[torch.Tensor, Encoded]:
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


def _cut(known: torch.Tensor, *, top: int, left: int, side: int) -> torch.Tensor:
    """Return a mask cut, boxes moved (they may reach beyond: how much is seen of them counts), the
    rest as it is."""
    if isinstance(known, tv_tensors.BoundingBoxes):
        shift = torch.tensor([left, top, left, top], dtype=known.dtype)
        corners = known.as_subclass(torch.Tensor) - shift
        moved: torch.Tensor = tv_tensors.BoundingBoxes(
            corners, format=known.format, canvas_size=(side, side)
        )
        return moved
    if isinstance(known, tv_tensors.Mask):
        cut: torch.Tensor = v2.functional.crop(known, top, left, side, side)
        return cut
    return known


class RandomView(v2.Transform):  # type: ignore[misc]  # torchvision has no type information
    """Rotate, crop and stretch in one resampling, the surroundings mirrored where the view leaves
    them.

    One bilinear pass blurs less than three and costs a third; mirrored borders show the network no
    black corners, which it would never see in use.
    """

    def __init__(self, degrees: float, crop: float, stretch: tuple[float, float]) -> None:
        """Views of ``crop`` to 1 of the area, turned by up to ``degrees``, of aspect
        ``stretch``."""
        super().__init__()
        self._radians = math.radians(degrees)
        self._crop = crop
        self._log_stretch = (math.log(stretch[0]), math.log(stretch[1]))

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw one view: the 2 x 3 matrix from output to input coordinates in [-1, 1]."""
        turn, area, aspect, right, down = torch.rand(5).tolist()
        angle = (2.0 * turn - 1.0) * self._radians
        side = math.sqrt(self._crop + (1.0 - self._crop) * area)
        low, high = self._log_stretch
        ratio = math.exp(0.5 * (low + (high - low) * aspect))
        width, height = min(1.0, side * ratio), min(1.0, side / ratio)
        shift_x, shift_y = (1.0 - width) * (2.0 * right - 1.0), (1.0 - height) * (2.0 * down - 1.0)
        cosine, sine = math.cos(angle), math.sin(angle)
        return {
            "view": torch.tensor(
                [
                    [
                        [width * cosine, -height * sine, shift_x],
                        [width * sine, height * cosine, shift_y],
                    ]
                ]
            )
        }

    def transform(self, inpt: torch.Tensor, params: dict[str, Any]) -> torch.Tensor:
        """Take the view of an image ``(3, H, W)``, a mask ``(..., H, W)`` or boxes ``(n, 4)``."""
        view = params["view"]
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            boxes: torch.Tensor = tv_tensors.wrap(_seen_boxes(inpt, view[0]), like=inpt)
            return boxes
        height, width = inpt.shape[-2:]
        planes = inpt.as_subclass(torch.Tensor).reshape(1, -1, height, width)
        is_mask = isinstance(inpt, tv_tensors.Mask)
        seen = grid_sample(
            planes.float(),
            affine_grid(view, [1, planes.shape[1], height, width], align_corners=False),
            mode="nearest" if is_mask else "bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
        pixels = seen.round_().clamp_(0, 255).to(inpt.dtype).reshape(inpt.shape)
        seen_like: torch.Tensor = tv_tensors.wrap(pixels, like=inpt)
        return seen_like


def _seen_boxes(boxes: tv_tensors.BoundingBoxes, view: torch.Tensor) -> torch.Tensor:
    """Return the bounds ``(n, 4)`` of turned boxes in a view, which they may leave.

    The view leads from what is seen to the image, both in [-1, 1]; here its inverse is taken.
    """
    height, width = boxes.canvas_size
    half = torch.tensor([width / 2.0, height / 2.0])
    corners = boxes.as_subclass(torch.Tensor).float()[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    centred = corners / half - 1.0
    seen = torch.linalg.solve(view[:, :2], (centred - view[:, 2]).reshape(-1, 2).T).T
    pixels = (seen.reshape(-1, 4, 2) + 1.0) * half
    return torch.cat([pixels.amin(1), pixels.amax(1)], dim=1).to(boxes.dtype)


def _on_canvas(value: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return boxes that know the size of their image, which no truth does; other things as they are."""
    if not isinstance(value, tv_tensors.BoundingBoxes):
        return value
    boxes: torch.Tensor = tv_tensors.BoundingBoxes(value, format=value.format, canvas_size=size)
    return boxes


def _unchanged(image: torch.Tensor, encoded: Encoded) -> tuple[torch.Tensor, Encoded]:
    return image, encoded
