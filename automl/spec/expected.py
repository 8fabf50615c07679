"""What a spec says of images that are not there yet: how large, and of how many classes.

Latency needs no more, so `automl plan` answers before there is data. A run needs images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from automl.spec.fields import Rule, Text
from automl.spec.problems import Problem, shown
from automl.spec.yaml_source import Document

__all__ = ["Classes", "FrameSize", "check_images", "class_names"]

_SIZE = re.compile(r"\s*([1-9][0-9]{0,5})\s*[xX×]\s*([1-9][0-9]{0,5})\s*")
_SMALLEST = 8
_LARGEST = 32_768
"""Pixels a side; line cameras come to about half of it."""
_MOST_CLASSES = 10_000
_OWN_CLASSES = ("good", "defect")
"""Of anomaly detection, whatever its images are called."""
_KEYS = ("classes", "image_size")


def _read_size(value: object) -> tuple[int, int]:
    rule = "width x height in pixels, such as 640x480"
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{rule}; got {shown(value)}")
    width, height = int(match[1]), int(match[2])
    if not all(_SMALLEST <= side <= _LARGEST for side in (width, height)):
        limits = f"each from {_SMALLEST} to {_LARGEST:,}"
        raise ValueError(f"{rule}, {limits}; got {shown(value)}")
    return height, width


def _read_classes(value: object) -> tuple[str, ...] | int:
    rule = "the number of classes, or the list of their names"
    if isinstance(value, int) and not isinstance(value, bool):
        if 1 <= value <= _MOST_CLASSES:
            return value
        raise ValueError(f"{rule}; a number from 1 to {_MOST_CLASSES:,}; got {value}")
    if not isinstance(value, list) or not value:
        raise ValueError(f"{rule}; got {shown(value)}")
    names = []
    for name in value:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{rule}; a name is text; got {shown(name)}. Put it in quotes")
        if name in names:
            raise ValueError(f"lists {name!a} twice. Delete one")
        names.append(name)
    if len(names) > _MOST_CLASSES:
        raise ValueError(f"{rule}; at most {_MOST_CLASSES:,}; got {len(names):,}")
    return tuple(names)


FrameSize = Annotated[
    tuple[int, int],
    Rule(_read_size, {"type": "string", "pattern": r"^\s*[1-9][0-9]*\s*[xX×]\s*[1-9][0-9]*\s*$"}),
]
"""Text, width x height; as (height, width)."""

Classes = Annotated[
    tuple[str, ...] | int,
    Rule(
        _read_classes,
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _MOST_CLASSES},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ]
        },
    ),
]
"""A number, or names."""


def class_names(task: str, classes: tuple[Text, ...] | int | None) -> tuple[str, ...]:
    """Return a name for every class; those of anomaly detection are its own."""
    if classes is None:
        return _OWN_CLASSES
    if isinstance(classes, tuple):
        return classes
    if task == "segmentation":
        return ("background", *(f"class {number}" for number in range(1, classes)))
    return tuple(f"class {number}" for number in range(1, classes + 1))


def check_images(document: Document) -> Iterator[Problem]:
    """Yield what is wrong between `data` and what stands in for it before there are images."""
    root = document.root
    if root.get("data") is not None:
        yield from _check_beside_data(document)
        return
    given = [key for key in _KEYS if root.get(key) is not None]
    is_anomaly = root.get("task") == "anomaly"
    instead = "'image_size: 640x480'" if is_anomaly else "'classes: 10' and 'image_size: 640x480'"
    if not given:
        yield document.problem(
            (),
            "is missing. Add it, for example 'data: ./images'. To plan before there are images, add "
            f"{instead} instead.",
            missing="data",
        )
        return
    if "image_size" not in given:
        message = "is missing. Without 'data' it is needed, for example 'image_size: 640x480'."
        yield document.problem((), message, missing="image_size")
    yield from _check_classes(document, is_anomaly=is_anomaly)


def _check_beside_data(document: Document) -> Iterator[Problem]:
    if document.root.get("classes") is not None:
        message = "with 'data', classes are named in it, under 'data.classes'. Move it there."
        yield document.problem(("classes",), message)
    if document.root.get("image_size") is not None:
        message = "is for planning without 'data', whose images have a size. Delete one of the two."
        yield document.problem(("image_size",), message)


def _check_classes(document: Document, *, is_anomaly: bool) -> Iterator[Problem]:
    classes = document.root.get("classes")
    if classes is None and not is_anomaly:
        message = "is missing. Without 'data' it is needed, for example 'classes: 10'."
        yield document.problem((), message, missing="classes")
    elif classes is not None and is_anomaly:
        message = "anomaly detection always has two, good and defect. Delete it."
        yield document.problem(("classes",), message)
    few = len(classes) if isinstance(classes, list) else classes
    if few == 1 and not isinstance(few, bool):
        task = document.root.get("task")
        if task in ("classification", "segmentation"):
            counted = " (the background counts)" if task == "segmentation" else ""
            message = f"{task} needs two classes or more{counted}; got one."
            yield document.problem(("classes",), message)
