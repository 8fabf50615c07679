"""Synthetic defects for validation images, where there is not one real defect to judge by.

Decides what a candidate must be able to find. Each good image gets copies with three kinds of
defects, after CutPaste (Li et al. 2021, https://arxiv.org/abs/2104.04015: a patch of the image itself
in another place, and a thin scar) and DRAEM (Zavrtanik et al. 2021, https://arxiv.org/abs/2108.07610:
a blotch bounded by smooth noise). They are made faint on purpose, in units of the image's own
contrast, and fainter from copy to copy: defects that every candidate finds would rank none.

They choose between candidates, and prove nothing: no claim is made by them.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COPIES", "add_defect"]

COPIES = 6
"""An image: each kind twice, strong and faint. Of five validation images, which is what thirty good
ones leave, this makes 150 pairs, so that scores are a hundredth apart and not a twenty-fifth."""
_STRENGTHS = (4.0, 2.5)
"""Change of the pixels, in standard deviations of the image's gray values: clear and faint."""
_LEAST_CONTRAST = 4.0
"""Gray levels that a standard deviation counts as, at least: an even image has none of its own."""


def add_defect(
    frame: NDArray[np.uint8], *, copy: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a copy of a good image with a defect, and where it is.

    Args:
        frame: ``(H, W, 3)`` uint8.
        copy: 0 to ``COPIES - 1``; decides kind and strength.
        seed: with the pixels of the frame decides place and shape.

    Returns:
        ``(H, W, 3)`` uint8 and ``(H, W)`` bool with at least one true pixel.
    """
    generator = np.random.default_rng([seed, copy, zlib.crc32(frame.tobytes())])
    kind = (_patch, _scar, _blotch)[copy % 3]
    strength = _STRENGTHS[copy // 3 % len(_STRENGTHS)]
    share, content = kind(frame, generator)
    contrast = max(_LEAST_CONTRAST, float(frame.mean(2).std()))
    shift = strength * contrast * (1.0 if generator.random() < 0.5 else -1.0)
    changed = content.astype(np.float32) + shift
    mixed = frame + share[..., None] * (changed - frame)
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8), _covered(share)


def _covered(share: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a defect is: where it covers half of a pixel, or most of all."""
    covered: NDArray[np.bool_] = share >= min(0.5, float(share.max()))
    return covered


def _patch(
    frame: NDArray[np.uint8], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a soft rectangle, and the image shifted so that another part lies under it."""
    size = np.array(frame.shape[:2])
    centre = generator.uniform(0.1, 0.9, 2) * size
    half = np.maximum(1.0, generator.uniform(0.04, 0.1, 2) * size)
    rows, columns = _grid(frame)
    outside = np.maximum(np.abs(rows - centre[0]) / half[0], np.abs(columns - centre[1]) / half[1])
    share = np.clip(3.0 * (1.2 - outside), 0.0, 1.0).astype(np.float32)
    shift = (generator.uniform(0.25, 0.75, 2) * size).astype(int)
    return share, np.roll(frame, tuple(shift), (0, 1))


def _scar(
    frame: NDArray[np.uint8], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a thin bent line, and the image as it is."""
    height, width = frame.shape[:2]
    side = min(height, width)
    rows, columns = _grid(frame)
    angle, bend = generator.uniform(0.0, np.pi), generator.uniform(-1.5, 1.5)
    centre = generator.uniform(0.2, 0.8, 2) * (height, width)
    down, right = rows - centre[0], columns - centre[1]
    along = (down * np.sin(angle) + right * np.cos(angle)) / side
    across = (down * np.cos(angle) - right * np.sin(angle)) / side
    thickness = max(0.75 / side, generator.uniform(0.006, 0.015))
    ends = np.clip(10.0 * (generator.uniform(0.15, 0.35) - np.abs(along)), 0.0, 1.0)
    line = np.exp(-0.5 * ((across - bend * along**2) / thickness) ** 2)
    return (line * ends).astype(np.float32), frame


def _blotch(
    frame: NDArray[np.uint8], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a spot with an uneven outline, and the image as it is."""
    from PIL import Image

    height, width = frame.shape[:2]
    coarse = generator.normal(size=(8, 8)).astype(np.float32)
    noise = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    rows, columns = _grid(frame)
    centre = generator.uniform(0.15, 0.85, 2) * (height, width)
    radius = generator.uniform(0.05, 0.12) * min(height, width)
    distance = np.hypot(rows - centre[0], columns - centre[1]) / max(1.0, radius)
    return np.clip(2.0 * (1.0 - distance + 0.4 * noise), 0.0, 1.0) * (distance < 2.0), frame


def _grid(frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    return rows, columns
