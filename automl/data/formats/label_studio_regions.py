"""The regions of Label Studio: rectangles, ellipses, outlines and brushes, in percent of the image.

A rectangle turns around its upper left corner, an ellipse around its middle, both clockwise in pixels
(not in percent), so that the size of the image is needed to turn them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.brushes import column_runs, unpack_picture
from automl.data.formats.outlines import ellipse, rotated_box
from automl.data.run_lengths import decode_compressed

__all__ = ["Add", "is_region", "region", "short"]

Add = Callable[[AnnotationBuilder, int, str, str], None]
"""Adds a region to an image: builder, image, label, file and line."""
_KEYS = frozenset({"x", "points", "rle", "radiusX"})


def is_region(value: Mapping[str, Any]) -> bool:
    """Whether the value of a result describes a part of the image."""
    return not _KEYS.isdisjoint(value)


def region(value: Mapping[str, Any], size: tuple[int, int] | None) -> Add:
    """Return what adds a region of (height, width) in pixels, if it is known.

    Raises:
        KeyError: a field is missing.
        ValueError, TypeError: a field is not what it should be.
    """
    if "rle" in value:
        return _brush(value, size)
    if "points" in value:
        shares = [_number(number) / 100 for point in value["points"] for number in _pair(point)]
        return lambda builder, image, label, where: builder.polygon(
            image, label, shares, where=where, relative=True
        )
    if "radiusX" in value:
        radii = (_number(value["radiusX"]), _number(value["radiusY"]))
        centre = (_number(value["x"]), _number(value["y"]))
        angle = _number(value.get("rotation", 0))
        if angle:
            centre, radii = _in_pixels(centre, size), _in_pixels(radii, size)
            return _outline(ellipse(centre, radii, angle), relative=False)
        return _outline([share / 100 for share in ellipse(centre, radii)], relative=True)
    return _rectangle(value, size)


def _rectangle(value: Mapping[str, Any], size: tuple[int, int] | None) -> Add:
    left, top, width, height = (_number(value[name]) for name in ("x", "y", "width", "height"))
    angle = _number(value.get("rotation", 0))
    if not angle:
        shares = ((left + width / 2) / 100, (top + height / 2) / 100, width / 100, height / 100)
        return lambda builder, image, label, where: builder.relative_box(
            image, label, *shares, where=where
        )
    # The corner at the upper left stays where it is; angles hold in pixels, not in percent.
    x, y = _in_pixels((left, top), size)
    right, bottom = _in_pixels((left + width, top + height), size)
    return _outline(rotated_box((x, y, right, bottom), angle, around=(x, y)), relative=False)


def _brush(value: Mapping[str, Any], size: tuple[int, int] | None) -> Add:
    if size is None:
        raise KeyError("original_width and original_height")
    packed = value["rle"]
    if isinstance(packed, str):
        runs = decode_compressed(packed)
    elif value.get("format", "rle") == "rle":
        runs = column_runs(unpack_picture([int(byte) for byte in packed], size), 0, 0, size)
    else:
        raise ValueError(f"the format '{value['format']}' is not 'rle'")
    return lambda builder, image, label, where: builder.run_lengths(
        image, label, runs, size, where=where
    )


def _outline(points: Sequence[float], *, relative: bool) -> Add:
    return lambda builder, image, label, where: builder.polygon(
        image, label, points, where=where, relative=relative
    )


def _in_pixels(percent: tuple[float, float], size: tuple[int, int] | None) -> tuple[float, float]:
    if size is None:
        raise KeyError("original_width and original_height")
    return percent[0] * size[1] / 100, percent[1] * size[0] / 100


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{short(value)} is no number")
    return float(value)


def _pair(point: object) -> Sequence[object]:
    if not isinstance(point, list) or len(point) != 2:
        raise ValueError(f"{short(point)} is no point")
    return point


def short(value: object) -> str:
    """Return the beginning of a value as JSON, for messages."""
    return json.dumps(value, ensure_ascii=False, default=str)[:80]
