"""LabelMe JSON, one file an image: outlines, rectangles, circles and masks.

Shapes with the same label and ``group_id`` are parts of one object. Points and lines enclose no area
and are counted, not used. The copy of the image inside the file (``imageData``) is not used either:
the image itself must be there.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.images import (
    ImageIndex,
    all_files,
    claimed_size,
    leftovers,
    sample_files,
    stem,
)
from automl.data.formats.json_items import beginning
from automl.data.formats.listing import Listing, ReadOptions, walk
from automl.data.formats.outlines import ellipse
from automl.errors import DataError
from automl.records import TruthKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LabelmeFormat"]

_OUTLINES = ("polygon", "rotation", "oriented_rectangle", "quadrilateral")
_WITHOUT_AREA = ("point", "points", "line", "linestrip")
_IMAGE_FOLDERS = ("", "images", "Images", "JPEGImages", "imgs")
_SHAPES = re.compile(r'"shapes"\s*:\s*\[')
_MAX_BYTES = 256 << 20
"""A file holds a copy of its image; a large photograph takes some 50 MB."""


class LabelmeFormat:
    """Reads ``*.json`` beside the images (or in a folder parallel to theirs) to boxes and masks.

    The image is that of ``imagePath``, else the one of the same name as the JSON file.
    """

    name = "labelme"
    truths: tuple[TruthKind, ...] = ("boxes", "mask")

    def recognise(self, root: Path) -> str | None:
        """Say which JSON file holds shapes."""
        if not root.is_dir():
            return None
        for path in sample_files(root, ".json", most=5):
            if _is_labelme(root / path):
                return f"'{path}' describes the shapes in one image: LabelMe"
        return None

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """List every image with the shapes that its JSON file gives."""
        if not root.is_dir():
            raise DataError(
                f"The format 'labelme' needs a folder with a JSON file for each image; '{root}' is "
                "a file. Name the folder."
            )
        found = walk(root)
        files = all_files(found, ".json")
        if not files:
            raise DataError(
                f"No JSON file was found in '{root}'. LabelMe writes one for each image, beside it. "
                "Name another folder in the spec's data.path."
            )
        index = ImageIndex(found.images)
        builder = AnnotationBuilder(root, options, source="LabelMe")
        reading = _Reading(root, builder, index)
        for path in files:
            reading.add(path)
        builder.unannotated(path for path in index.images if path not in reading.met)
        return builder.finish(
            files_seen=len(index.images),
            findings=(*leftovers(found, reading.used), *index.findings()),
        )


@dataclass(frozen=True)
class _Shape:
    """One shape that encloses an area: an outline ``x, y, x, y, …`` or a mask."""

    label: str
    where: str
    ring: Sequence[float] = ()
    mask: tuple[int, int, NDArray[np.bool_]] | None = None
    """Left, top and pixels of a mask."""
    group: int | str | None = None


class _Reading:
    """Takes in JSON files one by one."""

    def __init__(self, root: Path, builder: AnnotationBuilder, index: ImageIndex) -> None:
        self._root, self._builder, self._index = root, builder, index
        self.met: set[str] = set()
        self.used: set[str] = set()
        """Files that are of LabelMe, or are broken and could be."""

    def add(self, file: str) -> None:
        """Take in one file: its image and its shapes, or note what is wrong."""
        try:
            content = _load(self._root / file)
        except ValueError as error:
            self.used.add(file)
            self._builder.note("malformed-file", file, path=file, value=str(error))
            self.met.update(self._index.find(stem(file), folders=_folders(file)))
            return
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            return  # some other JSON file; told with those that are passed over
        self.used.add(file)
        path = self._image_of(file, content.get("imagePath"))
        if path is None:
            return
        size = claimed_size(content.get("imageHeight"), content.get("imageWidth"))
        split = self._index.split_of(path)
        image = self._builder.image(path, split=split, size=size, where=file)
        if image is not None:
            shapes = list(self._shapes(content["shapes"], file, path))
            for parts in _objects(shapes):
                self._add_object(image, path, parts, size)

    def _image_of(self, file: str, written: Any) -> str | None:
        """Return the image that a file describes, unless another described it before."""
        name = written.replace("\\", "/") if isinstance(written, str) else ""
        folders = _folders(file)
        meant = self._index.find(name, folders=folders) if name else ()
        if len(meant) != 1:
            meant = self._index.find(stem(file), folders=folders) or meant
        self.met.update(meant)
        if len(meant) != 1:
            rule = "ambiguous-image" if meant else "missing-image"
            self._builder.note(rule, "", path=file, value=name or stem(file))
            return None
        if self._builder.is_known(meant[0]):
            self._builder.note("duplicate-entry", file, path=meant[0])
            return None
        return meant[0]

    def _shapes(self, shapes: list[Any], file: str, path: str) -> Iterator[_Shape]:
        for at, shape in enumerate(shapes):
            where = f"{file}, shapes[{at}]"
            kind = shape.get("shape_type", "polygon") if isinstance(shape, dict) else None
            if kind in _WITHOUT_AREA:
                self._builder.note("ignored-shape", where, path=path, value=kind)
                continue
            try:
                yield _shape(shape, where)
            except ValueError as error:
                self._builder.note("malformed-entry", where, path=path, value=str(error))

    def _add_object(
        self, image: int, path: str, parts: list[_Shape], size: tuple[int, int] | None
    ) -> None:
        first = parts[0]
        if first.mask is None:
            rings = [part.ring for part in parts]
            self._builder.rings(image, first.label, rings, where=first.where)
            return
        counts = _run_lengths(first.mask, size) if size is not None else None
        if counts is None or size is None:
            value = "a mask that does not lie within imageHeight and imageWidth"
            self._builder.note("malformed-entry", first.where, path=path, value=value)
            return
        self._builder.run_lengths(image, first.label, counts, size, where=first.where)


def _folders(file: str) -> list[str]:
    """Return where the image of a JSON file may lie, the likeliest first."""
    folder = posixpath.dirname(file)
    above = posixpath.dirname(folder)
    folders = [posixpath.join(base, end) for base in (folder, above) for end in _IMAGE_FOLDERS]
    return list(dict.fromkeys(each.rstrip("/") for each in folders))


def _objects(shapes: list[_Shape]) -> Iterator[list[_Shape]]:
    """Yield the parts of each object: outlines of the same label and group belong together."""
    groups: dict[tuple[str, int | str], list[_Shape]] = {}
    for shape in shapes:
        if shape.group is None or shape.mask is not None:
            yield [shape]
        else:
            groups.setdefault((shape.label, shape.group), []).append(shape)
    yield from groups.values()


def _shape(shape: Any, where: str) -> _Shape:
    """Return a shape as an outline or mask.

    Raises:
        ValueError: for one that cannot be understood, with the reason.
    """
    if not isinstance(shape, dict):
        raise ValueError(f"{str(shape)[:40]} instead of a shape")
    label = shape.get("label")
    if not isinstance(label, str) or not label.strip():
        raise ValueError("a shape without label")
    kind, points = shape.get("shape_type") or "polygon", _points(shape.get("points"))
    group = shape.get("group_id")
    group = group if isinstance(group, (int, str)) else None
    if kind == "mask":
        corner = (round(points[0][0]), round(points[0][1]))
        return _Shape(label.strip(), where, mask=(*corner, _mask(shape.get("mask"))))
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    elif kind == "circle" and len(points) == 2:
        radius = math.dist(*points)
        return _Shape(label.strip(), where, ellipse(points[0], (radius, radius)), group=group)
    elif kind not in (*_OUTLINES, "rectangle"):
        raise ValueError(f"shape_type {kind!r} with {len(points)} points")
    return _Shape(label.strip(), where, [edge for point in points for edge in point], group=group)


def _points(written: Any) -> list[tuple[float, float]]:
    """Return the points of a shape as (x, y).

    Raises:
        ValueError: when they are no list of pairs of numbers, or empty.
    """
    try:
        points = [(float(x), float(y)) for x, y in written]
    except (TypeError, ValueError):
        points = []
    if not points or not all(map(math.isfinite, (edge for point in points for edge in point))):
        raise ValueError(f"points {str(written)[:60]}")
    return points


def _mask(written: Any) -> NDArray[np.bool_]:
    """Return the pixels of a mask, ``(h, w)``, from a PNG in base 64.

    Raises:
        ValueError: when it is no such text.
    """
    from PIL import Image

    try:
        with Image.open(
            io.BytesIO(base64.b64decode(written, validate=True)), formats=["PNG"]
        ) as image:
            return np.asarray(image.convert("L")) > 0
    except (TypeError, ValueError, OSError, binascii.Error, SyntaxError) as error:
        raise ValueError("a mask that is no PNG in base 64") from error


def _run_lengths(
    mask: tuple[int, int, NDArray[np.bool_]], size: tuple[int, int]
) -> list[int] | None:
    """Return a mask's runs down the columns of an image of (height, width), or ``None`` if it does
    not lie inside."""
    left, top, pixels = mask
    height, width = pixels.shape
    if min(left, top) < 0 or top + height > size[0] or left + width > size[1]:
        return None
    whole = np.zeros(size[::-1], np.bool_)
    whole[left : left + width, top : top + height] = pixels.T
    flat = whole.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = [0] if flat[0] else []
    return [*starts, *np.diff([0, *ends, flat.size]).tolist()]


def _load(file: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: when it is none, in words.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError("larger than 256 MiB")
        return json.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(error.strerror or "cannot be read") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1:,} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON ({error.msg} in line {error.lineno})") from error
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _is_labelme(file: Path) -> bool:
    text = beginning(file)
    return text.lstrip()[:1] == "{" and _SHAPES.search(text) is not None
