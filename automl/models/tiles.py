"""A frame at its own resolution, cut into squares that a network can take, and joined again.

Small things vanish when a large frame is squashed into the network's square. Tiles keep every pixel,
at the cost of one pass of the network for each. They are evenly spaced, so that they overlap where
the frame is no multiple of their side; where they do, what the network says of them is averaged
before any decision is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Tiling"]


@dataclass(frozen=True)
class Tiling:
    """The tiles of frames of one size, from left to right and from top to bottom."""

    side: int
    """Of a tile, pixels."""
    height: int
    """Of the frame, pixels."""
    width: int

    @property
    def tops(self) -> tuple[int, ...]:
        """First row of each row of tiles."""
        return _starts(self.height, self.side)

    @property
    def lefts(self) -> tuple[int, ...]:
        """First column of each column of tiles."""
        return _starts(self.width, self.side)

    @property
    def count(self) -> int:
        """Tiles of a frame, each of which is one pass of the network."""
        return len(self.tops) * len(self.lefts)

    def cut(self, pixels: Tensor) -> Tensor:
        """Return ``(n, C, side, side)`` tiles of a frame ``(1, C, H, W)``.

        A frame that is smaller than a tile is continued by its last row and column.
        """
        import torch
        from torch.nn.functional import pad

        below, right = max(0, self.side - self.height), max(0, self.side - self.width)
        if below or right:
            pixels = pad(pixels, (0, right, 0, below), mode="replicate")
        tiles = [
            pixels[:, :, top : top + self.side, left : left + self.side]
            for top in self.tops
            for left in self.lefts
        ]
        return torch.cat(tiles)

    def join(self, logits: Tensor) -> Tensor:
        """Return ``(1, C, H, W)`` of what a network says of the tiles, ``(n, C, h, w)``.

        Each tile is first enlarged to its own size, since a tile may begin between two pixels of a
        coarser map.
        """
        from torch.nn.functional import interpolate

        size = (self.side, self.side)
        if tuple(logits.shape[2:]) != size:
            logits = interpolate(logits, size, mode="bilinear", align_corners=False)
        columns = len(self.lefts)
        rows = [
            _joined(
                [logits[row * columns + i : row * columns + i + 1] for i in range(columns)],
                self.lefts,
                axis=3,
            )
            for row in range(len(self.tops))
        ]
        return _joined(rows, self.tops, axis=2)[:, :, : self.height, : self.width]


def _starts(length: int, side: int) -> tuple[int, ...]:
    """Return where evenly spaced tiles begin that cover a length."""
    count = max(1, math.ceil(length / side))
    free = max(0, length - side)
    return tuple(round(i * free / max(1, count - 1)) for i in range(count))


def _joined(parts: Sequence[Tensor], starts: Sequence[int], *, axis: int) -> Tensor:
    """Return parts laid side by side along an axis, averaged where they overlap."""
    import torch

    side = int(parts[0].shape[axis])
    edges = sorted({edge for start in starts for edge in (start, start + side)})
    pieces = []
    for begin, end in pairwise(edges):
        covering = [
            part.narrow(axis, begin - start, end - begin)
            for part, start in zip(parts, starts, strict=True)
            if start <= begin < start + side
        ]
        pieces.append(sum(covering[1:], covering[0]) / len(covering))
    return torch.cat(pieces, dim=axis)
