"""Boxes as they count: in pixels of the upright image, within it, each once.

Some thousand images are taken at a time, so that most of the work is done on columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.data.annotation_columns import (
    CONTINUES_BIT,
    IGNORED_BIT,
    KIND_BITS,
    RELATIVE_BIT,
    ShapeKind,
    Shapes,
    has_flag,
)
from automl.data.annotation_notes import Notes
from automl.data.orientation import turn_corners
from automl.data.run_lengths import bounds_of_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Boxes", "Images", "boxes_of", "runs_fit"]

_LEAST_PX = 0.99
"""A box is at least one pixel wide and high; a little less is rounding of shares of the image."""
_CLIPPED_PX = 0.5
"""Reaching beyond the image by less is rounding."""
_SAME_PX = 0.01
"""Corners nearer than this are the same."""


@dataclass(frozen=True)
class Images:
    """The images that truths are compiled for, in order."""

    paths: Sequence[str]
    samples: NDArray[np.int64]
    """``(N,)``: position of each in the listing."""
    sizes: NDArray[np.int64]
    """``(N, 2)``: height and width, upright."""
    turned: Mapping[int, int]
    """EXIF orientation of those that were annotated as stored, by position."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of some images, in the order of the images."""

    row: NDArray[np.int64]
    """``(n,)``: position of the image."""
    corners: NDArray[np.float64]
    labels: NDArray[np.int64]
    ignored: NDArray[np.bool_]

    def chosen(self, which: NDArray[np.bool_]) -> Boxes:
        """Return some of the boxes."""
        return Boxes(self.row[which], self.corners[which], self.labels[which], self.ignored[which])


def boxes_of(shapes: Shapes | None, images: Images, rows: range, problems: Notes) -> Boxes:
    """Return the boxes of some images, cut at the edge; those that cannot count are noted.

    Args:
        shapes: Boxes, outlines and run lengths of all samples of the listing, if there are any.
        images: All images.
        rows: Those to take.
        problems: Told of what is wrong.
    """
    if shapes is None:
        return Boxes(
            np.empty(0, np.int64), np.empty((0, 4)), np.empty(0, np.int64), np.empty(0, bool)
        )
    samples = images.samples[rows.start : rows.stop]
    counts = shapes.first[samples + 1] - shapes.first[samples]
    row = np.repeat(np.arange(rows.start, rows.stop), counts)
    ends = np.cumsum(counts)
    inside = np.arange(len(row)) - np.repeat(ends - counts, counts)
    shape = shapes.order[np.repeat(shapes.first[samples], counts) + inside].astype(np.int64)
    found = _bounds(shapes, shape, row, images, problems)
    return _cleaned(found, images, problems)


def _bounds(
    shapes: Shapes,
    shape: NDArray[np.int64],
    row: NDArray[np.int64],
    images: Images,
    problems: Notes,
) -> Boxes:
    """Return the bounds of every object, wherever they lie, those of unknown classes left out."""
    corners = np.full((len(shape), 4), np.nan)
    flags = shapes.flags[shape]
    is_box = flags & np.uint8(KIND_BITS) == ShapeKind.BOX
    start = shapes.start[shape[is_box]].astype(np.int64)
    corners[is_box] = shapes.values[start[:, None] + np.arange(4)]
    for place in np.flatnonzero(~is_box).tolist():
        bounds = _outline_bounds(shapes, int(shape[place]), int(row[place]), images, problems)
        if bounds is not None:
            corners[place] = bounds
    relative = has_flag(flags, RELATIVE_BIT)
    corners[relative] *= images.sizes[row[relative]][:, [1, 0, 1, 0]]
    for position, orientation in images.turned.items():
        here = (row == position) & ~relative
        upright = (int(images.sizes[position][0]), int(images.sizes[position][1]))
        corners[here] = turn_corners(corners[here], orientation, upright)
    boxes = Boxes(row, corners, shapes.label[shape].astype(np.int64), has_flag(flags, IGNORED_BIT))
    continues = has_flag(flags, CONTINUES_BIT)
    if continues.any():
        boxes = _joined(boxes, continues)
    return boxes.chosen((boxes.labels >= 0) & ~np.isnan(boxes.corners).any(1))


