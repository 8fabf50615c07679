"""Hugging Face's parquet files: one row an image, the encoded image itself in a column.

Images stay where they are: a sample's path is ``data/train-00000-of-00001.parquet#0000017``,
which :mod:`automl.data.source` reads. Only the columns that describe the images are read here, some thousand
rows at a time, so that a million rows take little memory however large the images are.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.class_lists import LIST_NAMES, read_class_list
from automl.data.formats.hub_rows import (
    IMAGE_COLUMNS,
    MASK_COLUMNS,
    ClassNames,
    RowReader,
    class_names,
    first_of,
    plain_columns,
    size_of,
    split_of,
)
from automl.data.formats.images import all_files, leftovers, sample_files
from automl.data.formats.listing import SPLIT_NAMES, Listing, ReadOptions, Walk, walk
from automl.data.formats.mask_codings import Coded, choose_coding
from automl.data.parquet_images import image_columns
from automl.data.source import member_path, read_source
from automl.errors import DataError
from automl.records import Split, TruthKind

__all__ = ["ParquetFormat"]

_SUFFIX = ".parquet"
_ROWS_AT_ONCE = 4096
_SPLIT_OF_NAME = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?=[-_.])", re.IGNORECASE)


@dataclass(frozen=True)
class _Columns:
    """Where a file has its images and masks: embedded (structs of bytes and path), or as paths."""

    image: str
    is_embedded: bool
    mask: str | None
    mask_is_embedded: bool
    others: tuple[str, ...]
    names: ClassNames


class ParquetFormat:
    """Reads parquet files with a column of images and what is known of each."""

    name = "parquet"
    truths: tuple[TruthKind, ...] = ("label", "boxes", "mask")

    def recognise(self, root: Path) -> str | None:
        """Say which file holds images."""
        if root.is_file():
            paths = [root.name] if root.suffix.lower() == _SUFFIX else []
            folder = root.parent
        else:
            paths, folder = sample_files(root, _SUFFIX), root
        if not paths or _columns(folder / paths[0], "label") is None:
            return None
        return f"'{paths[0]}' holds images and what is known of them: parquet"

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """Name every row of every file that has an image."""
        folder = root.parent if root.is_file() else root
        found = walk(root) if root.is_dir() else Walk()
        files = [root.name] if root.is_file() else all_files(found, _SUFFIX)
        if not files:
            raise DataError(
                f"The format 'parquet' needs a file that ends in .parquet; '{root}' has none. Name "
                "the folder that holds them in the spec's data.path."
            )
        source = files[0] if len(files) == 1 else root.name
        reader = _Reader(AnnotationBuilder(folder, options, source=source), folder, options.truth)
        for file in files:
            reader.add(file)
        masks = reader.add_masks(options)
        left = [path for path in found.images if not reader.is_known(path)]
        reader.builder.unannotated(left)
        return reader.builder.finish(
            classes=masks.coding.names if masks else reader.class_order(),
            files_seen=reader.rows + len(left),
            findings=(*leftovers(found, [*files, *LIST_NAMES]), *(masks.findings if masks else ())),
        )


class _Reader:
    """Adds the rows of files to a builder."""

    def __init__(self, builder: AnnotationBuilder, root: Path, truth: TruthKind) -> None:
        self.builder = builder
        self.rows = 0
        self._root, self._truth = root, truth
        self._masks: list[tuple[int, str]] = []
        self._files_of_masks: set[str] = set()
        self._silent: set[str] = set()
        """Images of rows that say nothing of them."""
        self._names = ClassNames()

    def add(self, file: str) -> None:
        """Add one file; a damaged one, or one without images, is noted."""
        from pyarrow import ArrowException

        columns = _columns(self._root / file, self._truth)
        if columns is None:
            return self.builder.note("malformed-file", file, value="no parquet file with images")
        self._names = columns.names
        rows = RowReader(self.builder, columns.names, self._truth)
        split = _split_of_path(file)
        try:
            for number, row in _rows(self._root / file, columns):
                self.rows += 1
                self._add_row(file, number, row, columns, rows, split)
        except (ArrowException, OSError) as error:
            text = str(error).strip().splitlines()[0][:200]
            self.builder.note("malformed-file", file, value=text)
        return None

    def is_known(self, path: str) -> bool:
        """Whether a row names a file, as an image or as a mask."""
        return self.builder.is_known(path) or path in self._files_of_masks or path in self._silent

    def add_masks(self, options: ReadOptions) -> Coded | None:
        """Find out how the masks are coded, and add them."""
        if not self._masks:
            return None
        coded = choose_coding(
            [path for _, path in self._masks],
            lambda path: read_source(self._root, path),
            options=options,
            listed_classes=read_class_list([self._root]),
            where=f"'{self._masks[0][1].partition('#')[0]}'",
        )
        for image, path in self._masks:
            self.builder.mask_file(image, path, coded.coding, where=path)
        return coded

    def class_order(self) -> tuple[str, ...] | None:
        """Return the classes in the order of the files' description, if there is one."""
        return (self._names.label if self._truth == "label" else self._names.objects) or None

    def _add_row(
        self,
        file: str,
        number: int,
        row: Mapping[str, Any],
        columns: _Columns,
        rows: RowReader,
        split: Split | None,
    ) -> None:
        where = f"{file}, row {number}"
        path = _image_path(file, number, row, columns)
        if path is None:
            return self.builder.note("malformed-entry", where, value="a row without an image")
        if not columns.is_embedded and self.is_known(path):
            return self.builder.note("duplicate-entry", where, path=path, value=path)
        own = split or split_of(row)
        if rows.is_silent(row):
            self._silent.add(path)
            return self.builder.unannotated([path], split=own)
        image = self.builder.image(path, split=own, size=size_of(row), where=where)
        if image is None:
            return None
        if self._truth != "mask" or columns.mask is None:
            rows.add(image, row, where=where)
        else:
            mask = row.get(columns.mask)
            if columns.mask_is_embedded:
                self._masks.append((image, member_path(file, number, columns.mask)))
            elif isinstance(mask, str) and mask:
                self._masks.append((image, _beside(file, mask)))
                self._files_of_masks.add(self._masks[-1][1])
        return None


