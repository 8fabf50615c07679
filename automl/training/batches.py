"""The batches of one training: which images, cut where the task looks, varied, with their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from automl.data.augment import BatchAugmentation, Variation, crop
from automl.data.truth import Truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.records import Recipe
    from automl.tasks.base import Encoded, Task
    from automl.training.examples import Examples

__all__ = ["Batches"]

_FEWEST_BATCHES = 25
"""An epoch of crops has at least so many, however few the images: else there are too few steps."""


class Batches:
    """Makes batches as a recipe says.

    Args:
        task: encodes truths, and says where crops should look.
        recipe: batch size, crops, augmentation.
        train: the images.
        order: of the images, and of the places of crops.
        most_images: in an epoch, drawn anew in each; ``None``: all. Not asked where crops are cut.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        train: Examples,
        order: np.random.Generator,
        *,
        most_images: int | None = None,
    ) -> None:
        self._task = task
        self._train = train
        self._order = order
        self._batch_size = recipe.batch_size
        self.crop = _crop_side(
            recipe.crop or train.tile, train.size, is_tiled=train.tile is not None
        )
        """Side of the squares that are cut out; ``None``: images are trained on whole."""
        self._size = train.size if self.crop is None else (self.crop, self.crop)
        self.augment = BatchAugmentation(recipe.augmentation, size=self._size)
        self._images = len(train)
        self._seen = min(len(train), most_images or len(train))
        if self.crop is not None:
            cover = len(train) * round(train.size[0] * train.size[1] / self.crop**2)
            self._images = self._seen = max(cover, _FEWEST_BATCHES * recipe.batch_size)

    def __len__(self) -> int:
        """Return the batches of one epoch."""
        return max(1, self._seen // self._batch_size)

    @property
    def pixels(self) -> int:
        """Of all images in the batches of one epoch, as they are trained on."""
        return len(self) * self._batch_size * self._size[0] * self._size[1]

    def epoch(self) -> list[NDArray[np.int64]]:
        """Return the positions of the images in each batch of a new epoch."""
        order = self._order.permutation(self._images) % len(self._train)
        size = self._batch_size
        return [np.sort(order[n * size : (n + 1) * size]) for n in range(len(self))]

    def images(self, positions: NDArray[np.int64]) -> tuple[Tensor, Any]:
        """Return images ``(B, 3, H, W)`` in [0, 255], varied anew, and the targets of the loss."""
        images = torch.from_numpy(self._train.images(positions)).permute(0, 3, 1, 2)
        truths = [self._train.truth(int(position)) for position in positions]
        known = [self._task.encode(truth) for truth in truths]
        if self.crop is not None:
            places = zip(images, known, truths, strict=True)
            parts = [self._cropped(*place, self.crop) for place in places]
            images = torch.stack([image for image, _ in parts])
            known = [encoded for _, encoded in parts]
        drawn = self.augment.draw(len(images))
        known = self.augment.known(known, drawn)
        return self.augment.images(images, drawn), self._task.collate(known)

    def targets(self, positions: NDArray[np.int64], variation: Variation) -> Any:
        """Return the targets of images that are trained on whole and varied in a known way."""
        known = [self._task.encode(self._train.truth(int(position))) for position in positions]
        return self._task.collate(self.augment.known(known, variation))

    def _cropped(
        self, image: Tensor, encoded: Encoded, truth: Truth, side: int
    ) -> tuple[Tensor, Encoded]:
        """Cut a square out where the task wants to look, else anywhere."""
        focus = self._task.focus(truth, float(self._order.random()))
        places = []
        for axis, length in enumerate(self._train.size):
            room = max(0, length - side)
            if focus is None:
                places.append(int(self._order.integers(0, room + 1)))
            else:
                shift = int(self._order.integers(-side // 3, side // 3 + 1))
                places.append(min(room, max(0, focus[axis] - side // 2 + shift)))
        return crop(image, encoded, top=places[0], left=places[1], side=side)


def _crop_side(crop_side: int | None, size: tuple[int, int], *, is_tiled: bool) -> int | None:
    """Return the side of the crops, or ``None`` when images are trained on whole.

    Those that are cut into tiles in use never are: a network need not take images of every size.
    """
    if crop_side is None or size == (crop_side, crop_side):
        return None
    if min(size) < crop_side and not is_tiled:
        return None
    return crop_side
