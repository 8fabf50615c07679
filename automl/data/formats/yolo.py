"""YOLO text files, one an image: LabelImg's other format, and what Ultralytics, Darknet, Roboflow and
CVAT write.

A line is ``class centre-x centre-y width height`` in shares of the image, or ``class x1 y1 x2 y2 …``
for an outline. An empty file says that nothing is to be seen; no file says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from automl.data.annotations import AnnotationBuilder
from automl.data.findings import finding, listed
from automl.data.formats.images import ImageIndex, all_files, leftovers, sample_files, stem
from automl.data.formats.listing import Listing, ReadOptions, walk
from automl.data.formats.yolo_names import NAMES_FILES, Names, find_names
from automl.data.formats.yolo_splits import splits_of
from automl.errors import DataError
from automl.records import Finding, Split, TruthKind
from automl.units import plural

__all__ = ["YoloFormat"]

_MARGIN = 0.01
"""How far outside 0 to 1 a share may lie: tools round, and boxes are drawn over the edge (they are
clipped later, and counted). Ultralytics allows the same."""
_DESCRIBING = (".yaml", ".yml", ".data", ".txt", ".names", ".labels")
_LOOKED_AT = 20
_MAX_BYTES = 64 << 20
"""The labels of one image have some kilobytes."""


class YoloFormat:
    """Reads ``labels/**/*.txt`` that lie parallel to ``images/``, or text files beside the images.

    ``data.yaml`` (or ``classes.txt``, ``obj.names``) names the classes, and perhaps the splits; else
    folders called train, val and test do. Outlines give boxes as well as masks.
    """

    name = "yolo"
    truths: tuple[TruthKind, ...] = ("boxes", "mask")

    def recognise(self, root: Path) -> str | None:
        """Say which text file holds lines of YOLO."""
        folder = root.parent if _is_yaml(root) else root
        if not folder.is_dir():
            return None
        for path in sample_files(folder, ".txt", most=_LOOKED_AT):
            if Path(path).name.lower() not in NAMES_FILES and _is_labels(folder / path):
                return f"'{path}' describes the objects in one image: YOLO"
        return None

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """List every image with the boxes and outlines that its text file gives."""
        folder = root.parent if _is_yaml(root) else root
        if not folder.is_dir():
            raise DataError(
                f"The format 'yolo' needs a folder, or its data.yaml; '{root}' is another file. "
                "Name the folder."
            )
        found = walk(folder)
        texts = all_files(found, ".txt")
        names = find_names(
            folder,
            all_files(found, *_DESCRIBING),
            wanted=options.classes,
            chosen=root.name if root != folder else None,
        )
        index = ImageIndex(found.images)
        splits = splits_of(folder, names, index)
        labels = [path for path in texts if path not in {*names.files, *splits.files}]
        if not labels:
            raise DataError(
                f"No text file with labels was found in '{folder}'. YOLO has one for each image, in "
                "labels/ parallel to images/ or beside the image. Name another folder in the "
                "spec's data.path."
            )
        builder = AnnotationBuilder(folder, options, source="labels")
        reading = _Reading(folder, builder, index, names, splits.by_path)
        reading.add_all(labels, as_background=options.unannotated == "background")
        used = {*labels, *names.files, *splits.files} - reading.strays
        findings = [*splits.findings, *reading.findings(), *leftovers(found, used)]
        return builder.finish(
            classes=names.names or None, files_seen=len(index.images), findings=findings
        )


class _Reading:
    """Takes in text files one by one."""

    def __init__(
        self,
        root: Path,
        builder: AnnotationBuilder,
        index: ImageIndex,
        names: Names,
        splits: dict[str, Split] | None,
    ) -> None:
        self._root, self._builder, self._index = root, builder, index
        self._names, self._splits = names, splits
        self._unlisted: list[str] = []
        self._numbers: set[str] = set()
        self.strays: set[str] = set()
        """Text files that are no labels."""

    def add_all(self, files: list[str], *, as_background: bool) -> None:
        """Take in every file, and say which images have none."""
        files_of: dict[str, str] = {}
        met: set[str] = set()
        for file in files:
            meant = self._image_of(file)
            met.update(meant)
            if len(meant) != 1:
                self._note_unmatched(file, meant)
            elif meant[0] in files_of:
                value = f"{files_of[meant[0]]} and {file}"
                self._builder.note("duplicate-entry", "", path=meant[0], value=value)
            else:
                files_of[meant[0]] = file
                self._add(file, meant[0])
        rest = [path for path in self._index.images if path not in met and self._is_listed(path)]
        if as_background:
            for path in rest:
                self._builder.image(path, split=self._split_of(path))
        self._builder.unannotated(rest)

    def findings(self) -> Iterator[Finding]:
        """Say what was taken for granted."""
        if self._unlisted:
            yield finding(
                "unlisted-image",
                "warning",
                f"Left out: {plural(len(self._unlisted), 'image')} outside the folders and lists "
                f"that {self._names.files[0]} names: {listed(self._unlisted)}.",
                remedy="Name the folder under train, val or test there, or remove these keys.",
                paths=self._unlisted,
            )
        if self._numbers:
            numbers = sorted(self._numbers, key=int)
            is_one = len(numbers) == 1
            what = "the name of a class: the number" if is_one else "names of classes: the numbers"
            yield finding(
                "integer-label",
                "info",
                f"Taken as {what} {listed(numbers)}, as no classes.txt or data.yaml names "
                f"{'it' if is_one else 'them'}.",
                remedy="Write the names into classes.txt, one a line, so that reports can be read.",
            )

    def _image_of(self, file: str) -> tuple[str, ...]:
        """Return the image that a file of labels lies parallel to, or beside."""
        folder, _, _ = file.rpartition("/")
        parts = folder.split("/")
        parallel = [
            "/".join([*parts[:at], other, *parts[at + 1 :]])
            for at in reversed(range(len(parts)))
            if parts[at].lower() == "labels"
            for other in ("images", "Images", "JPEGImages")
        ]
        above = folder.rpartition("/")[0] if parts[-1].lower() == "labels" else folder
        return self._index.find(stem(file), folders=[*parallel, folder, above])

    def _note_unmatched(self, file: str, meant: tuple[str, ...]) -> None:
        if not meant and not _is_labels(self._root / file):
            self.strays.add(file)
            return
        rule = "ambiguous-image" if meant else "missing-image"
        self._builder.note(rule, "", path=file, value=stem(file))

    def _add(self, file: str, path: str) -> None:
        if not self._is_listed(path):
            self._unlisted.append(path)
            return
        try:
            content = (self._root / file).read_bytes()
        except OSError as error:
            text = error.strerror or "unreadable"
            self._builder.note("malformed-file", file, path=file, value=text)
            return
        problem = _problem_of(content)
        if problem:
            self._builder.note("malformed-file", file, path=file, value=problem)
            return
        image = self._builder.image(path, split=self._split_of(path), where=file)
        if image is None:
            return
        for line, text in enumerate(content.decode("utf-8-sig").splitlines(), 1):
            if text.strip():
                self._add_line(image, text.split(), path=path, where=f"{file}, line {line}")

    def _add_line(self, image: int, words: list[str], *, path: str, where: str) -> None:
        numbers = _numbers(words)
        problem = _problem_of_line(words, numbers, has_key_points=self._names.has_key_points)
        label = None if problem else self._label(words[0])
        if problem or label is None:
            value = problem or self._names.unknown(words[0])
            self._builder.note("malformed-entry", where, path=path, value=value)
            return
        shares = numbers[1:]
        if len(shares) == 4 or self._names.has_key_points:
            centre_x, centre_y, width, height = shares[:4]
            self._builder.relative_box(image, label, centre_x, centre_y, width, height, where=where)
        else:
            self._builder.polygon(image, label, shares, where=where, relative=True)

    def _label(self, word: str) -> str | None:
        label = self._names.of(int(float(word)))
        if label is not None and not self._names.by_number:
            self._numbers.add(label)
        return label

    def _is_listed(self, path: str) -> bool:
        return self._splits is None or path in self._splits

    def _split_of(self, path: str) -> Split | None:
        return self._index.split_of(path) if self._splits is None else self._splits[path]


def _numbers(words: list[str]) -> list[float]:
    """Return all words as numbers; none when one of them is not."""
    try:
        return [float(word) for word in words]
    except ValueError:
        return []


def _problem_of_line(words: list[str], numbers: list[float], *, has_key_points: bool) -> str:
    """Return what is wrong with a line, in words; nothing when all is well."""
    shown = " ".join(words)[:60]
    if len(words) < 5 or (len(words) == 6 and not has_key_points):
        return f"{len(words)} values instead of 5 ({shown})"
    if not numbers or not all(map(math.isfinite, numbers)):
        return f"not only numbers ({shown})"
    if numbers[0] != int(numbers[0]) or numbers[0] < 0:
        return f"a class number of {words[0]}"
    shares = numbers[1:5] if has_key_points else numbers[1:]
    outside = next((n for n in shares if not -_MARGIN <= n <= 1 + _MARGIN), None)
    if outside is not None:
        return f"{outside:g} where a share from 0 to 1 should be"
    if len(shares) % 2:
        return f"an odd number of coordinates ({shown})"
    return ""


def _problem_of(content: bytes) -> str:
    if len(content) > _MAX_BYTES:
        return "larger than 64 MiB"
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return f"byte 0x{content[error.start]:02x} in line {line} is not UTF-8"
    return ""


def _is_labels(file: Path) -> bool:
    """Whether the first line that is not blank could be one of labels."""
    try:
        with file.open("rb") as stream:
            lines = stream.read(4096).decode("utf-8-sig", "replace").split("\n")
    except OSError:
        return False
    words: list[str] = next((line.split() for line in lines if line.strip()), [])
    return len(words) >= 5 and len(_numbers(words)) == len(words)


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in (".yaml", ".yml") and path.is_file()
