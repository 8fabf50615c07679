"""What reading a data set's layout gives, before any image is opened."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from automl.data.findings import finding, listed, worded
from automl.errors import DataError, did_you_mean
from automl.records import Finding, Split, TruthKind
from automl.units import plural

if TYPE_CHECKING:
    from automl.data.annotations import Annotations

__all__ = [
    "SPLIT_NAMES",
    "Listing",
    "RawSample",
    "ReadOptions",
    "Walk",
    "choose_classes",
    "is_hidden",
    "is_image_name",
    "walk",
]

SPLIT_NAMES = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VAL,
    "valid": Split.VAL,
    "validation": Split.VAL,
    "test": Split.TEST,
    "testing": Split.TEST,
}
"""What people call the splits, lower case."""

_IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".ico", ".avif",
)  # fmt: skip
_NOT_DATA = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_DOCUMENTS = ("license", "licence", "readme", "copying", "notice", "citation")


@dataclass(frozen=True, slots=True)
class RawSample:
    """One image that the layout names. ``path`` is relative to the root, with forward slashes.

    ``split`` is the data's own, if it has one; ``line`` is where a list file names the image.
    """

    path: str
    label: str | None
    """The class of the whole image; ``None`` where there are boxes, outlines or masks instead."""
    split: Split | None
    line: int | None = None


@dataclass(frozen=True)
class ReadOptions:
    """How a layout is to be read."""

    truth: TruthKind
    """What is looked for: many layouts hold both boxes and outlines."""
    classes: tuple[str, ...] = ()
    """The classes in the order wanted; empty: all that are found."""
    unannotated: Literal["leave-out", "background"] = "leave-out"
    """What an image is that no annotation speaks of."""
    foreground: Literal["auto", "white", "black"] = "auto"
    colors: Mapping[str, str] = field(default_factory=dict)
    """Colour masks: class to ``#rrggbb``."""


@dataclass(frozen=True)
class Listing:
    """Every image that the layout names, in the order of the paths, each path once."""

    root: Path
    classes: tuple[str, ...]
    samples: tuple[RawSample, ...]
    findings: tuple[Finding, ...]
    files_seen: int
    """Images met, those left out included."""
    annotations: Annotations | None = None
    """What is known beside labels, by position of the sample."""


@dataclass
class Walk:
    """What lies under a folder. Paths are relative, with forward slashes, sorted."""

    images: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unnameable: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """Folders that may not be read."""
    documents: list[str] = field(default_factory=list)
    """Licences, read-me files and the like: not reported."""

    def findings(self) -> Iterator[Finding]:
        """Say what was passed over."""
        if self.closed:
            yield finding(
                "unreadable-folder",
                "error",
                f"Left out: {plural(len(self.closed), 'folder')} that could not be opened: "
                f"{listed(self.closed)}.",
                remedy=worded(
                    "Give the user who runs this the right to read and enter {it|them} (chmod a+rx).",
                    len(self.closed),
                ),
                paths=self.closed,
            )
        if self.unnameable:
            yield finding(
                "undecodable-name",
                "warning",
                f"Left out: {plural(len(self.unnameable), 'file')} with a name that is no text "
                f"(not UTF-8): {listed(self.unnameable)}.",
                remedy=worded("Rename {it|them}.", len(self.unnameable)),
                paths=self.unnameable,
            )
        if self.ignored:
            yield finding(
                "ignored-file",
                "info",
                f"Ignored: {plural(len(self.ignored), 'file')} with a name that is not an image's: "
                f"{listed(self.ignored)}.",
                remedy=worded(
                    "Nothing, unless {it|one of them} is an image; then name it like one.",
                    len(self.ignored),
                ),
                paths=self.ignored,
            )


def is_image_name(name: str) -> bool:
    """Whether a name ends like an image's, in any case."""
    return name.lower().endswith(_IMAGE_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether the system made it, not the user: dot files, ``Thumbs.db``, ``__MACOSX``."""
    return name.startswith(".") or name.lower() in _NOT_DATA


def walk(root: Path) -> Walk:
    """Find every image below a folder. Links are followed, each folder is entered once.

    Folders come before links to folders, so that of two names the true one counts; loops end.
    """
    found = Walk()
    entered: set[tuple[int, int]] = set()
    linked: list[str] = []
    _enter(root, "", found=found, entered=entered, linked=linked)
    while linked:
        _enter(root, linked.pop(0), found=found, entered=entered, linked=linked)
    for names in (found.images, found.ignored, found.unnameable, found.closed):
        names.sort()
    return found


def choose_classes(
    found: Collection[str], wanted: tuple[str, ...], *, where: str
) -> tuple[str, ...]:
    """Return the classes in the order asked for, else sorted (numbers by value).

    Raises:
        DataError: when a class that was asked for has no image.
    """
    if not wanted:
        return tuple(sorted(found, key=_by_value))
    missing = [name for name in wanted if name not in found]
    if missing:
        name = missing[0]
        raise DataError(
            f"The spec's data.classes names '{name}', but {where} has no image of that class."
            f"{did_you_mean(name, found)}"
        )
    return wanted


def _by_value(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdecimal() and name.isascii() else (1 << 62, name)


def _enter(
    root: Path, start: str, *, found: Walk, entered: set[tuple[int, int]], linked: list[str]
) -> None:
    """Go through one folder and the true folders below it; put off links to folders."""
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        try:
            status = os.stat(root / folder)
            identity = (status.st_dev, status.st_ino)
            if identity in entered:
                continue
            entered.add(identity)
            with os.scandir(root / folder) as entries:
                rows = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            found.closed.append(folder or ".")
            continue
        for entry in rows:
            _sort_entry(entry, folder, found=found, folders=waiting, linked=linked)


def _sort_entry(
    entry: os.DirEntry[str], folder: str, *, found: Walk, folders: list[str], linked: list[str]
) -> None:
    if is_hidden(entry.name):
        return
    path = f"{folder}/{entry.name}" if folder else entry.name
    if not _is_text(entry.name):
        found.unnameable.append(os.fsencode(path).decode("utf-8", "backslashreplace"))
    elif entry.is_dir():
        (linked if entry.is_symlink() else folders).append(path)
    elif is_image_name(entry.name):
        if entry.is_file() or _is_broken_link(entry):
            found.images.append(path)
    elif entry.name.lower().startswith(_DOCUMENTS):
        found.documents.append(path)
    else:
        found.ignored.append(path)


def _is_broken_link(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
