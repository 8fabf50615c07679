"""Columns of annotations: as they grow while a format is read, and as they are handed on."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

import numpy as np

from automl.records import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BACKGROUND",
    "CONTINUES_BIT",
    "DEFECT",
    "GOOD",
    "IGNORED_BIT",
    "KIND_BITS",
    "NONE",
    "RELATIVE_BIT",
    "Annotations",
    "Columns",
    "MaskCoding",
    "ShapeKind",
    "Shapes",
    "has_flag",
]

GOOD, DEFECT = "good", "defect"
"""The two classes of images that are good or show a defect."""

BACKGROUND = "background"
"""Class of the pixels that lie in no outline."""

NONE, CONTRADICTED = -1, -2
"""In the column of labels: no label; two different ones."""

_SPLITS = tuple(Split)
KIND_BITS, IGNORED_BIT, RELATIVE_BIT, CONTINUES_BIT = 3, 4, 8, 16
"""How a shape's kind and flags share one byte."""


class ShapeKind(IntEnum):
    """How a shape is written down. Values: see :class:`Shapes`."""

    BOX = 0
    POLYGON = 1
    RUN_LENGTHS = 2


@dataclass(frozen=True)
class MaskCoding:
    """What the values of mask files mean."""

    kind: Literal["index", "palette", "color", "binary"]
    """``index``: gray values are class numbers (255: not known); ``palette``: so are the indices of
    a palette PNG; ``color``: each class has a colour; ``binary``: black and white."""
    names: tuple[str, ...]
    """index, palette: the class of each number; color: the class of each colour; binary: the
    background and the object."""
    colors: tuple[str, ...] = ()
    """color: ``#rrggbb`` of each name."""
    polarity: Literal["auto", "white", "black"] = "auto"
    """binary: which of the two is the object; ``auto``: found by looking at all masks."""


@dataclass(frozen=True)
class Shapes:
    """All shapes in columns. ``order[first[i]:first[i + 1]]`` are the shapes of sample ``i``.

    ``values`` (float32) hold left, top, right, bottom of a box, or x, y of each point of a polygon;
    ``runs`` (uint32) hold height, width and then the lengths of the runs, down the columns, beginning
    with background.
    """

    first: NDArray[np.int64]
    """``(N + 1,)``"""
    order: NDArray[np.uint32]
    label: NDArray[np.int16]
    """``(M,)``: position in the listing's classes; -1: left out."""
    flags: NDArray[np.uint8]
    """``(M,)``: kind and three bits; see the properties."""
    start: NDArray[np.uint32]
    """``(M,)``: in ``values`` or, for run lengths, in ``runs``."""
    length: NDArray[np.uint32]
    values: NDArray[np.float32]
    runs: NDArray[np.uint32]

    @property
    def kind(self) -> NDArray[np.uint8]:
        """The :class:`ShapeKind` of every shape. Like its neighbours a new array each time."""
        return self.flags & np.uint8(KIND_BITS)

    @property
    def ignored(self) -> NDArray[np.bool_]:
        """Whether finding a shape is neither right nor wrong."""
        return has_flag(self.flags, IGNORED_BIT)

    @property
    def relative(self) -> NDArray[np.bool_]:
        """Whether coordinates are shares of the image's width and height, not pixels."""
        return has_flag(self.flags, RELATIVE_BIT)

    @property
    def continues(self) -> NDArray[np.bool_]:
        """Whether a shape is another part of the same object as the one before it."""
        return has_flag(self.flags, CONTINUES_BIT)


def has_flag(flags: NDArray[np.uint8], bit: int) -> NDArray[np.bool_]:
    """Return which shapes have one of the bits of :attr:`Shapes.flags`."""
    return np.asarray(flags & np.uint8(bit), bool)


@dataclass(frozen=True)
class Annotations:
    """What is known of the samples of a listing, by position."""

    source: str
    """Name of the annotation file or folder, for messages."""
    claimed: NDArray[np.int32]
    """``(N, 2)``: height and width as the annotations have them; 0: they do not say."""
    shapes: Shapes | None
    masks: tuple[str | None, ...]
    """Path of each sample's mask; empty where shapes say it."""
    coding: NDArray[np.int16]
    """``(N,)``: position in ``codings`` of each mask."""
    codings: tuple[MaskCoding, ...]
    kinds: tuple[str, ...]
    """What kind of defect each sample shows (``""``: none, or not said); else empty."""


class Columns:
    """Grows a column an item at a time. Images and shapes are numbered as they come."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.paths: list[str] = []
        self.names: dict[str, int] = {}
        """Every class met, with its number."""
        self.split = array("b")
        self.claimed = array("i")
        self.label = array("i")
        self.masks: dict[int, tuple[str, int]] = {}
        self.codings: dict[MaskCoding, int] = {}
        self.kinds: dict[int, str] = {}
        self.shape_image = array("I")
        self.shape_label = array("i")
        self.shape_flags = array("B")
        self.shape_length = array("I")
        self.values = array("f")
        self.runs = array("I")

    def new_image(self, path: str, split: Split | None, size: tuple[int, int] | None) -> None:
        """Append an image."""
        self.paths.append(path)
        self.split.append(-1 if split is None else _SPLITS.index(split))
        self.claimed.extend(size if size is not None else (0, 0))
        self.label.append(NONE)

    def split_of(self, image: int) -> Split | None:
        """Return the split that the data gives an image."""
        position = self.split[image]
        return None if position < 0 else _SPLITS[position]

    def set_split(self, image: int, split: Split) -> None:
        """Give an image its split."""
        self.split[image] = _SPLITS.index(split)

    def set_label(self, image: int, label: str) -> bool:
        """Give an image its class; ``False`` if it had another one: it then has none any more."""
        number = self.number_of(label)
        if self.label[image] in (NONE, number):
            self.label[image] = number
            return True
        self.label[image] = CONTRADICTED
        return False

    def set_mask(self, image: int, path: str, coding: MaskCoding) -> bool:
        """Give an image its mask; ``False`` if it had another one, which it keeps."""
        mask = (path, self.codings.setdefault(coding, len(self.codings)))
        return self.masks.setdefault(image, mask) == mask

    def number_of(self, name: str) -> int:
        """Return the number of a class."""
        return self.names.setdefault(name, len(self.names))

    def new_shape(
        self,
        image: int,
        label: str,
        kind: ShapeKind,
        *,
        ignored: bool,
        relative: bool,
        continues: bool,
        values: Sequence[float],
    ) -> None:
        """Append a box or (a part of) an outline."""
        flags = kind | ignored * IGNORED_BIT | relative * RELATIVE_BIT | continues * CONTINUES_BIT
        self._new(image, label, flags, len(values))
        self.values.extend(values)

    def new_runs(
        self, image: int, label: str, size: tuple[int, int], counts: Sequence[int], *, ignored: bool
    ) -> None:
        """Append run lengths."""
        self._new(image, label, ShapeKind.RUN_LENGTHS | ignored * IGNORED_BIT, len(counts) + 2)
        self.runs.extend(size)
        self.runs.extend(counts)

    def _new(self, image: int, label: str, flags: int, length: int) -> None:
        self.shape_image.append(image)
        self.shape_label.append(self.number_of(label))
        self.shape_flags.append(flags)
        self.shape_length.append(length)
