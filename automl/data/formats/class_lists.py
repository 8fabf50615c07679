"""The list of classes that lies beside masks: names by number, and perhaps the colour of each."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.errors import DataError
from automl.units import plural

__all__ = ["LIST_NAMES", "ClassList", "color", "read_class_list"]

LIST_NAMES = (
    "classes.txt", "class_names.txt", "obj.names", "labels.txt", "labelmap.txt",
    "classes.csv", "class_dict.csv", "colormap.csv", "colors.csv", "label_colors.txt",
)  # fmt: skip
_COLOR = re.compile(r"#?([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class ClassList:
    """Classes in the order of their numbers, and perhaps the colour (``#rrggbb``) of each."""

    source: Path
    names: tuple[str, ...]
    colors: tuple[str, ...] = ()

    def path(self, root: Path) -> str:
        """Return where the list lies, relative to the root."""
        return self.source.relative_to(root).as_posix()


def read_class_list(folders: Sequence[Path]) -> ClassList | None:
    """Return the first list of classes in some folders; ``None``: there is none.

    One class a line, or ``name,r,g,b`` (with or without a header), or ``name r g b``, or CVAT's
    ``name:r,g,b::``. Lines that begin with ``#`` are comments.

    Raises:
        DataError: not readable, not UTF-8, a colour that is none, or a class named twice.
    """
    for folder in folders:
        for name in LIST_NAMES:
            if (folder / name).is_file():
                return _parse_list(folder / name)
    return None


def _parse_list(file: Path) -> ClassList:
    names: list[str] = []
    colors: list[str] = []
    for number, line in enumerate(_lines(file), start=1):
        cells = _cells(line)
        if not cells or line.lstrip().startswith("#"):
            continue
        name, *rest = cells
        if len(rest) >= 3 and not names and not any(cell.isdecimal() for cell in rest):
            continue  # the header
        where = f"{file}, line {number}"
        if name in names:
            raise DataError(f"{where}: the class '{name}' is named twice. Name each once.")
        names.append(name)
        if len(rest) >= 3 or (rest and _COLOR.fullmatch(rest[0])):
            colors.append(color(rest[0] if len(rest) < 3 else ",".join(rest[:3]), where))
    if not names:
        raise DataError(f"'{file}' names no class. Write one a line, or remove the file.")
    if colors and len(colors) < len(names):
        raise DataError(
            f"'{file}' gives {plural(len(colors), 'colour')} for {plural(len(names), 'class', 'classes')}."
            " Give each class a colour (name,r,g,b), or none."
        )
    return ClassList(file, tuple(names), tuple(colors))


def _cells(line: str) -> list[str]:
    """Return name and colour of a line, however they are divided."""
    text = line.strip()
    cvat = re.fullmatch(r"([^:]+):(\d+,\d+,\d+):.*", text)
    if cvat:
        return [cvat[1].strip(), *cvat[2].split(",")]
    if "," in text:
        return [cell.strip() for cell in next(csv.reader([text]))]
    spaced = re.fullmatch(r"(.+?)[ \t]+(\d+)[ \t]+(\d+)[ \t]+(\d+)", text)
    return [part.strip() for part in spaced.groups()] if spaced else [text] if text else []


def color(text: str, where: str) -> str:
    """Return ``#rrggbb`` of that or of ``r,g,b``; ``where`` is what to name in the message.

    Raises:
        DataError: it is no colour.
    """
    match = _COLOR.fullmatch(text.strip())
    if match:
        return f"#{match[1].lower()}"
    parts = text.split(",")
    if len(parts) == 3 and all(p.strip().isdecimal() and int(p) < 256 for p in parts):
        return "#" + "".join(f"{int(part):02x}" for part in parts)
    raise DataError(f"{where}: '{text}' is no colour. Write '#rrggbb', or r,g,b from 0 to 255.")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"'{file}' is not UTF-8 text. Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"'{file}' cannot be read ({error.strerror}).") from error
