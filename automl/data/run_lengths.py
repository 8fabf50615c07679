"""Run lengths of masks as COCO writes them: decoding the compressed text, filling pixels, bounds.

The text is that of COCO's ``maskApi.c`` (``rleToString``, BSD-2-Clause; the format was re-written from
its description): numbers of five bits a character from ``0`` on, with a bit that says that more
follows; from the fourth number on, the difference to the one two places before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bounds_of_runs", "decode_compressed", "fill_runs"]


def decode_compressed(text: str | bytes) -> list[int]:
    """Return the lengths of the runs in a compressed text, background first.

    Raises:
        ValueError: a character that does not belong there, or an end in the middle of a number.
    """
    codes = text.encode("ascii") if isinstance(text, str) else text
    counts: list[int] = []
    value = shift = 0
    for code in codes:
        bits = code - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {chr(code)!r} belongs to no run length")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the run lengths end in the middle of a number")
    return counts


def fill_runs(runs: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return ``(H, W)``: the pixels of runs that begin with height and width, down the columns."""
    height, width = int(runs[0]), int(runs[1])
    inside = np.arange(len(runs) - 2) % 2 == 1
    return np.repeat(inside, runs[2:]).reshape(width, height).T


def bounds_of_runs(runs: NDArray[np.uint32]) -> tuple[float, float, float, float] | None:
    """Return left, top, right, bottom of the pixels of runs; ``None``: there are none."""
    pixels = fill_runs(runs)
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
