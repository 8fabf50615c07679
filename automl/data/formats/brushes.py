"""Pixels as annotation tools paint them, turned into run lengths down the columns.

CVAT writes lengths of runs along the rows of a rectangle. Label Studio packs the bytes of a whole
RGBA picture bit by bit with the encoding "rle-pack" (thi.ng/umbrella, package rle-pack, described in
its README; written anew from that description).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_PIXELS", "column_runs", "row_runs_pixels", "unpack_bytes", "unpack_picture"]

MAX_PIXELS = 1 << 28
"""A painted picture with more pixels is a mistake; it would fill the memory of small machines."""

_HEADER_BITS = 32 + 5 + 4 * 4
_WORD_BITS = 8
_OPAQUE_FROM = 1
"""Label Studio paints with alpha; any that is not wholly clear belongs to the object."""


def row_runs_pixels(counts: Sequence[int], width: int, height: int) -> NDArray[np.bool_]:
    """Return the ``(height, width)`` pixels of runs along the rows, background first.

    Raises:
        ValueError: when the runs do not fill the rectangle.
    """
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise ValueError(f"a rectangle of {width} x {height} pixels")
    if min(counts, default=0) < 0 or sum(counts) != width * height:
        raise ValueError(f"runs of {sum(counts):,} pixels for a rectangle of {width} x {height}")
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, np.asarray(counts, np.int64)).reshape(height, width)


def column_runs(pixels: NDArray[np.bool_], left: int, top: int, size: tuple[int, int]) -> list[int]:
    """Return the lengths of the runs down the columns of an image, background first.

    Args:
        pixels: ``(h, w)`` bool, the part of the image that is not background.
        left: Where the part lies in the image; what sticks out of it is cut off.
        top: Likewise, from above.
        size: (height, width) of the image.
    """
    height, width = size
    part = pixels[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
    left, top = max(0, left), max(0, top)
    edges = np.zeros((part.shape[1], part.shape[0] + 2), np.int8)
    edges[:, 1:-1] = part.T
    steps = np.diff(edges, axis=1)
    first = (left + np.arange(part.shape[1])) * height + top
    begins = (np.nonzero(steps == 1)[1] + np.repeat(first, (steps == 1).sum(1))).astype(np.int64)
    ends = (np.nonzero(steps == -1)[1] + np.repeat(first, (steps == -1).sum(1))).astype(np.int64)
    # A run that reaches the foot of a column goes on at the head of the next.
    joined = begins[1:] == ends[:-1]
    begins = begins[np.concatenate([[True], ~joined])] if len(begins) else begins
    ends = ends[np.concatenate([~joined, [True]])] if len(ends) else ends
    bounds = np.empty(2 * len(begins) + 2, np.int64)
    bounds[0], bounds[-1] = 0, height * width
    bounds[1:-1:2], bounds[2:-1:2] = begins, ends
    return [int(length) for length in np.diff(bounds)]


def unpack_picture(packed: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the ``(H, W)`` pixels that a Label Studio brush painted.

    Args:
        packed: The bytes in the field ``rle``.
        size: (height, width) of the image.

    Raises:
        ValueError: when the bytes are not rle-pack, or of an image of another size.
    """
    values = unpack_bytes(packed, expected=size[0] * size[1] * 4)
    return values.reshape(*size, 4)[:, :, 3] >= _OPAQUE_FROM


def unpack_bytes(packed: Sequence[int], *, expected: int) -> NDArray[np.uint8]:
    """Return the bytes that rle-pack packed.

    The header holds the number of words (32 bits), the bits of a word less one (5) and four widths of
    counts less one (4 bits each). Then chunks: a bit that says whether one word is repeated, two bits
    that choose the width of the count, the count less one, and the word, or as many words as counted.

    Args:
        packed: Bytes, 0 to 255.
        expected: How many bytes there must be.

    Raises:
        ValueError: when it is something else, or ends early.
    """
    if len(packed) * 8 < _HEADER_BITS or min(packed) < 0 or max(packed) > 255:
        raise ValueError("no run lengths of a brush")
    content = bytes(packed)
    bits = _Bits(content)
    total, word = bits.read(32), bits.read(5) + 1
    widths = [bits.read(4) + 1 for _ in range(4)]
    if total != expected or expected > 4 * MAX_PIXELS or word != _WORD_BITS:
        raise ValueError(f"{total:,} words of {word} bits where {expected:,} of 8 are needed")
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        is_run = bits.read(1)
        count = bits.read(widths[bits.read(2)]) + 1
        if done + count > total:
            raise ValueError(f"more than the {total:,} words that were announced")
        values[done : done + count] = bits.read(word) if is_run else bits.words(count)
        done += count
    return values


class _Bits:
    """Reads numbers bit by bit, the highest first."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._end = len(content) * 8
        self._at = 0

    def read(self, count: int) -> int:
        """Return the number in the next bits, at most 32."""
        at, self._at = self._at, self._at + count
        if self._at > self._end:
            raise ValueError("the run lengths of the brush end early")
        first, last = at >> 3, (self._at + 7) >> 3
        value = int.from_bytes(self._content[first:last], "big") >> (last * 8 - self._at)
        return value & ((1 << count) - 1)

    def words(self, count: int) -> NDArray[np.uint8]:
        """Return the next bytes, which may begin within one."""
        at, self._at = self._at, self._at + count * 8
        if self._at > self._end:
            raise ValueError("the run lengths of the brush end early")
        first, last = at >> 3, (self._at + 7) >> 3
        bits = np.unpackbits(np.frombuffer(self._content, np.uint8, last - first, first))
        skip = at - first * 8
        return np.packbits(bits[skip : skip + count * 8])
