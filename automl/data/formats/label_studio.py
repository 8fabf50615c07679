"""Label Studio's JSON export: choices, rectangles, ellipses, outlines and brushes, in percent.

One array of tasks, read task by task. Of several annotations of a task the first that was not
cancelled counts, as no vote could be taken between outlines; drafts and predictions are no
annotations. Label Studio renames what is uploaded (``/data/upload/3/0a1b2c3d-screw.jpg``), so that
images are looked for under the name in its storage, and under the one they had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.images import ImageIndex, leftovers
from automl.data.formats.json_items import array_items
from automl.data.formats.label_studio_regions import is_region, region, short
from automl.data.formats.listing import (
    SPLIT_NAMES,
    Listing,
    ReadOptions,
    is_hidden,
    is_image_name,
    walk,
)
from automl.errors import DataError
from automl.records import TruthKind

__all__ = ["LabelStudioFormat"]

_HEAD_CHARACTERS = 1 << 16
_FILES_LOOKED_AT = 50
"""LabelMe has a JSON file for every image; Label Studio has one for all."""
_ANNOTATIONS = re.compile(r'"(annotations|completions)"\s*:\s*\[')
_DATA = re.compile(r'"data"\s*:\s*\{')
_FOLDERS = ("images", "")
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""
_WITHOUT_AREA = ("keypoint", "vector", "video")


class LabelStudioFormat:
    """Reads an export "JSON" and the images beside it or below ``images/``."""

    name = "label-studio"
    truths: tuple[TruthKind, ...] = ("label", "boxes", "mask")

    def recognise(self, root: Path) -> str | None:
        """Say which file is Label Studio's."""
        files = _files(root)
        return f"'{files[0].name}' is a Label Studio export" if files else None

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """Read every export at the top of the folder."""
        files = _files(root)
        if not files:
            raise DataError(
                "The format 'label-studio' needs a JSON file of tasks with 'data' and 'annotations'; "
                f"'{root}' has none. Export the project as 'JSON' (not 'JSON-MIN'), put its images "
                "beside the file, and name the folder in the spec's data.path."
            )
        folder = files[0].parent
        found = walk(folder)
        builder = AnnotationBuilder(folder, options, source=", ".join(file.name for file in files))
        index = ImageIndex(found.images)
        reader = _Reader(builder, index, options.truth)
        for file in files:
            for line, task in array_items(file):
                reader.add(task, where=f"{file.name}, line {line}")
        builder.unannotated(path for path in found.images if not builder.is_known(path))
        return builder.finish(
            files_seen=len(found.images),
            findings=(*leftovers(found, [file.name for file in files]), *index.findings()),
        )


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix.lower() == ".json" and _is_export(root) else []
    entries = (
        entry
        for entry in root.iterdir()
        if entry.suffix.lower() == ".json" and not is_hidden(entry.name)
    )
    return sorted(
        entry
        for entry in islice(entries, _FILES_LOOKED_AT)
        if entry.is_file() and _is_export(entry)
    )


