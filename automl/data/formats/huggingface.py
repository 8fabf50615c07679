"""Hugging Face's ImageFolder with metadata: images, and beside them a file that describes each.

``metadata.jsonl`` or ``metadata.csv`` lies in the folder whose images it names, at the top or in
``train``, ``validation`` and ``test``. Every line is judged by itself; what is wrong is named by
file and line.
"""

from __future__ import annotations

import csv
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.class_lists import ClassList, read_class_list
from automl.data.formats.hub_rows import (
    IMAGE_COLUMNS,
    MASK_COLUMNS,
    ClassNames,
    RowReader,
    first_of,
    size_of,
    split_of,
)
from automl.data.formats.images import all_files, leftovers, sample_files
from automl.data.formats.listing import SPLIT_NAMES, Listing, ReadOptions, is_image_name, walk
from automl.data.formats.mask_codings import Coded, choose_coding
from automl.data.source import read_source
from automl.errors import DataError
from automl.records import Split, TruthKind

__all__ = ["HuggingfaceFormat"]

_FILES = ("metadata.jsonl", "metadata.csv")
_BOM = b"\xef\xbb\xbf"
_IMAGE_OF_LINE = re.compile(rb'"(?:%s)"\s*:\s*"([^"\\]+)"' % "|".join(IMAGE_COLUMNS).encode())
"""The image that a malformed line may still name."""


class HuggingfaceFormat:
    """Reads ``metadata.jsonl`` and ``metadata.csv``, with the column ``file_name``."""

    name = "huggingface"
    truths: tuple[TruthKind, ...] = ("label", "boxes", "mask")

    def recognise(self, root: Path) -> str | None:
        """Say which file describes the images beside it."""
        if not root.is_dir():
            return None
        for name in _FILES:
            for path in sample_files(root, name):
                if posixpath.basename(path) == name:
                    return f"'{path}' describes the images beside it: Hugging Face's ImageFolder"
        return None

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """Read every metadata file below the folder."""
        if not root.is_dir():
            raise DataError(
                f"The format 'huggingface' needs a folder; '{root}' is a file. Name the folder that "
                "metadata.jsonl lies in."
            )
        found = walk(root)
        files = [p for p in all_files(found, *_FILES) if posixpath.basename(p) in _FILES]
        if not files:
            raise DataError(
                f"The format 'huggingface' needs metadata.jsonl or metadata.csv; '{root}' has none. "
                'Write a line for each image: {"file_name": "1.png", "label": "good"}.'
            )
        source = files[0] if len(files) == 1 else root.name
        builder = AnnotationBuilder(root, options, source=source)
        reader = _Reader(builder, frozenset(found.images), options.truth)
        for file in files:
            for line, row in _rows(root, file, reader):
                reader.add(file, row, where=f"{file}, line {line}")
        classes = _class_list(root, reader.masks) if options.truth == "mask" else None
        coded = _add_masks(builder, reader.masks, root, options, classes)
        masks = reader.files_of_masks(found.images)
        left = [path for path in found.images if path not in masks and not reader.is_known(path)]
        builder.unannotated(left)
        used = [*files, *([classes.path(root)] if classes else [])]
        return builder.finish(
            classes=coded.coding.names if coded else None,
            files_seen=len(found.images) - len(masks),
            findings=(*leftovers(found, used), *(coded.findings if coded else ())),
        )


