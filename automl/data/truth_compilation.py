"""One compilation at work: rows of boxes, drawn masks and mask files, written as they come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from automl.data.annotation_columns import BACKGROUND, DEFECT, Annotations
from automl.data.annotation_listing import unused_finding
from automl.data.annotation_notes import Notes
from automl.data.findings import finding
from automl.data.formats.listing import Listing
from automl.data.mask_files import Polarity
from automl.data.truth import IGNORED
from automl.data.truth_boxes import Images, boxes_of
from automl.data.truth_classes import (
    ClassTables,
    class_tables,
    classified,
    without_unused,
)
from automl.data.truth_files import AMOUNT, ENTRY, TruthWriter, compress_mask, path_digest
from automl.data.truth_masks import MaskMade, draw_mask, made_in_turn, mask_from_file
from automl.records import Finding, TruthKind
from automl.units import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Compilation"]

_AT_ONCE = 4096
"""Images whose boxes are cleaned together: some 50,000 boxes, a few megabytes."""
_SAID_EVERY = 500


@dataclass
class Compilation:
    """Everything that one compilation needs and gathers. :meth:`run` does it."""

    listing: Listing
    annotations: Annotations
    images: Images
    rotated: frozenset[int]
    """Rows of images with a rotation in their EXIF data."""
    problems: Notes
    writer: TruthWriter
    progress: Callable[[str], None]
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.images.paths)
        self.entries = np.zeros(count, ENTRY)
        digests = (path_digest(path) for path in self.images.paths)
        self.entries["path"] = np.fromiter(digests, "S16", count)
        self.entries["height"], self.entries["width"] = self.images.sizes.T
        self.entries["table"] = -1
        self.entries["usable"] = True
        self._counted: list[NDArray[np.void]] = []
        self._written = 0
        self._polarities: dict[int, Polarity] = {}

    def run(self, kind: TruthKind, *, keep_classes: bool) -> Path:
        """Compile, and return the folder.

        Args:
            kind: Boxes, masks or defects.
            keep_classes: Whether classes that no image shows are kept.
        """
        if kind == "boxes":
            self._write_boxes()
        else:
            self._write_masks(kind)
        known = class_tables(
            self.listing.classes, self.annotations.codings, self._decide_polarities()
        )
        counted = np.concatenate([np.zeros(0, AMOUNT), *self._counted])
        self._counted.clear()
        amounts = classified(counted, self.entries["table"], known) if known.tables[1:] else counted
        if kind == "defect":
            self._judge_defects(amounts)
        else:
            self._note_unlisted(counted, known)
            seen = range(len(known.classes)) if keep_classes else np.unique(amounts["label"])
            known, amounts, unused = without_unused(known, amounts, frozenset(map(int, seen)))
            self.findings.extend(unused_finding(unused, self.annotations.source))
            self._note_background(known.classes, amounts)
        self._finish_digests(known)
        self.writer.add("amounts", amounts)
        return self.writer.finish(
            self.entries,
            kind=kind,
            classes=known.classes,
            tables=known.tables,
            findings=(*self.findings, *self.problems.findings()),
        )

    def _write_boxes(self) -> None:
        """Write all boxes, the images by thousands."""
        total = len(self.images.paths)
        for first in range(0, total, _AT_ONCE):
            self.progress(f"checking the boxes of {total:,} images: {first:,}")
            self._write_some(range(first, min(total, first + _AT_ONCE)))

    def _write_some(self, rows: range) -> None:
        boxes = boxes_of(self.annotations.shapes, self.images, rows, self.problems)
        corners = boxes.corners.astype(np.float32)
        self.writer.add("corners", corners)
        self.writer.add("labels", boxes.labels)
        self.writer.add("ignored", boxes.ignored)
        ends = np.searchsorted(boxes.row, np.arange(rows.start, rows.stop + 1))
        self.entries["start"][rows.start : rows.stop] = ends[:-1] + self._written
        self.entries["length"][rows.start : rows.stop] = np.diff(ends)
        self._written += len(corners)
        packed = np.concatenate([corners, boxes.labels[:, None], boxes.ignored[:, None]], axis=1)
        packed = packed[np.lexsort((*packed.T, boxes.row))].astype(np.float32)
        for place, row in enumerate(rows):
            part = packed[ends[place] : ends[place + 1]]
            self.entries["digest"][row] = hashlib.sha256(part.tobytes()).digest()[:16]
        counted = ~boxes.ignored
        pairs, counts = np.unique(
            boxes.row[counted] << 16 | boxes.labels[counted], return_counts=True
        )
        self._count(pairs >> 16, pairs & 0xFFFF, counts)

    def _write_masks(self, kind: TruthKind) -> None:
        """Write all masks, drawn or read."""
        rows: list[int] = list(range(len(self.images.paths)))
        if kind == "defect":
            masks, samples = self.annotations.masks, self.images.samples.tolist()
            self.entries["label"] = [self.listing.samples[i].label == DEFECT for i in samples]
            rows = [row for row in rows if masks and masks[samples[row]] is not None]
        for done, (row, made) in enumerate(made_in_turn(self._make, rows)):
            if done % _SAID_EVERY == 0:
                self.progress(f"reading the masks of {len(rows):,} images: {done:,}")
            self._take(row, made)

    def _make(self, row: int) -> MaskMade:
        """Draw or read the mask of one image; called by several threads."""
        sample = int(self.images.samples[row])
        path = self.annotations.masks[sample] if self.annotations.masks else None
        height, width = self.images.sizes[row].tolist()
        if path is not None:
            return mask_from_file(
                self.listing.root,
                path,
                self.annotations.codings[self.annotations.coding[sample]],
                image_path=self.images.paths[row],
                size=(height, width),
                is_turned=row in self.rotated,
            )
        names = self.listing.classes
        background = names.index(BACKGROUND) if BACKGROUND in names else IGNORED
        if self.annotations.shapes is None:
            return MaskMade(np.full((height, width), background, np.uint8))
        return draw_mask(self.annotations.shapes, self.images, row, background=background)

    def _take(self, row: int, made: MaskMade) -> None:
        """Write one mask and note what was wrong with it."""
        for rule, value in made.notes:
            self.problems.add(rule, "", path=self.images.paths[row], value=value)
        entry = self.entries[row]
        if made.values is None:
            entry["usable"] = False
            return
        coding = int(self.annotations.coding[self.images.samples[row]])
        entry["table"] = coding + 1
        entry["start"], entry["length"], entry["crc32"] = self.writer.add_mask(
            compress_mask(made.values)
        )
        entry["digest"] = hashlib.sha256(np.ascontiguousarray(made.values).data).digest()[:16]
        counts = np.bincount(made.values.ravel(), minlength=1)
        values = np.flatnonzero(counts)
        self._count(np.full(len(values), row), values, counts[values])
        if coding >= 0 and self.annotations.codings[coding].kind == "binary":
            self._polarities.setdefault(coding, Polarity()).add(made.values)

    def _count(
        self, rows: NDArray[np.int64], values: NDArray[np.int64], amounts: NDArray[np.int64]
    ) -> None:
        counted = np.empty(len(rows), AMOUNT)
        counted["row"], counted["label"], counted["amount"] = rows, values, amounts
        self._counted.append(counted)

    def _decide_polarities(self) -> dict[int, Literal["white", "black"]]:
        """Return the colour of the objects for each coding; say so where the spec leaves it open."""
        white: dict[int, Literal["white", "black"]] = {}
        for coding, polarity in self._polarities.items():
            known = self.annotations.codings[coding].polarity
            if known != "auto":
                white[coding] = known
                continue
            white[coding], how = polarity.decide()
            other = "black" if white[coding] == "white" else "white"
            self.findings.append(
                finding(
                    "mask-polarity",
                    "info",
                    f"Objects are taken to be {white[coding]} in "
                    f"{plural(polarity.masks, 'black-and-white mask')}: {how}.",
                    remedy=f"If they are {other}, set data.foreground to '{other}'.",
                    count=polarity.masks,
                )
            )
        return white

    def _judge_defects(self, amounts: NDArray[np.void]) -> None:
        """Note masks that contradict what is said of their image."""
        shows_defect = np.zeros(len(self.entries), bool)
        shows_defect[amounts["row"][amounts["label"] == 1]] = True
        is_defect = self.entries["label"] == 1
        has_mask = self.entries["length"] > 0
        for row in np.flatnonzero(has_mask & is_defect & ~shows_defect).tolist():
            self.problems.add("empty-defect-mask", "", path=self.images.paths[row])
            self.entries["length"][row] = 0
        for row in np.flatnonzero(has_mask & ~is_defect & shows_defect).tolist():
            self.problems.add("good-with-mask", "", path=self.images.paths[row])
            self.entries["usable"][row] = False

    def _note_unlisted(self, counted: NDArray[np.void], known: ClassTables) -> None:
        """Note mask files with pixels of classes that the spec does not list."""
        for coding, one in enumerate(self.annotations.codings):
            of_coding = self.entries["table"][counted["row"]] == coding + 1
            for value, name in enumerate(one.names):
                rows = counted["row"][of_coding & (counted["label"] == value)]
                if name not in known.classes and len(rows):
                    paths = [self.images.paths[row] for row in rows.tolist()]
                    rule = "unlisted-class" if BACKGROUND in known.classes else "unlisted-ignored"
                    self.problems.add_many(rule, paths, count=len(rows), value=name)

    def _note_background(self, classes: tuple[str, ...], amounts: NDArray[np.void]) -> None:
        """Note images that show nothing but background."""
        background = classes.index(BACKGROUND) if BACKGROUND in classes else -1
        shows = ~self.entries["usable"]
        shows[amounts["row"][amounts["label"] != background]] = True
        rows = np.flatnonzero(~shows).tolist()
        if rows:
            paths = [self.images.paths[row] for row in rows]
            self.problems.add_many("background-image", paths, count=len(rows))

    def _finish_digests(self, known: ClassTables) -> None:
        """Let what the values mean count in what tells two truths apart."""
        for entry in self.entries:
            if entry["table"] >= 0 or entry["label"]:
                meaning = repr((known.tables[entry["table"]], int(entry["label"]))).encode()
                content = entry["digest"].ljust(16, b"\0") + meaning
                entry["digest"] = hashlib.sha256(content).digest()[:16]
