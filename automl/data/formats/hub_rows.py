"""What one row of a Hugging Face data set says of its image, whether in a text file or in parquet.

The columns are those of the hub's guides (docs "Create an image dataset" and "ImageFolder"):
``label``; ``objects`` with ``bbox`` as ``[x, y, width, height]`` in pixels, as COCO has it, and
``categories`` or ``category``; a file of a mask. Names that are common beside these are taken too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.listing import SPLIT_NAMES
from automl.records import Split, TruthKind

__all__ = [
    "IMAGE_COLUMNS",
    "MASK_COLUMNS",
    "ClassNames",
    "RowReader",
    "class_names",
    "first_of",
    "plain_columns",
    "size_of",
    "split_of",
]

IMAGE_COLUMNS = ("file_name", "image_file_name", "image", "file_path", "image_path", "path", "img")
"""Columns with the path of an image, likeliest first."""
MASK_COLUMNS = (
    "mask", "mask_file_name", "mask_path", "annotation", "annotation_file_name", "segmentation",
    "segmentation_mask", "segmentation_file_name", "semantic_segmentation", "label_file_name",
    "label",
)  # fmt: skip
"""Columns with a mask, likeliest first."""
_LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "fine_label")
_OBJECT_COLUMNS = ("objects", "annotations", "object", "bboxes")
_BOX_FIELDS = ("bbox", "bboxes", "box", "boxes")
_CATEGORY_FIELDS = (
    "categories", "category", "labels", "label", "category_id", "class", "classes", "name", "names",
)  # fmt: skip
_SPLIT_COLUMNS = ("split", "subset")
_SIZE_COLUMNS = ("height", "width")
_UNKNOWN_LABEL = -1
"""What the hub writes for the label of an image of a test set whose labels are kept back."""


@dataclass(frozen=True)
class ClassNames:
    """Names of classes by number, of whole images and of objects; empty where numbers stand for
    themselves."""

    label: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()


class RowReader:
    """Adds rows to a builder, or notes what is wrong with them."""

    def __init__(self, builder: AnnotationBuilder, names: ClassNames, truth: TruthKind) -> None:
        self._builder, self._names, self._truth = builder, names, truth

    def is_silent(self, row: Mapping[str, Any]) -> bool:
        """Whether a row leaves open what objects there are; an empty list says that there are none."""
        column = first_of(_OBJECT_COLUMNS, row)
        return self._truth == "boxes" and (column is None or row[column] is None)

    def add(self, image: int, row: Mapping[str, Any], *, where: str) -> None:
        """Add what is looked for of an image: its label, or the objects in it."""
        column = first_of(_LABEL_COLUMNS if self._truth == "label" else _OBJECT_COLUMNS, row)
        if column is None or row[column] is None:
            return
        try:
            if self._truth == "label":
                self._add_label(image, row[column], where=where)
            else:
                for box, category in _objects(row[column]):
                    self._add_object(image, box, category, where=where)
        except ValueError as error:
            path = self._builder.path(image)
            self._builder.note("malformed-entry", where, path=path, value=f"{column}: {error}")

    def _add_label(self, image: int, value: object, *, where: str) -> None:
        label = _class(value, self._names.label)
        if label:
            self._builder.label(image, label, where=where)

    def _add_object(self, image: int, box: object, category: object, *, where: str) -> None:
        try:
            left, top, width, height = _four(box)
            label = _class(category, self._names.objects)
            if not label:
                raise ValueError("an object without a class")
        except ValueError as error:
            path = self._builder.path(image)
            return self._builder.note("malformed-entry", where, path=path, value=str(error))
        corners = (left, top, left + width, top + height)
        return self._builder.box(image, label, corners, where=where)


def first_of(names: Sequence[str], row: Mapping[str, Any]) -> str | None:
    """Return the first of some names that a row has."""
    return next((name for name in names if name in row), None)


def plain_columns(names: Sequence[str], truth: TruthKind) -> list[str]:
    """Return those columns that say something of an image."""
    told = _LABEL_COLUMNS if truth == "label" else _OBJECT_COLUMNS
    return [name for name in names if name in (*told, *_SPLIT_COLUMNS, *_SIZE_COLUMNS)]


def split_of(row: Mapping[str, Any]) -> Split | None:
    """Return the split that a column of the row names."""
    column = first_of(_SPLIT_COLUMNS, row)
    word = row[column] if column is not None else None
    return SPLIT_NAMES.get(word.strip().lower()) if isinstance(word, str) else None


def size_of(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (height, width) if the row says it."""
    try:
        height, width = (int(row[name]) for name in _SIZE_COLUMNS)
    except (KeyError, TypeError, ValueError):
        return None
    return (height, width) if min(height, width) > 0 else None


def class_names(features: object) -> ClassNames:
    """Return the names in the description of a data set's columns (``dataset_info.features``)."""
    if not isinstance(features, dict):
        return ClassNames()
    label = first_of(_LABEL_COLUMNS, features)
    objects = first_of(_OBJECT_COLUMNS, features)
    fields = _inner(features[objects]) if objects is not None else None
    category = first_of(_CATEGORY_FIELDS, fields) if isinstance(fields, dict) else None
    return ClassNames(
        () if label is None else _names(features[label]),
        () if category is None or not isinstance(fields, dict) else _names(fields[category]),
    )


def _names(feature: object) -> tuple[str, ...]:
    inner = _inner(feature)
    names = inner.get("names") if isinstance(inner, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _inner(feature: object) -> object:
    """Return what a list is of."""
    while True:
        if isinstance(feature, list) and feature:
            feature = feature[0]
        elif isinstance(feature, dict) and "feature" in feature:
            feature = feature["feature"]
        else:
            return feature


def _class(value: object, names: tuple[str, ...]) -> str:
    """Return the name of a class; empty: not known.

    Raises:
        ValueError: no number of a class, and no name.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{_short(value)} is no class")
    if isinstance(value, str):
        return value.strip()
    if value == _UNKNOWN_LABEL:
        return ""
    if names and not 0 <= value < len(names):
        raise ValueError(f"{value} is no number of one of the {len(names)} classes")
    return names[value] if names else str(value)


def _objects(value: object) -> Iterator[tuple[object, object]]:
    """Yield box and category of each object, of one struct of lists or a list of structs.

    Raises:
        ValueError: neither of the two, or lists of different lengths.
    """
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, list):
        for one in value:
            if not isinstance(one, dict):
                raise ValueError(f"{_short(one)} is no object with bbox and category")
            yield _field(one, _BOX_FIELDS), _field(one, _CATEGORY_FIELDS)
        return
    if not isinstance(value, dict):
        raise ValueError(f"{_short(value)} holds no objects")
    boxes, categories = _field(value, _BOX_FIELDS), _field(value, _CATEGORY_FIELDS)
    if not isinstance(boxes, list) or not isinstance(categories, list):
        raise ValueError(f"{_short(value)} holds no lists of boxes and categories")
    if len(boxes) != len(categories):
        raise ValueError(f"{len(boxes)} boxes with {len(categories)} categories")
    yield from zip(boxes, categories, strict=True)


def _field(value: Mapping[str, Any], names: Sequence[str]) -> object:
    name = first_of(names, value)
    if name is None:
        raise ValueError(f"{_short(value)} has no {names[0]}")
    return value[name]


def _four(box: object) -> tuple[float, float, float, float]:
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(isinstance(n, int | float) and math.isfinite(n) for n in box)
    ):
        raise ValueError(f"{_short(box)} is no box [x, y, width, height]")
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:80]
