"""Read mask files: from gray, palette, colour and black-and-white images to one number a pixel.

The numbers are those of the coding: gray values, palette indices, places in the list of colours, or 1
for white. What class each number is, :func:`class_table` says; so the polarity of black-and-white
masks can be decided after all of them were seen.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from automl.data.annotation_columns import BACKGROUND, MaskCoding
from automl.data.truth import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["Polarity", "ReadMask", "UnknownValuesError", "class_table", "read_mask"]

_VALUES_NAMED = 10
_HALF = 128


class UnknownValuesError(ValueError):
    """A mask holds values that stand for no class; the text lists them."""


@dataclass(frozen=True)
class ReadMask:
    """A mask as numbers: ``(H, W)`` uint8; :data:`IGNORED` where the class is not known."""

    values: NDArray[np.uint8]
    is_sharp: bool
    """False for a black-and-white mask with grays in between."""


class Polarity:
    """Decides whether white or black is the object, from how much of all masks is white.

    The background reaches the border of an image more often than an object does, so the colour of
    most of the border pixels is the background; where the border is about even, the colour of most
    of all pixels is.
    """

    def __init__(self) -> None:
        """Begin without any mask."""
        self.masks = 0
        self._border: list[float] = []
        self._area: list[float] = []

    def add(self, is_white: NDArray[np.uint8]) -> None:
        """Take in one mask, ``(H, W)`` of 0 and 1."""
        ends = (is_white[0], is_white[-1], is_white[:, 0], is_white[:, -1])
        self.masks += 1
        self._border.append(float(np.concatenate(ends).mean()))
        self._area.append(float(is_white.mean()))

    def decide(self) -> tuple[Literal["white", "black"], str]:
        """Return the colour of the objects, and how it was found, in words."""
        border, area = float(np.mean(self._border)), float(np.mean(self._area))
        is_clear = not 0.4 < border < 0.6
        share, what = (border, "border pixels") if is_clear else (area, "pixels")
        object_colour: Literal["white", "black"] = "white" if share <= 0.5 else "black"
        whose = "its" if self.masks == 1 else "their"
        return object_colour, f"{share:.0%} of {whose} {what} are white"


def read_mask(content: bytes, coding: MaskCoding) -> ReadMask:
    """Return a mask file as numbers.

    Raises:
        UnknownValuesError: values that the coding does not name.
        ValueError: another kind of image than the coding needs.
        OSError: no image, or a damaged one.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if coding.kind == "binary":
                return _binary(image)
            values = _colors(image, coding) if coding.kind == "color" else _numbers(image, coding)
    return ReadMask(values, is_sharp=True)


def class_table(
    coding: MaskCoding, classes: Sequence[str], *, polarity: Literal["white", "black"] = "white"
) -> tuple[int, ...]:
    """Return the class of each of 256 numbers.

    Classes that are not listed count as background, as outlines of such classes do; what has no
    class, or no background to count as, is :data:`IGNORED`.
    """
    places = {name: place for place, name in enumerate(classes)}
    names, other = coding.names, places.get(BACKGROUND, IGNORED)
    if coding.kind == "binary" and polarity == "black":
        names = names[::-1]
    table = [places.get(name, other) for name in names[:IGNORED]]
    return (*table, *[IGNORED] * (256 - len(table)))


def _binary(image: Image) -> ReadMask:
    gray = (
        np.asarray(image.convert("L")) if image.mode != "1" else np.asarray(image) * np.uint8(255)
    )
    if image.mode.startswith("I") or image.mode == "F":
        gray = (np.asarray(image) > 0).astype(np.uint8) * np.uint8(255)
    found = np.flatnonzero(np.bincount(gray.ravel(), minlength=256))
    highest = int(found[-1])
    if highest < _HALF:  # 0 and 1, or numbers of kinds of objects
        return ReadMask((gray > 0).astype(np.uint8), is_sharp=True)
    values = (gray >= _HALF).astype(np.uint8)
    return ReadMask(values, is_sharp=set(found.tolist()) <= {0, highest})


def _numbers(image: Image, coding: MaskCoding) -> NDArray[np.uint8]:
    pixels = np.asarray(image)
    if image.mode == "1":
        pixels = pixels.astype(np.uint8)
    if pixels.ndim == 3:
        if (pixels[..., :1] != pixels[..., : min(3, pixels.shape[2])]).any():
            raise ValueError("colours, where one number a pixel is expected")
        pixels = pixels[..., 0]
    known = [*range(len(coding.names)), IGNORED]
    _check_values(np.setdiff1d(np.unique(pixels), known).tolist())
    return np.asarray(pixels, np.uint8)


def _colors(image: Image, coding: MaskCoding) -> NDArray[np.uint8]:
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.uint32), 2, 0)
    pixels = np.asarray(red << 16 | green << 8 | blue, np.uint32)
    codes = np.array([int(color.removeprefix("#"), 16) for color in coding.colors], np.uint32)
    order = np.argsort(codes, kind="stable")
    place = np.minimum(np.searchsorted(codes[order], pixels), len(codes) - 1)
    found = order[place]
    unknown = np.unique(pixels[codes[found] != pixels])
    _check_values([f"#{value:06x}" for value in unknown.tolist()])
    return np.asarray(found, np.uint8)


def _check_values(unknown: Sequence[object]) -> None:
    if unknown:
        rest = len(unknown) - _VALUES_NAMED
        more = f" and {rest:,} more" if rest > 0 else ""
        raise UnknownValuesError(", ".join(map(str, unknown[:_VALUES_NAMED])) + more)
