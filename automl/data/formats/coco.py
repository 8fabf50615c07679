"""COCO JSON: boxes, outlines and run lengths of many images in one file, or one file a split.

Files are streamed twice, since annotations may come before the images and categories that they name:
first those two, then the annotations, so that memory holds names and shapes but never the file.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.coco_layout import (
    ROBOFLOW,
    chosen_files,
    folder_of_images,
    folders_of,
    is_coco,
    refuse_broken,
    splits_of_files,
)
from automl.data.formats.images import (
    ImageIndex,
    all_files,
    claimed_size,
    leftovers,
    sample_files,
    shown_path,
)
from automl.data.formats.json_items import object_items
from automl.data.formats.listing import Listing, ReadOptions, walk
from automl.data.run_lengths import decode_compressed
from automl.errors import DataError
from automl.records import Split, TruthKind

__all__ = ["CocoFormat"]


class CocoFormat:
    """Reads JSON files with ``images``, ``annotations`` and ``categories``.

    Such a file lies in the folder, in ``annotations/``, or in the folder of each split. The names of
    the files (``instances_train2017.json``) or of their folders (``train/_annotations.coco.json``) give
    the split. Where ``instances_*.json`` are, other files (captions, key points) are passed over.
    Classes come in the order of their ids; crowds count neither way.
    """

    name = "coco"
    truths: tuple[TruthKind, ...] = ("boxes", "mask")

    def recognise(self, root: Path) -> str | None:
        """Say which JSON file describes images and their annotations."""
        if root.is_file():
            return f"'{root.name}' is a COCO JSON file" if is_coco(root) else None
        likely = [f"{split}/{ROBOFLOW}" for split in ("train", "valid", "test")]
        for path in [*likely, *sample_files(root, ".json", most=20)]:
            if (root / path).is_file() and is_coco(root / path):
                return f"'{path}' lists images and their annotations: COCO"
        return None

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """List every image that the files describe, with its boxes and outlines."""
        folder = folder_of_images(root) if root.is_file() else root
        found = walk(folder)
        given = [shown_path(folder, root)] if root.is_file() else all_files(found, ".json")
        files = given if root.is_file() else chosen_files(folder, given)
        if not files:
            refuse_broken(folder, given)
            raise DataError(
                f"No COCO file was found in '{root}': a JSON file with images, annotations and "
                "categories. Name the file itself in the spec's data.path."
            )
        index = ImageIndex(found.images)
        builder = AnnotationBuilder(folder, options, source=files[0])
        splits = splits_of_files(files)
        met: set[str] = set()
        classes: dict[tuple[int, str], str] = {}
        for file in files:
            reading = _Reading(folder / file, file, builder, index, splits.get(file))
            reading.run(options)
            met |= reading.met
            classes |= reading.classes()
        builder.unannotated(path for path in index.images if path not in met)
        names = dict.fromkeys(classes[key] for key in sorted(classes))
        return builder.finish(
            classes=tuple(names),
            files_seen=len(index.images),
            findings=(*leftovers(found, files), *index.findings()),
        )


class _Reading:
    """Takes in one file."""

    def __init__(
        self,
        path: Path,
        file: str,
        builder: AnnotationBuilder,
        index: ImageIndex,
        split: Split | None,
    ) -> None:
        self._path, self._file, self._builder = path, file, builder
        self._index, self._split = index, split
        self._folders = folders_of(file)
        self._images: dict[int | str, int | None] = {}
        """Number of each image by its id; ``None``: it is not there."""
        self._categories: dict[int | str, tuple[str, str]] = {}
        """Name and parent of each category by its id."""
        self._used: set[int | str] = set()
        self.met: set[str] = set()

    def run(self, options: ReadOptions) -> None:
        """Go through the file twice."""
        for kind, line, item in object_items(self._path, "images", "categories"):
            add = self._add_image if kind == "images" else self._add_category
            self._note(add(item, self._where(line)), line)
        for _, line, item in object_items(self._path, "annotations"):
            where = self._where(line)
            problem = self._add_annotation(item, where, wants_outline=options.truth == "mask")
            self._note(problem, line)

    def classes(self) -> dict[tuple[int, str], str]:
        """Return the names by the order of their ids, without a parent that has no objects itself."""
        parents = {parent for _, parent in self._categories.values()}
        return {
            _order(key): name
            for key, (name, _) in self._categories.items()
            if key in self._used or name not in parents
        }

    def _where(self, line: int) -> str:
        return f"{self._file}, line {line}"

    def _note(self, problem: str, line: int) -> None:
        if problem:
            where = self._where(line)
            self._builder.note("malformed-entry", where, path=self._file, value=problem)

    def _add_image(self, item: Any, where: str) -> str:
        """Take in an entry of ``images``; return what is wrong with it, if anything."""
        key = _key(item, "id")
        name = item.get("file_name") if isinstance(item, dict) else None
        if key is None:
            return "an image without id"
        if not isinstance(name, str) or not name.strip():
            return f"image {key} without file_name"
        if key in self._images:
            self._builder.note("duplicate-entry", where, value=name)
            return ""
        path = self._path_of(name, where)
        self._images[key] = None
        if path is None:
            return ""
        if path in self.met or self._builder.is_known(path):
            self._builder.note("duplicate-entry", where, path=path)
        self.met.add(path)
        split = self._split or self._index.split_of(path)
        size = claimed_size(item.get("height"), item.get("width"))
        self._images[key] = self._builder.image(path, split=split, size=size, where=where)
        return ""

    def _path_of(self, name: str, where: str) -> str | None:
        """Return the image meant by a name; the folder where the last one was is tried first."""
        meant = self._index.find(name, folders=self._folders, split=self._split)
        if len(meant) == 1:
            for at, folder in enumerate(self._folders):
                if at and posixpath.join(folder, posixpath.basename(name)) == meant[0]:
                    self._folders.insert(0, self._folders.pop(at))
                    break
            return meant[0]
        self.met.update(meant)
        self._builder.note(
            "ambiguous-image" if meant else "missing-image", where, path=self._file, value=name
        )
        return None

    def _add_category(self, item: Any, where: str) -> str:
        """Take in an entry of ``categories``; return what is wrong with it, if anything."""
        key = _key(item, "id")
        name = str(item.get("name", "")).strip() if isinstance(item, dict) else ""
        if key is None or not name:
            return "a category without id or name"
        if key in self._categories:
            self._builder.note("duplicate-entry", where, value=name)
            return ""
        self._categories[key] = (name, str(item.get("supercategory", "")))
        return ""

    def _add_annotation(self, item: Any, where: str, *, wants_outline: bool) -> str:
        """Take in an entry of ``annotations``; return what is wrong with it, if anything."""
        key, category = _key(item, "image_id"), _key(item, "category_id")
        if key is None or category is None:
            return "an annotation without image_id or category_id"
        if key not in self._images:
            self._builder.note("unknown-image", where, path=self._file, value=f"image_id {key}")
            return ""
        if category not in self._categories:
            return f"category_id {category}, which no category has"
        image = self._images[key]
        self._used.add(category)
        if image is None:
            return ""
        label = self._categories[category][0]
        is_ignored = bool(item.get("iscrowd")) or bool(item.get("ignore"))
        box, outline = item.get("bbox"), item.get("segmentation")
        if not outline or (box and not wants_outline):
            return self._add_box(image, label, box, where=where, ignored=is_ignored)
        return self._add_outline(image, label, outline, where=where, ignored=is_ignored)

    def _add_box(self, image: int, label: str, box: Any, *, where: str, ignored: bool) -> str:
        if not box:
            return "neither bbox nor segmentation"
        if not isinstance(box, list) or len(box) != 4 or not _are_numbers(box):
            return f"bbox {str(box)[:60]}"
        left, top, width, height = box
        corners = (left, top, left + width, top + height)
        self._builder.box(image, label, corners, where=where, ignored=ignored)
        return ""

    def _add_outline(
        self, image: int, label: str, outline: Any, *, where: str, ignored: bool
    ) -> str:
        if isinstance(outline, list):
            if not all(isinstance(ring, list) and _are_numbers(ring) for ring in outline):
                return f"segmentation {str(outline)[:60]}"
            self._builder.rings(image, label, outline, where=where, ignored=ignored)
            return ""
        size = outline.get("size") if isinstance(outline, dict) else None
        counts = outline.get("counts") if isinstance(outline, dict) else None
        if not isinstance(size, list) or not _are_whole(size) or len(size) != 2:
            return f"segmentation {str(outline)[:60]}"
        if isinstance(counts, str):
            try:
                counts = decode_compressed(counts)
            except ValueError as error:
                return str(error)
        if not isinstance(counts, list) or not _are_whole(counts):
            return f"segmentation {str(outline)[:60]}"
        height, width = size
        self._builder.run_lengths(
            image, label, counts, (height, width), where=where, ignored=ignored
        )
        return ""


def _order(key: int | str) -> tuple[int, str]:
    """Ids in the order of their values; those that are text come last."""
    return (key, "") if isinstance(key, int) else (1 << 62, key)


def _key(item: Any, name: str) -> int | str | None:
    """Return an id, or ``None`` when there is none that could be looked up."""
    key = item.get(name) if isinstance(item, dict) else None
    return key if isinstance(key, (int, str)) and not isinstance(key, bool) else None


def _are_numbers(values: list[Any]) -> bool:
    return all(type(value) in (int, float) for value in values)


def _are_whole(values: list[Any]) -> bool:
    return all(type(value) is int for value in values)
