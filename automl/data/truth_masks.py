"""Masks as they count: drawn from outlines or read from files, at the size of the upright image.

One mask is made at a time, by as many threads as there are cores; what is wrong with it comes back
with it, so that findings do not depend on which thread was faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.data.annotation_columns import (
    IGNORED_BIT,
    KIND_BITS,
    RELATIVE_BIT,
    MaskCoding,
    ShapeKind,
    Shapes,
)
from automl.data.filling import fill_outline
from automl.data.mask_files import UnknownValuesError, read_mask
from automl.data.orientation import is_stored_size, read_orientation, turn_pixels, turn_points
from automl.data.run_lengths import fill_runs
from automl.data.source import read_source
from automl.data.truth import IGNORED
from automl.data.truth_boxes import Images, runs_fit
from automl.data.workers import available_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MaskMade", "draw_mask", "made_in_turn", "mask_from_file"]

_AHEAD = 4
"""Masks in work for each thread."""


@dataclass
class MaskMade:
    """A mask of numbers, ``(H, W)`` uint8, or why there is none."""

    values: NDArray[np.uint8] | None = None
    notes: list[tuple[str, str]] = field(default_factory=list)
    """Rule and value of everything noticed."""


def made_in_turn(
    make: Callable[[int], MaskMade], rows: Sequence[int]
) -> Iterator[tuple[int, MaskMade]]:
    """Yield what ``make`` gives for each row, in order, made by several threads."""
    workers = available_cores()
    waiting: deque[tuple[int, Future[MaskMade]]] = deque()
    with ThreadPoolExecutor(workers, "automl-masks") as pool:
        try:
            for row in rows:
                waiting.append((row, pool.submit(make, row)))
                if len(waiting) >= workers * _AHEAD:
                    first, future = waiting.popleft()
                    yield first, future.result()
            for first, future in waiting:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def mask_from_file(
    root: Path,
    path: str,
    coding: MaskCoding,
    *,
    image_path: str,
    size: tuple[int, int],
    is_turned: bool,
) -> MaskMade:
    """Read one mask and bring it upright.

    Args:
        root: The data's folder.
        path: Of the mask, relative to it.
        coding: What its values mean.
        image_path: Of the image that it belongs to.
        size: (height, width) of that image, upright.
        is_turned: Whether the image has a rotation in its EXIF data.
    """
    try:
        read = read_mask(read_source(root, path), coding)
    except UnknownValuesError as error:
        return MaskMade(notes=[("unknown-mask-value", f"{path}: {error}")])
    except Exception as error:  # noqa: BLE001 - damaged files raise anything; it becomes a finding
        return MaskMade(notes=[("missing-mask", f"{path} ({_text_of(error)})")])
    made = MaskMade(read.values)
    if not read.is_sharp:
        made.notes.append(("unsharp-mask", ""))
    if is_turned and is_stored_size(_size(read.values), size):
        made.values = turn_pixels(read.values, read_orientation(root, image_path))
        made.notes.append(("stored-orientation", ""))
    elif _size(read.values) != size:
        height, width = _size(read.values)
        value = f"{path}: {width} x {height}, the image {size[1]} x {size[0]}"
        return MaskMade(notes=[("mask-size", value)])
    return made


def draw_mask(shapes: Shapes, images: Images, row: int, *, background: int) -> MaskMade:
    """Draw the objects of one image in the order given, each over those before it."""
    height, width = images.sizes[row].tolist()
    pixels = np.full((height, width), background, np.uint8)
    made = MaskMade(pixels)
    sample = images.samples[row]
    wanted = shapes.order[shapes.first[sample] : shapes.first[sample + 1]]
    drawn: set[tuple[int, bytes]] = set()
    for shape in wanted.tolist():
        label = int(shapes.label[shape])
        if label < 0:
            continue
        start, length = int(shapes.start[shape]), int(shapes.length[shape])
        flags = int(shapes.flags[shape])
        is_runs = flags & KIND_BITS == ShapeKind.RUN_LENGTHS
        column = shapes.runs if is_runs else shapes.values
        same = (label, column[start : start + length].tobytes())
        if same in drawn:
            made.notes.append(("duplicate-object", ""))
            continue
        drawn.add(same)
        value = IGNORED if flags & IGNORED_BIT else label
        draw = _draw_runs if is_runs else _draw_outline
        made.notes.extend((rule, "") for rule in draw(pixels, shapes, shape, images, row, value))
    return made


def _draw_runs(
    pixels: NDArray[np.uint8], shapes: Shapes, shape: int, images: Images, row: int, value: int
) -> Iterator[str]:
    start = int(shapes.start[shape])
    runs = shapes.runs[start : start + int(shapes.length[shape])]
    if not runs_fit(runs, images, row):
        yield "run-length-size"
        return
    inside = turn_pixels(fill_runs(runs), images.turned.get(row, 1))
    pixels[inside] = value
    if not inside.any():
        yield "empty-object"


def _draw_outline(
    pixels: NDArray[np.uint8], shapes: Shapes, shape: int, images: Images, row: int, value: int
) -> Iterator[str]:
    start, length = int(shapes.start[shape]), int(shapes.length[shape])
    if length < 6:
        yield "short-outline"
        return
    height, width = pixels.shape
    points = shapes.values[start : start + length].reshape(-1, 2).astype(np.float64)
    if int(shapes.flags[shape]) & RELATIVE_BIT:
        points = points * [width, height]
    elif row in images.turned:
        points = turn_points(points, images.turned[row], (height, width))
    low, high = points.min(0), points.max(0)
    if (high <= 0).any() or (low >= [width, height]).any():
        yield "outside-object"
        return
    top, left, inside = fill_outline(points, (height, width))
    if not inside.any():
        yield "empty-object"
        return
    if (low < -0.5).any() or (high > np.array([width, height]) + 0.5).any():
        yield "clipped-object"
    pixels[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = value


def _size(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


def _text_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "of no known format"
    return str(error) or type(error).__name__