class _Reader:
    """Finds the image of each row and takes in what the row says of it."""

    def __init__(
        self, builder: AnnotationBuilder, images: frozenset[str], truth: TruthKind
    ) -> None:
        self._builder, self._images, self._truth = builder, images, truth
        self._rows = RowReader(builder, ClassNames(), truth)
        self.masks: list[tuple[int, str, str]] = []
        """Image, mask, and where that is written."""
        self._met: set[str] = set()
        """Images of rows that say nothing that can be used."""

    def is_known(self, path: str) -> bool:
        """Whether a row names an image."""
        return path in self._met or self._builder.is_known(path)

    def files_of_masks(self, paths: Iterable[str]) -> frozenset[str]:
        """Return those files that are masks: what rows name, and all beside it but images of rows."""
        named = {mask for _, mask, _ in self.masks}
        folders = {posixpath.dirname(mask) for mask in named}
        folders -= {posixpath.dirname(path) for path in paths if self.is_known(path)}
        return frozenset(p for p in paths if p in named or posixpath.dirname(p) in folders)

    def refuse(self, file: str, text: bytes, problem: str, *, where: str) -> None:
        """Note a line that is no row; the image that it speaks of is left out."""
        match = _IMAGE_OF_LINE.search(text)
        name = match[1].decode("utf-8", "replace") if match else ""
        path = _below(posixpath.dirname(file), name)
        is_there = bool(name) and path in self._images
        self._met.update([path] * is_there)
        self._builder.note("malformed-entry", where, path=path if is_there else "", value=problem)

    def add(self, file: str, row: Mapping[str, Any], *, where: str) -> None:
        """Take one row in, or note why not."""
        builder, folder = self._builder, posixpath.dirname(file)
        column = first_of(IMAGE_COLUMNS, row)
        name = row[column] if column is not None else None
        if not isinstance(name, str) or not name.strip():
            return builder.note("malformed-entry", where, value="a row without file_name")
        path = _below(folder, name)
        if path.startswith("../"):
            return builder.note("path-outside-root", where, value=name)
        if path not in self._images:
            return builder.note("missing-image", where, value=name)
        if self.is_known(path):
            return builder.note("duplicate-entry", where, path=path, value=path)
        split = _folder_split(file) or split_of(row)
        if self._rows.is_silent(row):
            self._met.add(path)
            return builder.unannotated([path], split=split)
        image = builder.image(path, split=split, size=size_of(row), where=where)
        if image is None:
            return None
        mask = _mask_of(row)
        if mask is not None:
            self.masks.append((image, _below(folder, mask), where))
        if mask is None or self._truth != "mask":
            self._rows.add(image, row, where=where)
        return None


def _add_masks(
    builder: AnnotationBuilder,
    masks: list[tuple[int, str, str]],
    root: Path,
    options: ReadOptions,
    classes: ClassList | None,
) -> Coded | None:
    """Find out how the masks are coded, and add them."""
    if not masks or options.truth != "mask":
        return None
    coded = choose_coding(
        [mask for _, mask, _ in masks],
        lambda path: read_source(root, path),
        options=options,
        listed_classes=classes,
        where=f"'{posixpath.dirname(masks[0][1]) or root.name}'",
    )
    for image, mask, where in masks:
        builder.mask_file(image, mask, coded.coding, where=where)
    return coded


def _class_list(root: Path, masks: list[tuple[int, str, str]]) -> ClassList | None:
    """Return the list of classes at the top, or beside the masks."""
    return read_class_list([root, *((root / mask).parent for _, mask, _ in masks[:1])])


def _rows(root: Path, file: str, reader: _Reader) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield line and content of each row; what is no row is noted.

    Raises:
        DataError: the file cannot be read, or is no CSV.
    """
    try:
        if file.endswith(".csv"):
            yield from _csv_rows(root / file)
            return
        with (root / file).open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                text = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
                if not text:
                    continue
                row, problem = _json_row(text)
                if row is None:
                    reader.refuse(file, text, problem, where=f"{file}, line {number}")
                else:
                    yield number, row
    except OSError as error:
        raise DataError(f"'{root / file}' cannot be read ({error.strerror or error}).") from error


def _json_row(text: bytes) -> tuple[Mapping[str, Any] | None, str]:
    """Return a row, or what is wrong with it."""
    try:
        row = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        return None, f"no UTF-8 text (byte {text[error.start]:#04x})"
    except json.JSONDecodeError as error:
        return None, f"no JSON: {error.msg} (column {error.colno})"
    except (ValueError, RecursionError) as error:
        return None, f"no JSON: {error}"
    if not isinstance(row, dict):
        return None, f"no row: {json.dumps(row)[:80]}"
    return row, ""


def _csv_rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            try:
                for row in reader:
                    yield reader.line_num, {k.strip(): v for k, v in row.items() if k and v}
            except csv.Error as error:
                raise DataError(
                    f"{file}, line {reader.line_num}: not CSV ({error}). Correct that line."
                ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"'{file}' is not UTF-8 text. Save it as UTF-8.") from error


def _below(folder: str, name: str) -> str:
    """Return the path of a file as a row of a file in a folder names it."""
    return posixpath.normpath(posixpath.join(folder, name.strip().replace("\\", "/")))


def _folder_split(file: str) -> Split | None:
    words = file.lower().split("/")[:-1]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def _mask_of(row: Mapping[str, Any]) -> str | None:
    for column in MASK_COLUMNS:
        value = row.get(column)
        if isinstance(value, str) and is_image_name(value.strip()):
            return value
    return None