def _columns(file: Path, truth: TruthKind) -> _Columns | None:
    """Return where a file has its images; ``None``: it has none, or is damaged."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        schema = parquet.read_schema(file)
    except (pyarrow.ArrowException, OSError):
        return None
    embedded = image_columns(schema)
    texts = [
        field.name
        for field in schema
        if pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type)
    ]
    beside = first_of(IMAGE_COLUMNS, dict.fromkeys(texts))
    if not embedded and beside is None:
        return None
    masks = [name for name in MASK_COLUMNS if name in embedded[1:]] or list(embedded[1:])
    mask = masks[0] if masks else first_of(MASK_COLUMNS, dict.fromkeys(texts))
    image = embedded[0] if embedded else str(beside)
    others = [name for name in plain_columns(schema.names, truth) if name not in (image, *embedded)]
    return _Columns(image, bool(embedded), mask, bool(masks), tuple(others), _described(schema))


def _described(schema: Any) -> ClassNames:
    """Return the names of classes that the ``datasets`` library wrote into a schema."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return class_names(described["info"]["features"])
    except (ValueError, KeyError, TypeError):
        return ClassNames()  # not written by it


def _rows(file: Path, columns: _Columns) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield number and content of each row, without the content of its images."""
    import pyarrow.parquet as parquet

    wanted = list(columns.others)
    if not columns.is_embedded:
        wanted.append(columns.image)
    if columns.mask is not None and not columns.mask_is_embedded:
        wanted.append(columns.mask)
    number = 0
    with parquet.ParquetFile(file, pre_buffer=False, memory_map=False) as opened:
        if not wanted:
            yield from ((at, {}) for at in range(opened.metadata.num_rows))
            return
        for batch in opened.iter_batches(_ROWS_AT_ONCE, columns=wanted, use_threads=False):
            for row in batch.to_pylist():
                yield number, row
                number += 1


def _image_path(file: str, number: int, row: Mapping[str, Any], columns: _Columns) -> str | None:
    if columns.is_embedded:
        return member_path(file, number)
    name = row.get(columns.image)
    return _beside(file, name) if isinstance(name, str) and name.strip() else None


def _beside(file: str, name: str) -> str:
    folder = posixpath.dirname(file)
    return posixpath.normpath(posixpath.join(folder, name.strip().replace("\\", "/")))


def _split_of_path(file: str) -> Split | None:
    """Return the split that the name of a file, or of one of its folders, begins with."""
    *folders, name = file.split("/")
    match = _SPLIT_OF_NAME.match(name)
    if match:
        return SPLIT_NAMES[match[1].lower()]
    return next((SPLIT_NAMES[f.lower()] for f in folders if f.lower() in SPLIT_NAMES), None)