def _outline_bounds(
    shapes: Shapes, shape: int, position: int, images: Images, problems: Notes
) -> tuple[float, ...] | None:
    start, length = int(shapes.start[shape]), int(shapes.length[shape])
    if int(shapes.flags[shape]) & KIND_BITS == ShapeKind.RUN_LENGTHS:
        runs = shapes.runs[start : start + length]
        if not runs_fit(runs, images, position):
            problems.add("run-length-size", "", path=images.paths[position])
            return None
        bounds = bounds_of_runs(runs)
        if bounds is None:
            problems.add("empty-object", "", path=images.paths[position])
        return bounds
    if length < 6:
        problems.add("short-outline", "", path=images.paths[position])
        return None
    points = shapes.values[start : start + length].reshape(-1, 2)
    return *points.min(0).tolist(), *points.max(0).tolist()


def runs_fit(runs: NDArray[np.uint32], images: Images, position: int) -> bool:
    """Whether run lengths are those of an image, as it is or as it is stored."""
    height, width = images.sizes[position].tolist()
    stored = (width, height) if position in images.turned else (height, width)
    return (int(runs[0]), int(runs[1])) == stored


def _joined(boxes: Boxes, continues: NDArray[np.bool_]) -> Boxes:
    """Return one box for all parts of an object."""
    first = np.flatnonzero(~continues)
    low = np.fmin.reduceat(boxes.corners[:, :2], first)
    high = np.fmax.reduceat(boxes.corners[:, 2:], first)
    whole = np.concatenate([low, high], axis=1)
    return Boxes(boxes.row[first], whole, boxes.labels[first], boxes.ignored[first])


def _cleaned(boxes: Boxes, images: Images, problems: Notes) -> Boxes:
    ends = boxes.corners[:, :2], boxes.corners[:, 2:]
    low, high = np.minimum(*ends), np.maximum(*ends)
    _note(problems, "inverted-box", boxes, np.any(ends[0] > ends[1], axis=1), images)
    is_empty = np.any(high - low < _LEAST_PX, axis=1)
    _note(problems, "empty-object", boxes, is_empty, images)
    limit = images.sizes[boxes.row][:, ::-1].astype(np.float64)
    clipped = np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=1)
    is_outside = ~is_empty & np.any(clipped[:, 2:] - clipped[:, :2] < _LEAST_PX, axis=1)
    _note(problems, "outside-object", boxes, is_outside, images)
    beyond = np.abs(clipped - np.concatenate([low, high], axis=1)).max(1, initial=0.0) > _CLIPPED_PX
    is_kept = ~is_empty & ~is_outside
    _note(problems, "clipped-object", boxes, beyond & is_kept, images)
    whole = Boxes(boxes.row, clipped, boxes.labels, boxes.ignored).chosen(is_kept)
    is_copy = _copies(whole)
    _note(problems, "duplicate-object", whole, is_copy, images)
    return whole.chosen(~is_copy)


def _copies(boxes: Boxes) -> NDArray[np.bool_]:
    """Return which boxes lie where an earlier one of the same class and image does."""
    is_copy = np.zeros(len(boxes.row), bool)
    if len(is_copy) < 2:
        return is_copy
    places = np.round(boxes.corners / _SAME_PX).astype(np.int64)
    columns = (*places.T, boxes.labels, boxes.row)
    order = np.lexsort(columns)  # stable, so the first of equals stays the first
    same = np.ones(len(order) - 1, bool)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    is_copy[order[1:][same]] = True
    return is_copy


def _note(
    problems: Notes, rule: str, boxes: Boxes, which: NDArray[np.bool_], images: Images
) -> None:
    if which.any():
        rows = np.unique(boxes.row[which]).tolist()
        problems.add_many(rule, [images.paths[row] for row in rows], count=int(which.sum()))
