"""Tiny pictures with a label, objects and a mask, and the ways in which their entries are spoilt."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 30, 40
NAMES = ("background", "nut", "screw")
"""The classes by the values of masks."""
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Thing:
    """An object: its class, and the rectangle that is its box, its outline or its mask."""

    label: str
    box: Box


@dataclass(frozen=True)
class Picture:
    """One image, what is known of it, and how its entry is to be spoilt."""

    name: str
    label: str
    things: tuple[Thing, ...] = ()
    fault: str = ""

    @property
    def content(self) -> bytes:
        """The encoded image, perhaps broken."""
        whole = _noise(self.name)
        return {"cut": whole[:-400], "empty": b"", "words": b"these are words"}.get(
            self.fault, whole
        )

    @property
    def is_there(self) -> bool:
        """Whether the image is on disk."""
        return self.fault != "missing-image"

    @property
    def claimed(self) -> tuple[int, int]:
        """Height and width as the annotations have them."""
        return (60, 80) if self.fault == "size" else (HEIGHT, WIDTH)


Pictures = Sequence[Picture]


@lru_cache
def _noise(name: str) -> bytes:
    cells = np.random.default_rng(list(name.encode())).integers(0, 256, (6, 8, 3), np.uint8)
    return _png(Image.fromarray(cells).resize((WIDTH, HEIGHT)))


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def painted(things: Iterable[Thing]) -> np.ndarray:
    """Return the class of each pixel, later objects over earlier ones."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for thing in things:
        left, top, right, bottom = thing.box
        pixels[top:bottom, max(0, left) : right] = NAMES.index(thing.label)
    return pixels


def mask_file(picture: Picture, *, is_binary: bool = False) -> bytes:
    """A mask file of a picture, perhaps of another size or broken."""
    if picture.fault == "malformed":
        return b"no picture"
    pixels = painted(picture.things)
    if is_binary:
        pixels = (pixels > 0) * np.uint8(255)
    if picture.fault == "unknown-class":
        pixels[0, 0] = 9
    return _png(Image.fromarray(pixels[::2, ::2] if picture.fault == "size" else pixels))


def write(root: Path, path: str, content: str | bytes) -> None:
    """Write a file with the folders that it needs."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_images(root: Path, folder: str, pictures: Pictures) -> None:
    """Write the images that are there; ``folder`` is empty or ends with a slash."""
    for picture in pictures:
        if picture.is_there:
            write(root, f"{folder}{picture.name}.png", picture.content)


def entries(pictures: Pictures) -> list[Picture]:
    """The pictures that have an entry in a list; one of them twice."""
    found = [picture for picture in pictures if picture.fault != "unannotated"]
    return found + [replace(one, fault="") for one in found if one.fault == "duplicate"]


def outline(box: Box) -> list[int]:
    """Return the corners ``x, y, x, y, …`` of a rectangle."""
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]
