"""What a network learns from: images of one size with their truths, read a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.data.truth import Truth
    from automl.data.views import Images

__all__ = ["ArrayImages", "Examples", "Truths"]


class Truths(Protocol):
    """Their N truths, at the size of the images."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> Truth: ...


@dataclass(frozen=True)
class ArrayImages:
    """Images ``(N, H, W, 3)`` uint8 that are in memory."""

    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return a new array ``(n, H, W, 3)`` uint8 of the images at some positions."""
        return self.pixels[positions]


@dataclass(frozen=True)
class Examples:
    """Images with their truths."""

    pixels: Images
    known: Truths | Sequence[Truth]
    size: tuple[int, int]
    """(height, width) of every image."""
    present: frozenset[int] = frozenset()
    """Classes that occur in them."""
    tile: int | None = None
    """Side of the squares that a delivered file cuts such images into; ``None``: it takes them whole."""

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, positions: Sequence[int] | NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return ``(n, H, W, 3)`` uint8."""
        return self.pixels.batch(np.asarray(positions, np.intp))

    def truth(self, position: int) -> Truth:
        """Return the truth of one image, at the size of the images."""
        return self.known[int(position)]

    def some_truths(self, most: int) -> list[Truth]:
        """Return at most so many truths, evenly spread."""
        count = min(most, len(self))
        return [self.truth(i * len(self) // count) for i in range(count)]
