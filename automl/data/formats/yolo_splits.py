"""Which images ``data.yaml`` (or Darknet's ``obj.data``) puts into each split.

It names folders of images or lists of them, mostly by paths of another machine; so of each path as
much is used as leads to something below the data's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from automl.data.findings import finding, listed, worded
from automl.data.formats.images import ImageIndex
from automl.data.formats.yolo_names import Names, filled_lines, parts_of
from automl.records import Finding, Split
from automl.units import plural

__all__ = ["Splits", "splits_of"]


@dataclass
class Splits:
    """The split of each image that the data's own files name."""

    by_path: dict[str, Split] | None = None
    """``None``: no file names any."""
    files: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def splits_of(root: Path, names: Names, index: ImageIndex) -> Splits:
    """Return the split of each image in the folders and lists that are named for train, val, test."""
    result = Splits()
    if not names.entries:
        return result
    folders = _folders(index)
    by_path: dict[str, Split] = {}
    conflicts: dict[str, None] = {}
    lost: list[str] = []
    for split, entry in names.entries:
        images = _images_of(root, names, entry, index=index, folders=folders, result=result)
        if images is None:
            lost.append(entry)
        for path in images or ():
            if by_path.setdefault(path, split) is not split:
                conflicts.setdefault(path)
    result.findings += _split_findings(names.files[0], lost, list(conflicts))
    if Split.TRAIN in by_path.values():
        result.by_path = by_path
    return result


def _images_of(
    root: Path,
    names: Names,
    entry: str,
    *,
    index: ImageIndex,
    folders: frozenset[str],
    result: Splits,
) -> list[str] | None:
    """Return the images of a folder or list that is named; ``None`` when neither is there."""
    parts = [*parts_of(names.base), *parts_of(entry)]
    here = names.files[0].rpartition("/")[0]
    for at in range(len(parts)):
        rest = "/".join(parts[at:])
        for path in dict.fromkeys((f"{here}/{rest}" if here else rest, rest)):
            if path in folders:
                return [image for image in index.images if image.startswith(path + "/")]
            if path.lower().endswith(".txt") and (root / path).is_file():
                result.files.append(path)
                return list(_listed_images(root, path, index, result))
    return list(index.images) if not parts else None


def _listed_images(root: Path, file: str, index: ImageIndex, result: Splits) -> Iterator[str]:
    here = file.rpartition("/")[0]
    lost: list[str] = []
    for line in filled_lines(root / file):
        parts = parts_of(line)
        names = ("/".join(parts[at:]) for at in range(len(parts)))
        for name in names:
            path = next((each for each in (f"{here}/{name}", name) if each in index), None)
            if path is not None:
                yield path
                break
        else:
            lost.append(line)
    if lost:
        result.findings.append(
            finding(
                "missing-image",
                "warning",
                f"Left out: {plural(len(lost), 'image')} that '{file}' lists, but that "
                f"{'is' if len(lost) == 1 else 'are'} not there: {listed(lost)}.",
                remedy=worded(
                    "Put the {image|images} back, or remove {it|them} from the list.", len(lost)
                ),
                paths=lost,
            )
        )


def _split_findings(file: str, lost: list[str], conflicts: list[str]) -> Iterator[Finding]:
    if lost:
        yield finding(
            "missing-folder",
            "warning",
            f"Not found: {listed(lost)}, which {file} names for a split.",
            remedy="Correct the path, or remove it.",
            paths=lost,
        )
    if conflicts:
        yield finding(
            "conflicting-splits",
            "error",
            f"Kept in the first split given: {plural(len(conflicts), 'image')} that {file} gives "
            f"two splits: {listed(conflicts)}.",
            remedy="Keep one split per image.",
            paths=conflicts,
        )


def _folders(index: ImageIndex) -> frozenset[str]:
    """Return every folder that holds an image at any depth."""
    found: set[str] = set()
    for path in index.images:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return frozenset(found)
