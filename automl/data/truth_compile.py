"""From annotations to compiled truths: what is done once, when the sizes of the images are known.

Boxes are cut at the edge and cleaned; outlines are drawn; mask files are read, checked and packed.
What is wrong becomes findings, worded once for all formats (:mod:`automl.data.truth_problems`). All
of it is kept in the cache under a name made from everything that went into it, so a second run reads
no annotation image again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.data.annotation_columns import GOOD, Annotations
from automl.data.annotation_notes import Notes
from automl.data.examine import FileFacts
from automl.data.formats.listing import Listing
from automl.data.orientation import is_stored_size, read_orientation
from automl.data.source import source_status
from automl.data.truth_boxes import Images
from automl.data.truth_compilation import Compilation
from automl.data.truth_files import TruthWriter, find_truth, open_truth
from automl.data.truth_problems import new_problems
from automl.errors import DataError
from automl.records import Finding, TruthKind, TruthRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CompiledTruth", "compile_truth"]


@dataclass(frozen=True)
class CompiledTruth:
    """What is known of some images, in the order in which they were given."""

    ref: TruthRef
    kind: TruthKind
    classes: tuple[str, ...]
    """Those of the listing, without the ones that no image shows."""
    shown: tuple[tuple[int, ...], ...]
    """The classes that each image shows, ascending."""
    usable: NDArray[np.bool_]
    """``(N,)``: false for images that must be left out."""
    digests: NDArray[np.bytes_]
    """``(N,)``: what tells two truths apart, 16 bytes for each image."""
    amounts: NDArray[np.void]
    """Objects or pixels of each class in each image that shows it: ``row, label, amount``."""
    findings: tuple[Finding, ...]


def compile_truth(
    listing: Listing,
    facts: Sequence[FileFacts],
    positions: Sequence[int],
    *,
    kind: TruthKind,
    keep_classes: bool,
    progress: Callable[[str], None],
) -> CompiledTruth:
    """Return what is known of the images at some positions of a listing.

    Args:
        listing: With its annotations.
        facts: Of every image of the listing.
        positions: Of the images that can be used.
        kind: Boxes, masks or defects.
        keep_classes: Whether a class that no image shows is kept (because the spec names it).
        progress: Told in a few words what is going on.

    Raises:
        DataError: when the cache cannot be written, or no image is left.
    """
    annotations = listing.annotations
    if annotations is None:
        raise ValueError("the listing has no annotations")
    problems = new_problems(annotations.source)
    images = _images(listing, annotations, facts, positions, problems)
    rotated = frozenset(r for r, i in enumerate(positions) if "exif-rotated" in facts[i].notes)
    key = _key(listing, annotations, images, rotated, kind=kind, keep_classes=keep_classes)
    folder = find_truth(key)
    if folder is None:
        try:
            with TruthWriter(key) as writer:
                work = Compilation(
                    listing, annotations, images, rotated, problems, writer, progress
                )
                folder = work.run(kind, keep_classes=keep_classes)
        except OSError as error:
            raise DataError(
                f"What was annotated could not be written to the cache ({error.strerror or error}). "
                "Free some disk, or set AUTOML_CACHE to a folder that can be written."
            ) from error
    return _loaded(folder, key)


def _images(
    listing: Listing,
    annotations: Annotations,
    facts: Sequence[FileFacts],
    positions: Sequence[int],
    problems: Notes,
) -> Images:
    """Return sizes and orientations, and note sizes that are not what the annotations say."""
    turned: dict[int, int] = {}
    for row, position in enumerate(positions):
        one = facts[position]
        size = (one.height, one.width)
        claimed = (int(annotations.claimed[position, 0]), int(annotations.claimed[position, 1]))
        is_rotated = "exif-rotated" in one.notes
        if is_rotated and is_stored_size(claimed, size):
            turned[row] = read_orientation(listing.root, one.path)
            problems.add("stored-orientation", "", path=one.path)
        elif claimed not in ((0, 0), size):
            value = f"{one.path}: {one.width} x {one.height}, annotated {claimed[1]} x {claimed[0]}"
            problems.add("size-differs", "", path=one.path, value=value)
        elif is_rotated and claimed == (0, 0) and _has_shapes(annotations, position):
            problems.add("unclear-orientation", "", path=one.path)
    paths = [facts[position].path for position in positions]
    sizes = (side for i in positions for side in (facts[i].height, facts[i].width))
    upright = np.fromiter(sizes, np.int64, 2 * len(positions)).reshape(-1, 2)
    return Images(paths, np.array(positions, np.int64), upright, turned)


def _has_shapes(annotations: Annotations, position: int) -> bool:
    shapes = annotations.shapes
    return shapes is not None and bool(shapes.first[position + 1] > shapes.first[position])


def _key(
    listing: Listing,
    annotations: Annotations,
    images: Images,
    rotated: frozenset[int],
    *,
    kind: str,
    keep_classes: bool,
) -> str:
    """Return a name made of everything that the compiled truths depend on.

    Mask files count by size and time of change, as images do.
    """
    digest = hashlib.sha256(f"automl-truth\n{kind}\n{keep_classes}\n".encode())
    digest.update("\0".join((*listing.classes, "", annotations.source, *images.paths)).encode())
    digest.update(images.sizes.tobytes())
    digest.update(repr((sorted(images.turned.items()), sorted(rotated))).encode())
    digest.update(annotations.claimed[images.samples].tobytes())
    if annotations.shapes is not None:
        for name in ("first", "order", "label", "flags", "length", "values", "runs"):
            digest.update(getattr(annotations.shapes, name).data)
        digest.update(images.samples.tobytes())
    if annotations.masks:
        digest.update(repr((os.path.realpath(listing.root), annotations.codings)).encode())
        for sample in images.samples.tolist():
            path = annotations.masks[sample]
            if path is not None:
                digest.update(f"{path} {annotations.coding[sample]}".encode())
                digest.update(_status(listing.root, path).encode())
    if kind == "defect":
        labels = "".join("01"[listing.samples[i].label != GOOD] for i in images.samples.tolist())
        digest.update(labels.encode())
    return digest.hexdigest()[:32]


def _status(root: Path, path: str) -> str:
    try:
        status = source_status(root, path)
    except OSError:
        return " gone\n"
    return f" {status.size_bytes} {status.mtime_ns}\n"


def _loaded(folder: Path, key: str) -> CompiledTruth:
    files = open_truth(folder)
    count = len(files.entries)
    shown: list[tuple[int, ...]] = [()] * count
    known: dict[tuple[int, ...], tuple[int, ...]] = {}
    labels = files.amounts["label"]
    ends = np.cumsum(np.bincount(files.amounts["row"], minlength=count)).tolist()
    start = 0
    for row, end in enumerate(ends):
        classes = tuple(labels[start:end].tolist())
        shown[row], start = known.setdefault(classes, classes), end
    if files.index.kind == "defect":
        each = ((0,), (1,))
        shown = [each[label] for label in files.entries["label"].tolist()]
    return CompiledTruth(
        ref=TruthRef(str(folder), key),
        kind=files.index.kind,
        classes=files.index.classes,
        shown=tuple(shown),
        usable=files.entries["usable"].copy(),
        digests=files.entries["digest"].copy(),
        amounts=files.amounts,
        findings=files.index.findings,
    )
