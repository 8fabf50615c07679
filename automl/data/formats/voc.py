"""Pascal VOC XML, one file an image, as LabelImg and most labelling tools write it.

Corners. Pascal VOC itself counts pixels from 1 and includes the last (VOC2012 development kit,
section 2: "the top-left pixel has coordinates (1, 1)"), so a box there covers ``xmin - 1`` to ``xmax``.
LabelImg and the exports of other tools write the edges as drawn, from 0 to the width, only that
LabelImg writes 1 for 0 (``convertPointsToBndBox``, for the sake of an old detector). Therefore 1 is
subtracted in files whose ``database`` is one of Pascal VOC's; in all others corners are taken as
drawn, and a left or top of 1 as 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from automl.data.annotations import AnnotationBuilder
from automl.data.findings import finding, listed, worded
from automl.data.formats.images import ImageIndex, all_files, leftovers, sample_files, stem
from automl.data.formats.listing import Listing, ReadOptions, is_image_name, walk
from automl.data.formats.voc_xml import VocContent, VocObject, parse_voc
from automl.errors import DataError
from automl.records import Finding, Split, TruthKind
from automl.units import plural

__all__ = ["VocFormat"]

_IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "")
_LISTS = {"train": Split.TRAIN, "val": Split.VAL, "test": Split.TEST}
_BEGINNING = re.compile(rb"<annotation[\s>]")
_LISTS_FOLDER = ("ImageSets", "Main")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LOOKED_AT_BYTES = 4096


class VocFormat:
    """Reads ``Annotations/*.xml``, or XML files beside the images, to boxes.

    Images are looked for in ``JPEGImages``, ``images`` and beside the XML, by the name of the XML file,
    then by ``filename``, which grows stale when files are renamed; ``folder`` and ``path`` are not
    read.
    ``ImageSets/Main/{train,val,trainval,test}.txt`` give the split, else the folders do. Objects marked
    ``difficult`` count neither way; ``truncated`` ones count as any.
    """

    name = "voc"
    truths: tuple[TruthKind, ...] = ("boxes",)

    def recognise(self, root: Path) -> str | None:
        """Say which XML file describes an image."""
        if not root.is_dir():
            return None
        for path in sample_files(root, ".xml", most=5):
            if _is_annotation(root / path):
                return f"'{path}' describes the boxes in one image: Pascal VOC"
        return None

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """List every image with the boxes that its XML file gives."""
        if not root.is_dir():
            raise DataError(
                f"The format 'voc' needs a folder with XML files; '{root}' is a file. "
                "Name the folder."
            )
        found = walk(root)
        files = all_files(found, ".xml")
        if not files:
            raise DataError(
                f"No XML file was found in '{root}'. Pascal VOC has one for each image, in "
                "Annotations/ or beside the image. Name another folder in the spec's data.path."
            )
        index = ImageIndex(found.images)
        lists = _read_lists(root, all_files(found, ".txt"))
        builder = AnnotationBuilder(root, options, source="Annotations")
        reading = _Reading(root, builder, index, lists)
        for path in files:
            reading.add(path)
        builder.unannotated(reading.rest())
        findings = [*leftovers(found, (*files, *lists.files)), *reading.findings()]
        return builder.finish(files_seen=len(index.images), findings=findings)


@dataclass(frozen=True)
class _Lists:
    """The lists of ``ImageSets/Main``, if there are any: names of images without suffix."""

    files: tuple[str, ...]
    splits: dict[str, Split]
    conflicts: tuple[tuple[str, str], ...]
    """File and line of a name that another list gives another split, and the name."""


class _Reading:
    """Takes in XML files one by one."""

    def __init__(
        self, root: Path, builder: AnnotationBuilder, index: ImageIndex, lists: _Lists
    ) -> None:
        self._root, self._builder, self._index, self._lists = root, builder, index, lists
        self._met: set[str] = set()
        self._unlisted: list[str] = []
        for where, name in lists.conflicts:
            builder.note("conflicting-splits", where, value=name)

    def add(self, file: str) -> None:
        """Take in one file: the image it describes and its boxes, or note what is wrong."""
        content = VocContent()
        problem = parse_voc(self._root / file, content)
        if problem is not None:
            line, text = problem
            where = f"{file}, line {line}" if line else file
            self._builder.note("malformed-file", where, path=file, value=text)
            self._image_of(file, "", is_readable=False)
            return
        path = self._image_of(file, content.texts.get("filename", ""))
        if path is None:
            return
        split = self._split_of(path)
        if split is None and self._lists.splits:
            self._unlisted.append(path)
            return
        size = _size(content.texts)
        image = self._builder.image(path, split=split, size=size, where=file)
        if image is not None:
            for thing in content.objects:
                self._add_object(image, path, thing, f"{file}, line {thing.line}", content.shift)

    def rest(self) -> Iterator[str]:
        """Yield the images that no file described."""
        return (path for path in self._index.images if path not in self._met)

    def findings(self) -> Iterator[Finding]:
        """Say which images the data's own lists leave out."""
        if self._unlisted:
            yield finding(
                "unlisted-image",
                "warning",
                f"Left out: {plural(len(self._unlisted), 'image')} that no list in ImageSets/Main "
                f"names: {listed(self._unlisted)}.",
                remedy=worded(
                    "Add {its name|their names} to train.txt, val.txt or test.txt, or remove the lists.",
                    len(self._unlisted),
                ),
                paths=self._unlisted,
            )

    def _image_of(self, file: str, written: str, *, is_readable: bool = True) -> str | None:
        """Return the image that an XML file describes, unless another described it before.

        The image of an unreadable file is left out: nobody knows what it shows.
        """
        name = written.replace("\\", "/").rpartition("/")[2]
        folder = PurePosixPath(file).parent
        around = [str(folder), *(str(folder.parent / each) for each in _IMAGE_FOLDERS)]
        folders = ["" if each == "." else each for each in around]
        meant = self._index.find(stem(file), folders=folders)
        if len(meant) != 1 and name:
            meant = self._index.find(name, folders=folders) or meant
        self._met.update(meant)
        if not is_readable:
            return None
        if len(meant) != 1:
            rule = "ambiguous-image" if meant else "missing-image"
            self._builder.note(rule, "", path=file, value=name)
            return None
        if self._builder.is_known(meant[0]):
            self._builder.note("duplicate-entry", file, path=meant[0])
            return None
        return meant[0]

    def _split_of(self, path: str) -> Split | None:
        if self._lists.splits:
            return self._lists.splits.get(stem(path))
        return self._index.split_of(path)

    def _add_object(self, image: int, path: str, thing: VocObject, where: str, shift: bool) -> None:
        label = thing.texts.get("name", "")
        written = [thing.texts.get(f"bndbox/{key}", "") for key in _CORNERS]
        corners = _numbers(written)
        if not label or corners is None:
            value = f"bndbox {' '.join(written).strip() or 'missing'}" if label else "no name"
            self._builder.note("malformed-entry", where, path=path, value=value)
            return
        left, top, right, bottom = corners
        if shift:
            left, top = left - 1, top - 1
        else:
            left, top = (0.0 if edge == 1 else edge for edge in (left, top))
        is_ignored = thing.texts.get("difficult", "0") == "1"
        box = (left, top, right, bottom)
        self._builder.box(image, label, box, where=where, ignored=is_ignored)


def _read_lists(root: Path, files: list[str]) -> _Lists:
    """Read ``ImageSets/Main/{train,val,test}.txt``; ``trainval`` adds to ``train`` what is in none."""
    listing = [file for file in files if PurePosixPath(file).parts[-3:-1] == _LISTS_FOLDER]
    splits: dict[str, Split] = {}
    conflicts: list[tuple[str, str]] = []
    used: list[str] = []
    for name in (*_LISTS, "trainval"):
        for file in (each for each in listing if stem(each) == name):
            used.append(file)
            for line, image in _names(root / file):
                split = _LISTS.get(name, Split.TRAIN)
                known = splits.setdefault(image, split)
                if known is not split and name != "trainval":
                    conflicts.append((f"{file}, line {line}", image))
    return _Lists(tuple(used), splits, tuple(conflicts))


def _names(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and image name; a second column (does a class occur?) is passed over."""
    try:
        text = file.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(
            f"'{file}' cannot be read ({error.strerror}). Check its permissions."
        ) from error
    for line, row in enumerate(text.splitlines(), 1):
        name = re.sub(r"\s+-?[01]$", "", row.strip()).replace("\\", "/")
        if name:
            yield line, stem(name) if is_image_name(name) else name


def _size(texts: dict[str, str]) -> tuple[int, int] | None:
    """Return (height, width) as claimed; tools that do not know it write 0."""
    numbers = _numbers([texts.get("size/height", ""), texts.get("size/width", "")])
    if numbers is None or min(numbers) < 1:
        return None
    return int(numbers[0]), int(numbers[1])


def _numbers(texts: list[str]) -> list[float] | None:
    try:
        return [float(text) for text in texts]
    except ValueError:
        return None


def _is_annotation(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return _BEGINNING.search(stream.read(_LOOKED_AT_BYTES)) is not None
    except OSError:
        return False