def _is_export(file: Path) -> bool:
    """Whether a file begins like an array of tasks."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            head = stream.read(_HEAD_CHARACTERS)
    except OSError:
        return False
    return head.lstrip().startswith("[") and bool(_ANNOTATIONS.search(head) or _DATA.search(head))


class _Reader:
    """Turns tasks into entries of the builder."""

    def __init__(self, builder: AnnotationBuilder, index: ImageIndex, truth: TruthKind) -> None:
        self._builder, self._index, self._truth = builder, index, truth
        self._question = ""
        """The field of the form whose choices are the classes of images."""

    def add(self, task: object, *, where: str) -> None:
        """Take one task in, or note why not."""
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            return self._builder.note("malformed-entry", where, value=f"no task: {short(task)}")
        if "id" in task:
            where += f", task {task['id']}"
        written = _image_of(task["data"])
        if written is None:
            return self._builder.note("malformed-entry", where, value="a task without an image")
        paths = self._find(written)
        if len(paths) != 1:
            rule = "ambiguous-image" if paths else "missing-image"
            return self._builder.note(rule, where, value=written)
        return self._add_to(paths[0], task, where=where)

    def _add_to(self, path: str, task: dict[str, Any], *, where: str) -> None:
        if self._builder.is_known(path):
            return self._builder.note("duplicate-entry", where, path=path, value=path)
        answers = [
            one
            for one in task.get("annotations", task.get("completions")) or ()
            if isinstance(one, dict) and not one.get("was_cancelled")
        ]
        if not answers:
            return None  # so nobody has annotated it
        if len(answers) > 1:
            self._builder.note("several-annotators", where, path=path)
        results = [one for one in answers[0].get("result") or () if isinstance(one, dict)]
        image = self._builder.image(
            path,
            split=self._split(task["data"], path),
            size=next((size for one in results if (size := _size(one)) is not None), None),
            where=where,
        )
        if image is not None:
            for result in results:
                self._add_result(image, result, where=where)
        return None

    def _find(self, written: str) -> tuple[str, ...]:
        """Return the images that a task may mean, by its address and by the name before upload."""
        found: tuple[str, ...] = ()
        for name in _names(written):
            found = self._index.find(name, folders=_FOLDERS)
            if found:
                return found
        return found

    def _split(self, data: Mapping[str, Any], path: str) -> Any:
        word = data.get("split")
        given = SPLIT_NAMES.get(word.lower()) if isinstance(word, str) else None
        return given or self._index.split_of(path)

    def _add_result(self, image: int, result: dict[str, Any], *, where: str) -> None:
        """Take one region or choice in."""
        kind, value = str(result.get("type", "")), result.get("value")
        path = self._builder.path(image)
        if not isinstance(value, dict):
            return
        if "choices" in value and not is_region(value):
            self._choose(image, result, value["choices"], where=where)
        elif self._truth == "label":
            return
        elif kind.startswith(_WITHOUT_AREA):
            self._builder.note("ignored-shape", where, path=path, value=kind)
        elif is_region(value):
            self._add_region(image, kind, result, value, where=where)

    def _choose(self, image: int, result: dict[str, Any], choices: object, *, where: str) -> None:
        question = str(result.get("from_name", ""))
        self._question = self._question or question
        path = self._builder.path(image)
        if self._truth != "label":
            return
        if question != self._question:
            self._builder.note("ignored-annotation", where, path=path, value=question)
        elif not isinstance(choices, list) or len(choices) != 1:
            self._builder.note(
                "malformed-entry", where, path=path, value=f"choices {short(choices)}, not one"
            )
        else:
            self._builder.label(image, str(choices[0]), where=where)

    def _add_region(
        self, image: int, kind: str, result: dict[str, Any], value: dict[str, Any], *, where: str
    ) -> None:
        path = self._builder.path(image)
        labels = value.get(kind) or value.get("labels")
        if kind in _BARE and not labels:
            return None  # the same region follows (or came) with its label
        if not isinstance(labels, list) or not labels:
            return self._builder.note(
                "malformed-entry", where, path=path, value=f"a {kind} without a label"
            )
        if result.get("image_rotation"):
            problem = f"a {kind} on an image turned by {short(result['image_rotation'])} degrees"
            return self._builder.note("malformed-entry", where, path=path, value=problem)
        try:
            add = region(value, _size(result))
        except KeyError as error:
            problem = f"a {kind} without {error.args[0]}"
            return self._builder.note("malformed-entry", where, path=path, value=problem)
        except (TypeError, ValueError) as error:
            return self._builder.note("malformed-entry", where, path=path, value=f"{kind}: {error}")
        add(self._builder, image, str(labels[0]), where)
        return None


_BARE = ("rectangle", "ellipse", "polygon", "brush")
"""Regions without a name: a result of the same id, of type ``labels``, has the name too."""


def _size(result: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (height, width) of the image as a result claims it."""
    height, width = result.get("original_height"), result.get("original_width")
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        return None
    return height, width


def _image_of(data: Mapping[str, Any]) -> str | None:
    """Return the address of a task's image: the field ``image``, or the first that names one."""
    values = [data.get("image"), *data.values()]
    texts = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    return next((text for text in texts if any(map(is_image_name, _names(text)))), None)


def _names(written: str) -> Iterator[str]:
    """Yield the paths that an address may stand for, likeliest first."""
    address = urlsplit(written)
    query = parse_qs(address.query)
    path = query["d"][0] if "d" in query else unquote(address.path)
    folder, _, name = path.replace("\\", "/").rpartition("/")
    yield f"{folder.lstrip('/')}/{name}".lstrip("/")
    short = _UPLOAD_PREFIX.sub("", name, count=1)
    if short != name:
        yield short
