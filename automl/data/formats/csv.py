"""A CSV file that names each image and its label, and perhaps its split."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from automl.data.formats.listing import (
    Listing,
    ReadOptions,
    choose_classes,
    is_hidden,
    is_image_name,
)
from automl.data.formats.rows import RowReader
from automl.errors import DataError, did_you_mean
from automl.records import TruthKind

__all__ = ["CsvFormat", "Table", "open_table"]

_SUFFIXES = (".csv", ".tsv")
_USUAL_NAMES = ("labels", "annotations", "dataset", "data", "index", "images", "list")
_PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img")
_LABEL_COLUMNS = ("label", "class", "class_name", "category", "target")
_SPLIT_COLUMNS = ("split", "subset", "set", "partition", "fold")
_LOOKED_AT = 20
_MAX_BYTES = 1 << 30
"""A list of a million rows has less than 0.2 GiB; more is some other file."""


@dataclass(frozen=True)
class Table:
    """A CSV file opened: where its columns are, and its rows with their line numbers."""

    file: Path
    delimiter: str
    header: bool
    path_column: int
    label_column: int
    split_column: int | None
    text: str

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line number (of the row's end) and cells of each row that is not blank."""
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=self.delimiter)
        try:
            filled = (cells for cells in reader if any(cell.strip() for cell in cells))
            for cells in islice(filled, int(self.header), None):
                yield reader.line_num, cells
        except csv.Error as error:
            raise DataError(
                f"{self.file}, line {reader.line_num}: not CSV ({error}). Correct that line."
            ) from error


class CsvFormat:
    """Reads ``path,label[,split]`` with or without a header, from the file or the folder that holds
    it.

    UTF-8 with or without byte order mark; comma, semicolon or tab. Paths count from the file's
    folder.
    """

    name = "csv"
    truths: tuple[TruthKind, ...] = ("label",)

    def recognise(self, root: Path) -> str | None:
        """Say which file names the images: at least half of its first rows must exist."""
        file = _list_file(root)
        if file is None:
            return None
        try:
            table = open_table(file)
            rows = list(islice(table.rows(), _LOOKED_AT))
        except DataError:
            # Explicitly named, the file is what the user means: `read` then says what is wrong.
            return f"'{file.name}' is a CSV file" if root.is_file() else None
        named = [cells[table.path_column].strip() for _, cells in rows if len(cells) > 1]
        present = sum(os.path.isfile(file.parent / name) for name in named)
        if root.is_dir() and (not named or present * 2 < len(named)):
            return None
        return f"'{file.name}' lists images with their labels"

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """List every row that names an image inside the folder; bad rows become findings."""
        file = _list_file(root)
        if file is None:
            raise DataError(
                f"The format 'csv' needs a CSV file with the columns path,label; '{root}' has none, "
                "or several. Name the file itself in the spec's data.path."
            )
        table = open_table(file)
        reader = RowReader(table.file, options.classes)
        for line, cells in table.rows():
            reader.add(
                line,
                cells,
                path_column=table.path_column,
                label_column=table.label_column,
                split_column=table.split_column,
            )
        samples = reader.samples()
        if not samples:
            raise DataError(_nothing_left(file, reader))
        found = {sample.label for sample in samples if sample.label is not None}
        known = found | reader.unknown_labels
        chosen = choose_classes(known, options.classes, where=f"'{file}'")
        return Listing(file.parent, chosen, samples, reader.findings(), files_seen=reader.named)


def open_table(file: Path) -> Table:
    """Read a CSV file's text and find its columns.

    Raises:
        DataError: not readable, not UTF-8, empty, or without the columns path and label.
    """
    text = _text(file)
    first = next((line for line in io.StringIO(text) if line.strip()), None)
    if first is None:
        raise DataError(f"'{file}' is empty. Write one row per image: path,label.")
    delimiter = max(",;\t", key=first.count)
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter))]
    if len(cells) < 2:
        raise DataError(
            f"{file}, line 1: needs at least two columns, path and label, divided by a comma, "
            f"semicolon or tab; got '{first.strip()[:80]}'."
        )
    names = [cell.lower() for cell in cells]
    path, label = _column(names, _PATH_COLUMNS), _column(names, _LABEL_COLUMNS)
    if path is not None and label is not None:
        return Table(file, delimiter, True, path, label, _column(names, _SPLIT_COLUMNS), text)
    if is_image_name(cells[0]):
        return Table(file, delimiter, False, 0, 1, 2 if len(cells) > 2 else None, text)
    missing, known = ("path", _PATH_COLUMNS) if path is None else ("label", _LABEL_COLUMNS)
    likely = [name for name in names if did_you_mean(name, known).startswith(" Did")]
    hint = f" Is it the column '{likely[0]}'?" if likely else ""
    raise DataError(
        f"{file}, line 1: no column is called '{missing}'; got {', '.join(cells)[:200]}.{hint} "
        "Name the columns path,label (and split, if you wish), or leave the header out."
    )


def _list_file(root: Path) -> Path | None:
    """The path itself, or the one CSV file in the folder (a usual name wins over others)."""
    if root.is_file():
        return root if root.suffix.lower() in (*_SUFFIXES, ".txt") else None
    files = sorted(
        entry
        for entry in root.iterdir()
        if entry.suffix.lower() in _SUFFIXES and not is_hidden(entry.name) and entry.is_file()
    )
    usual = [file for file in files if file.stem.lower() in _USUAL_NAMES]
    if len(usual) == 1:
        return usual[0]
    return files[0] if len(files) == 1 else None


def _column(names: list[str], known: tuple[str, ...]) -> int | None:
    for name in known:
        if name in names:
            return names.index(name)
    return None


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(f"'{file}' is larger than 1 GiB: too large for a list of images.")
        content = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"'{file}' cannot be read ({error.strerror}). Check its permissions."
        ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{file}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8. "
            "Save the file as 'CSV UTF-8'."
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{file}, line {line}: holds a NUL character. Save it as 'CSV UTF-8'.")
    return text


def _nothing_left(file: Path, reader: RowReader) -> str:
    reasons = " ".join(found.message for found in reader.findings())
    return f"No row of '{file}' names an image that can be used. {reasons}".rstrip()
