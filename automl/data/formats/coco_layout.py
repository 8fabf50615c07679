"""Where COCO's files and the images they speak of lie, and which split each file is.

There is no one layout: COCO itself has ``annotations/instances_train2017.json`` beside ``train2017/``,
Roboflow ``train/_annotations.coco.json`` among the images, other tools one file beside ``images/``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from automl.data.formats.images import folder_split, stem
from automl.data.formats.json_items import beginning, object_items
from automl.data.formats.listing import SPLIT_NAMES, is_image_name
from automl.records import Split

__all__ = [
    "ROBOFLOW",
    "chosen_files",
    "folder_of_images",
    "folders_of",
    "is_coco",
    "refuse_broken",
    "splits_of_files",
]

_ARRAY = re.compile(r'"(images|annotations|categories)"\s*:\s*\[\s*\{')
_SIGNS = ('"file_name"', '"image_id"', '"category_id"', '"supercategory"')
"""One of the arrays, and one of the keys in them, tell COCO from other JSON."""
ROBOFLOW = "_annotations.coco.json"
"""Roboflow's file in the folder of each split."""
_ENDS_OF_FOLDERS = ("images", "data")
"""Where exporters put the images beside the JSON file."""


def is_coco(file: Path) -> bool:
    """Whether a file begins like one of COCO. Reads 64 KiB of it."""
    text = beginning(file)
    is_object = text.lstrip()[:1] == "{"
    return is_object and _ARRAY.search(text) is not None and any(sign in text for sign in _SIGNS)


def refuse_broken(folder: Path, files: list[str]) -> None:
    """Raise what is wrong with the first files, which may be COCO's but for a fault."""
    for path in files[:5]:
        for _ in object_items(folder / path, "images"):
            pass


def chosen_files(folder: Path, files: list[str]) -> list[str]:
    """Return the COCO files; where some are called ``instances…``, those alone."""
    found = [path for path in files if is_coco(folder / path)]
    instances = [path for path in found if stem(path).lower().startswith("instances")]
    return instances or found


def folder_of_images(file: Path) -> Path:
    """Return the folder of a file's images: its own, or the one above ``annotations``."""
    if file.parent.name.lower() not in ("annotations", "labels", "json"):
        return file.parent
    with_images = any(is_image_name(entry.name) for entry in file.parent.iterdir())
    return file.parent if with_images else file.parent.parent


def folders_of(file: str) -> list[str]:
    """Return where the images of a file may be, the likeliest first."""
    here = posixpath.dirname(file)
    above = posixpath.dirname(here) if here else ""
    subset = re.sub(r"^(instances|annotations?|coco|person_keypoints)[_-]*", "", stem(file))
    ends = [""]
    for end in _ENDS_OF_FOLDERS:
        ends += [end, f"{end}/{subset}", f"{subset}/{end}"]
    ends.append(subset)
    folders = [posixpath.join(base, end).rstrip("/") for base in (here, above) for end in ends]
    return list(dict.fromkeys(folders))


def splits_of_files(files: list[str]) -> dict[str, Split]:
    """Return the split of each file; none unless one is for training and another is not."""
    splits = {file: split for file in files if (split := _word_split(file) or folder_split(file))}
    kinds = set(splits.values())
    return splits if Split.TRAIN in kinds and len(kinds) > 1 else {}


def _word_split(file: str) -> Split | None:
    words = re.split(r"[^a-z]+", stem(file).lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)
