"""One tiny set of pictures, written to disk in the layout of every format, faults included."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from format_pictures import (
    HEIGHT,
    NAMES,
    WIDTH,
    Box,
    Picture,
    Pictures,
    Thing,
    entries,
    mask_file,
    outline,
    write,
    write_images,
)

from automl.records import TruthKind


def write_folder(root: Path, _: TruthKind, pictures: Pictures) -> None:
    """``<class>/a.png``; a link that leads nowhere is an image that is missing."""
    for picture in pictures:
        folder = "" if picture.fault == "unannotated" else f"{picture.label}/"
        if picture.is_there:
            write_images(root, folder, [picture])
        else:
            (root / folder / f"{picture.name}.png").symlink_to("nowhere.png")


def write_csv(root: Path, _: TruthKind, pictures: Pictures) -> None:
    """``labels.csv`` and images below ``all``."""
    write_images(root, "all/", pictures)
    rows = [["path", "label"]]
    for one in pictures:
        label = "" if one.fault == "unannotated" else one.label
        path = f"all/{one.name}.png"
        rows += [[path] if one.fault == "malformed" else [path, label]]
        rows += [[path, label]] * (one.fault == "duplicate")
    with (root / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def write_voc(root: Path, _: TruthKind, pictures: Pictures) -> None:
    """``Annotations`` and ``JPEGImages``; two files of one stem describe the same image."""
    write_images(root, "JPEGImages/", pictures)
    for one in entries(pictures):
        height, width = one.claimed
        lines = ["<annotation>", f"<filename>{one.name}.png</filename>"]
        lines += [f"<size><width>{width}</width><height>{height}</height></size>"]
        for thing in one.things:
            names = zip(("xmin", "ymin", "xmax", "ymax"), thing.box, strict=True)
            box = "".join(f"<{name}>{edge}</{name}>" for name, edge in names)
            lines += [f"<object><name>{thing.label}</name><bndbox>{box}</bndbox></object>"]
        lines += ["</annotation>"][: one.fault != "malformed"]
        folder = "Annotations/more/" if (root / f"Annotations/{one.name}.xml").exists() else ""
        write(root, f"{folder or 'Annotations/'}{one.name}.xml", "\n".join(lines))


def write_coco(root: Path, _: TruthKind, pictures: Pictures) -> None:
    """``annotations.json`` and ``images``."""
    write_images(root, "images/", pictures)
    labels = _labels(pictures)
    images: list[Any] = []
    annotations: list[Any] = []
    for key, one in enumerate(entries(pictures), 1):
        height, width = one.claimed
        is_first = all(image["file_name"] != f"{one.name}.png" for image in images)
        images += [{"id": key, "file_name": f"{one.name}.png", "height": height, "width": width}]
        for thing in one.things if is_first else ():
            left, top, right, bottom = thing.box
            annotations += [
                {
                    "image_id": key,
                    "category_id": labels.index(thing.label),
                    "bbox": [left, top, right - left, bottom - top],
                    "segmentation": [outline(thing.box)],
                }
            ]
        annotations += [{"image_id": key}] * (one.fault == "malformed")
    categories = [{"id": key, "name": label} for key, label in enumerate(labels)]
    parts = {"images": images, "annotations": annotations, "categories": categories}
    text = ",\n".join(f'"{key}": {_lines(part)}' for key, part in parts.items())
    write(root, "annotations.json", f"{{{text}}}")


def _labels(pictures: Pictures) -> list[str]:
    return sorted({thing.label for one in pictures for thing in one.things})


def _lines(items: Iterable[Any]) -> str:
    """A JSON array with an item on each line."""
    return "[\n" + ",\n".join(map(json.dumps, items)) + "\n]"


def write_yolo(root: Path, truth: TruthKind, pictures: Pictures) -> None:
    """``images``, ``labels`` and ``classes.txt``."""
    write_images(root, "images/", pictures)
    labels = _labels(pictures)
    write(root, "classes.txt", "\n".join(labels))
    for one in entries(pictures):
        lines = []
        for thing in one.things:
            left, top, right, bottom = thing.box
            values = [(left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT]
            values += [(right - left) / WIDTH, (bottom - top) / HEIGHT]
            if truth == "mask":
                values = [
                    x / WIDTH if at % 2 == 0 else x / HEIGHT
                    for at, x in enumerate(outline(thing.box))
                ]
            lines += [" ".join(map(str, (labels.index(thing.label), *values)))]
        lines += ["0 0.5 half 0.1 0.1"] * (one.fault == "malformed")
        folder = "images" if (root / f"labels/{one.name}.txt").exists() else "labels"
        write(root, f"{folder}/{one.name}.txt", "\n".join(lines))


def write_labelme(root: Path, truth: TruthKind, pictures: Pictures) -> None:
    """A JSON file beside each image."""
    write_images(root, "", pictures)
    for one in entries(pictures):
        height, width = one.claimed
        content = {"imagePath": f"{one.name}.png", "imageHeight": height, "imageWidth": width}
        shapes = [
            {"label": thing.label, "shape_type": "rectangle", "points": _corners(thing.box)}
            if truth == "boxes"
            else {"label": thing.label, "shape_type": "polygon", "points": _points(thing.box)}
            for thing in one.things
        ]
        text = json.dumps({**content, "shapes": shapes}, indent=1)
        name = f"{one.name}-again" if (root / f"{one.name}.json").exists() else one.name
        write(root, f"{name}.json", text[:-20] if one.fault == "malformed" else text)


def _corners(box: Box) -> list[tuple[int, int]]:
    return [box[:2], box[2:]]


def _points(box: Box) -> list[tuple[int, int]]:
    numbers = outline(box)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def write_cvat(root: Path, truth: TruthKind, pictures: Pictures) -> None:
    """``annotations.xml`` and ``images``."""
    write_images(root, "images/", pictures)
    lines = ["<annotations>"]
    for one in entries(pictures):
        height, width = one.claimed
        lines += [f'<image name="{one.name}.png" width="{width}" height="{height}">']
        lines += [_cvat_shape(truth, thing) for thing in one.things if truth != "label"]
        if truth == "label":
            lines += ["<tag/>" if one.fault == "malformed" else f'<tag label="{one.label}"/>']
        elif one.fault == "malformed":
            lines += ['<box label="nut" xtl="1" ytl="2" xbr="3"/>']
        lines += ["</image>"]
    write(root, "annotations.xml", "\n".join([*lines, "</annotations>"]))


def _cvat_shape(truth: TruthKind, thing: Thing) -> str:
    left, top, right, bottom = thing.box
    if truth == "mask":
        points = ";".join(f"{x},{y}" for x, y in _points(thing.box))
        return f'<polygon label="{thing.label}" points="{points}"/>'
    return f'<box label="{thing.label}" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}"/>'


def write_label_studio(root: Path, truth: TruthKind, pictures: Pictures) -> None:
    """``export.json`` and ``images``; a task for each image."""
    write_images(root, "images/", pictures)
    tasks = []
    for key, one in enumerate(entries(pictures), 1):
        height, width = one.claimed
        size = {"original_width": width, "original_height": height}
        results = [size | _region(truth, thing) for thing in one.things if truth != "label"]
        if truth == "label":
            chosen = [one.label] * (2 if one.fault == "malformed" else 1)
            results = [{"type": "choices", "from_name": "kind", "value": {"choices": chosen}}]
        elif one.fault == "malformed":
            value = {"x": "1", "y": 2, "width": 3, "height": 4, "rectanglelabels": ["nut"]}
            results += [size | {"type": "rectanglelabels", "value": value}]
        data = {"image": f"/data/upload/1/{one.name}.png"}
        tasks += [{"id": key, "data": data, "annotations": [{"result": results}]}]
    write(root, "export.json", _lines(tasks))


def _region(truth: TruthKind, thing: Thing) -> dict[str, Any]:
    left, top, right, bottom = thing.box
    across, down = 100 / WIDTH, 100 / HEIGHT
    if truth == "mask":
        points = [[x * across, y * down] for x, y in _points(thing.box)]
        value = {"points": points, "polygonlabels": [thing.label]}
        return {"type": "polygonlabels", "value": value}
    value = {"x": left * across, "y": top * down, "rectanglelabels": [thing.label]}
    value |= {"width": (right - left) * across, "height": (bottom - top) * down}
    return {"type": "rectanglelabels", "value": value}


def write_masks(root: Path, _: TruthKind, pictures: Pictures) -> None:
    """``images``, ``masks`` and ``classes.txt``; a second mask has another suffix."""
    write_images(root, "images/", pictures)
    write(root, "classes.txt", "\n".join(NAMES))
    for one in entries(pictures):
        path = f"masks/{one.name}.png"
        write(root, f"masks/{one.name}.tif" if (root / path).exists() else path, mask_file(one))


def write_mvtec(root: Path, _: TruthKind, pictures: Pictures) -> None:
    """``train/good``, ``test/good``, ``test/hole`` and ``ground_truth/hole``."""
    for at, one in enumerate(pictures):
        split = "test" if one.label == "hole" or at % 3 == 0 else "train"
        folder = "test/" if one.fault == "unannotated" else f"{split}/{one.label}/"
        write_images(root, folder, [one])
        if one.label == "hole" and one.fault not in ("missing-mask", "unannotated"):
            write(root, f"ground_truth/hole/{one.name}_mask.png", mask_file(one, is_binary=True))


def write_huggingface(root: Path, truth: TruthKind, pictures: Pictures) -> None:
    """``metadata.jsonl`` beside the images; masks below ``masks``."""
    write_images(root, "", pictures)
    lines = []
    for one in entries(pictures):
        height, width = one.claimed
        row: dict[str, Any] = {"file_name": f"{one.name}.png"}
        if truth == "label":
            row["label"] = one.label
        elif truth == "boxes":
            row |= {"height": height, "width": width, "objects": _objects(one)}
        else:
            row["mask"] = f"masks/{one.name}.png"
            if one.fault != "missing-mask":
                is_torn = one.fault == "malformed"
                write(root, row["mask"], mask_file(replace(one, fault="") if is_torn else one))
        text = json.dumps(row)
        lines += [text[:-1] if one.fault == "malformed" else text]
    if truth == "mask":
        write(root, "classes.txt", "\n".join(NAMES))
    write(root, "metadata.jsonl", "\n".join(lines))


def _objects(one: Picture) -> dict[str, list[Any]]:
    boxes = [
        [left, top, right - left, bottom - top]
        for left, top, right, bottom in (thing.box for thing in one.things)
    ]
    return {"bbox": boxes, "categories": [thing.label for thing in one.things]}


def write_parquet(root: Path, truth: TruthKind, pictures: Pictures) -> None:
    """``data/train-00000-of-00001.parquet`` with everything inside."""
    images = [{"bytes": one.content, "path": None} if one.is_there else None for one in pictures]
    columns: dict[str, Any] = {"image": pa.array(images)}
    features: dict[str, Any] = {}
    if truth == "label":
        names = sorted({one.label for one in pictures})
        numbers = {"malformed": 99, "unannotated": None}
        columns["label"] = [numbers.get(one.fault, names.index(one.label)) for one in pictures]
        features["label"] = {"names": names}
    elif truth == "boxes":
        names = _labels(pictures)
        columns["height"], columns["width"] = zip(*(one.claimed for one in pictures), strict=True)
        columns["objects"] = [_parquet_objects(one, names) for one in pictures]
        features["objects"] = {"feature": {"category": {"names": names}}}
    else:
        write(root, "classes.txt", "\n".join(NAMES))
        masks = [
            None if one.fault == "unannotated" else {"bytes": mask_file(one), "path": None}
            for one in pictures
        ]
        columns["mask"] = pa.array(masks, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    described = {"huggingface": json.dumps({"info": {"features": features}})}
    (root / "data").mkdir(parents=True)
    table = pa.table(columns).replace_schema_metadata(described)
    pq.write_table(table, root / "data/all-00000-of-00001.parquet", row_group_size=4)


def _parquet_objects(one: Picture, names: list[str]) -> dict[str, list[Any]] | None:
    if one.fault == "unannotated":
        return None
    objects = _objects(one)
    boxes = objects["bbox"] + [[1, 2, 3]] * (one.fault == "malformed")
    labels = [*objects["categories"], *["nut"] * (one.fault == "malformed")]
    return {"bbox": boxes, "category": [names.index(label) for label in labels]}


WRITERS: dict[str, Callable[[Path, TruthKind, Pictures], None]] = {
    "folder": write_folder,
    "csv": write_csv,
    "voc": write_voc,
    "coco": write_coco,
    "yolo": write_yolo,
    "labelme": write_labelme,
    "cvat": write_cvat,
    "label-studio": write_label_studio,
    "masks": write_masks,
    "mvtec": write_mvtec,
    "huggingface": write_huggingface,
    "parquet": write_parquet,
}
"""How pictures are written in each format: the one thing that a new format adds here."""
