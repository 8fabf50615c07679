"""What the files beside YOLO's labels say: the names of the classes, and where the splits are.

``data.yaml`` of Ultralytics and Roboflow, ``obj.data`` and ``obj.names`` of Darknet, ``classes.txt`` of
LabelImg.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from automl.data.formats.listing import SPLIT_NAMES
from automl.errors import DataError
from automl.records import Split
from automl.units import plural

__all__ = ["NAMES_FILES", "Names", "filled_lines", "find_names", "parts_of"]

NAMES_FILES = ("classes.txt", "names.txt", "class_names.txt", "predefined_classes.txt")
"""Text files that name classes, lower case; so do ``*.names`` and ``*.labels``."""

_MAX_BYTES = 4 << 20
_LOOKED_AT = 20
_USUAL = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")


@dataclass(frozen=True)
class Names:
    """The classes by number, and where that and the splits are written. Files as relative paths."""

    by_number: Mapping[int, str]
    files: tuple[str, ...] = ()
    entries: tuple[tuple[Split, str], ...] = ()
    """Split, and what is named for it: a folder of images or a list of them."""
    base: str = ""
    """The folder that entries count from, as written."""
    has_key_points: bool = False
    """Whether points of a pose follow the box in each line."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of their numbers."""
        return tuple(self.by_number[number] for number in sorted(self.by_number))

    def of(self, number: int) -> str | None:
        """Return the name of a class; its number where no file names any."""
        return self.by_number.get(number) if self.by_number else str(number)

    def unknown(self, word: str) -> str:
        """Say that a number is that of no class."""
        source = self.files[0] if self.files else "data.classes"
        known = plural(len(self.by_number), "class", "classes")
        return f"class {word}, where {source} names {known} from 0 to {max(self.by_number)}"


def find_names(
    root: Path, files: list[str], *, wanted: tuple[str, ...], chosen: str | None
) -> Names:
    """Return what the file nearest to the root says of classes and splits.

    Args:
        root: Folder of the data.
        files: Text and YAML files below it.
        wanted: The spec's classes, which name the numbers where no file does.
        chosen: The YAML file that the spec names, if any.

    Raises:
        DataError: when the file cannot be understood, or several name different classes.
    """
    usual = [path for path in files if path.lower().endswith((".yaml", ".yml", ".data"))]
    usual.sort(key=lambda path: (path != chosen, path.count("/"), not path.endswith(_USUAL), path))
    for path in usual[:_LOOKED_AT]:
        names = _from_data(root, path) if path.endswith(".data") else _from_yaml(root, path)
        if names is not None:
            return names
        if path == chosen:
            raise DataError(f"'{root / path}' names no classes. Add them under the key 'names'.")
    lists = [path for path in files if _is_names_file(path)]
    if not lists:
        return Names(dict(enumerate(wanted)))
    contents = {path: filled_lines(root / path) for path in lists}
    other = next((path for path in lists if contents[path] != contents[lists[0]]), None)
    if other is not None:
        raise DataError(
            f"'{lists[0]}' and '{other}' in '{root}' name different classes, so that the numbers "
            "in the labels could mean either. Keep the one that is right, or write a data.yaml."
        )
    if not contents[lists[0]]:
        raise DataError(f"'{root / lists[0]}' is empty. Write the name of each class, one a line.")
    return Names(dict(enumerate(contents[lists[0]])), tuple(lists))


def _from_yaml(root: Path, path: str) -> Names | None:
    """Return what a YAML file says; nothing when it has no ``names`` (it is about something else)."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(_text(root / path))
    except (YAMLError, ValueError) as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        line = f", line {mark.line + 1}" if mark is not None else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DataError(f"{root / path}{line}: not YAML ({reason}). Correct it.") from error
    if not isinstance(content, dict) or "names" not in content:
        return None
    by_number = _numbered(content["names"])
    if by_number is None:
        raise DataError(
            f"{root / path}: 'names' must list the names of the classes, or give each number its "
            f"name; got {str(content['names'])[:80]!r}."
        )
    count = content.get("nc", len(by_number))
    if count != len(by_number):
        raise DataError(
            f"{root / path}: 'nc' is {count}, but 'names' has {len(by_number)}. Correct one of them."
        )
    entries = tuple(
        (SPLIT_NAMES[key.lower()], entry)
        for key, value in content.items()
        if isinstance(key, str) and key.lower() in SPLIT_NAMES
        for entry in (value if isinstance(value, list) else [value])
        if isinstance(entry, str) and entry.strip()
    )
    base = content.get("path")
    return Names(
        by_number,
        (path,),
        entries,
        base if isinstance(base, str) else "",
        has_key_points="kpt_shape" in content,
    )


def _from_data(root: Path, path: str) -> Names | None:
    """Return what Darknet's ``obj.data`` says: ``key = value`` lines."""
    rows = (row.partition("=") for row in filled_lines(root / path))
    values = {key.strip().lower(): value.strip() for key, _, value in rows}
    parts = parts_of(values.get("names", ""))
    for at in range(len(parts)):
        named = "/".join(parts[at:])
        if (root / named).is_file():
            entries = tuple(
                (SPLIT_NAMES[key], value)
                for key, value in values.items()
                if key in SPLIT_NAMES and value
            )
            return Names(dict(enumerate(filled_lines(root / named))), (path, named), entries)
    return None


def _numbered(names: object) -> dict[int, str] | None:
    """Return names by number from a list or mapping, or ``None`` when it is neither."""
    pairs: list[tuple[object, object]]
    if isinstance(names, dict):
        pairs = list(names.items())
    elif isinstance(names, list):
        pairs = list(enumerate(names))
    else:
        return None
    result: dict[int, str] = {}
    for number, name in pairs:
        is_number = isinstance(number, int) and number >= 0
        if not is_number or not isinstance(name, (str, int, float)) or not str(name).strip():
            return None
        result[int(str(number))] = str(name).strip()
    return result if result and len(set(result.values())) == len(result) else None


def parts_of(path: str) -> list[str]:
    """Return the parts of a path of any machine that lead downwards."""
    return [part for part in path.strip().replace("\\", "/").split("/") if part.strip(".")]


def _is_names_file(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    return name in NAMES_FILES or name.endswith((".names", ".labels"))


def filled_lines(file: Path) -> list[str]:
    """Return the lines that are not blank, without spaces around them."""
    return [line.strip() for line in _text(file).splitlines() if line.strip()]


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(f"'{file}' is larger than 4 MiB: too large for names of classes.")
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"'{file}' cannot be read ({error.strerror}). Check its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"'{file}' is not UTF-8. Save it as UTF-8.") from error
