"""Turn annotations that were drawn on an image as stored, where EXIF says that it is to be turned.

Images are turned upright when decoded. Some annotation programs do so too and others do not; the
size that the annotations claim (or that of the mask) tells which, where the image is turned by a
quarter and not square. Else the annotations are taken as drawn on the upright image.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.source import read_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["is_stored_size", "read_orientation", "turn_corners", "turn_pixels", "turn_points"]

_EXIF_ORIENTATION = 0x0112


def is_stored_size(claimed: tuple[int, int], upright: tuple[int, int]) -> bool:
    """Whether (height, width) is that of the image before it is turned by a quarter."""
    return claimed == upright[::-1] and upright[0] != upright[1]


def read_orientation(root: Path, path: str) -> int:
    """Return the EXIF orientation of an image, 1 to 8.

    Raises:
        OSError: when the image cannot be read any more.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(read_source(root, path))) as image:
            value = image.getexif().get(_EXIF_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def turn_pixels(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return ``(H, W)`` pixels of the stored image as they lie on the upright one."""
    turned = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        6: pixels[::-1].T,
        7: pixels[::-1, ::-1].T,
        8: pixels.T[::-1],
    }
    return turned.get(orientation, pixels)


def turn_points(
    points: NDArray[np.float64], orientation: int, upright: tuple[int, int]
) -> NDArray[np.float64]:
    """Return ``(n, 2)`` x, y of the stored image on the upright one of (height, width)."""
    height, width = upright
    first, second = points[:, 0], points[:, 1]
    turned = {
        2: (width - first, second),
        3: (width - first, height - second),
        4: (first, height - second),
        5: (second, first),
        6: (width - second, first),
        7: (width - second, height - first),
        8: (second, height - first),
    }
    return np.stack(turned.get(orientation, (first, second)), axis=1)


def turn_corners(
    corners: NDArray[np.float64], orientation: int, upright: tuple[int, int]
) -> NDArray[np.float64]:
    """Return ``(n, 4)`` left, top, right, bottom of the stored image on the upright one."""
    ends = [turn_points(corners[:, part], orientation, upright) for part in ([0, 1], [2, 3])]
    return np.concatenate([np.minimum(*ends), np.maximum(*ends)], axis=1)
