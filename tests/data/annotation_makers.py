"""Tiny data sets in the layouts of labelling tools, written to disk, and what a reader made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from automl.data.annotations import ShapeKind
from automl.data.formats import Listing
from automl.records import Split

Box = tuple[float, float, float, float]
SIZE = (30, 40)
"""(height, width) of the images."""


def write_images(root: Path, *paths: str, size: tuple[int, int] = SIZE) -> None:
    """Write images that differ from each other; the suffix says in which format."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        cells = np.random.default_rng(list(path.encode())).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(cells).resize(size[::-1]).save(file)


def write_text(root: Path, path: str, content: str | bytes) -> Path:
    """Write a file with the folders that it needs."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def write_json(root: Path, path: str, content: Any) -> Path:
    """Write a JSON file with the folders that it needs."""
    return write_text(root, path, json.dumps(content, indent=1))


def voc_object(name: str, box: Sequence[object], **more: object) -> str:
    """One object as LabelImg writes it, on lines of its own."""
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    tags = [f"<name>{name}</name>", *(f"<{key}>{value}</{key}>" for key, value in more.items())]
    tags.append(f"<bndbox>{''.join(f'<{key}>{edge}</{key}>' for key, edge in corners)}</bndbox>")
    return "\n".join(["<object>", *tags, "</object>"])


def voc_xml(
    filename: str,
    *objects: str,
    size: tuple[int, int] = SIZE,
    database: str = "Unknown",
) -> str:
    """The file of one image as LabelImg writes it; the first object begins on line 7."""
    return "\n".join(
        [
            "<annotation>",
            "<folder>elsewhere</folder>",
            f"<filename>{filename}</filename>",
            f"<path>C:\\data\\elsewhere\\{filename}</path>",
            f"<source><database>{database}</database></source>",
            f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>",
            *objects,
            "</annotation>",
        ]
    )


def coco(
    images: Mapping[int, str],
    annotations: Iterable[Mapping[str, Any]],
    categories: Mapping[int, str],
) -> dict[str, Any]:
    """The content of a COCO file; annotations come before what they name, as they may."""
    return {
        "info": {"description": "made for a test"},
        "annotations": [{"id": at, **entry} for at, entry in enumerate(annotations, 1)],
        "images": [
            {"id": key, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
            for key, name in images.items()
        ],
        "categories": [{"id": key, "name": name} for key, name in categories.items()],
    }


def labelme(image_path: str, *shapes: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a LabelMe file."""
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [{"group_id": None, "flags": {}, **shape} for shape in shapes],
        "imagePath": image_path,
        "imageData": "AAAA",
        "imageHeight": SIZE[0],
        "imageWidth": SIZE[1],
    }


def shapes_of(listing: Listing) -> dict[str, list[tuple[str, str, list[float]]]]:
    """Class, kind and values of each image's shapes, in the order of the annotations.

    Values of shapes that are shares of the image are multiplied by :data:`SIZE`.
    """
    annotations = listing.annotations
    assert annotations is not None
    assert annotations.shapes is not None
    shapes = annotations.shapes
    result: dict[str, list[tuple[str, str, list[float]]]] = {}
    for position, sample in enumerate(listing.samples):
        found = result.setdefault(sample.path, [])
        for at in shapes.order[shapes.first[position] : shapes.first[position + 1]]:
            kind = ShapeKind(int(shapes.kind[at]))
            start, length = int(shapes.start[at]), int(shapes.length[at])
            source = shapes.runs if kind is ShapeKind.RUN_LENGTHS else shapes.values
            values = source[start : start + length].astype(float)
            if shapes.relative[at]:
                values *= np.resize(np.array(SIZE[::-1], float), length)
            name = kind.name.lower() + ("+" if shapes.continues[at] else "")
            name += "?" if shapes.ignored[at] else ""
            label = listing.classes[shapes.label[at]] if shapes.label[at] >= 0 else "-"
            found.append((label, name, [round(value, 3) for value in values.tolist()]))
    return result


def splits_of(listing: Listing) -> dict[str, Split | None]:
    """The split of each image."""
    return {sample.path: sample.split for sample in listing.samples}


def told(listing: Listing) -> dict[str, str]:
    """The message of each finding by its rule."""
    return {found.rule: found.message for found in listing.findings}
