"""The shapes of CVAT that enclose an area: boxes and ellipses, perhaps turned, outlines and painted masks.

Each is checked whole before it is added, since shapes are added in the order of their layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.brushes import column_runs, row_runs_pixels
from automl.data.formats.outlines import ellipse, rotated_box

__all__ = ["SHAPES", "Add", "number"]

Add = Callable[[], None]
Size = tuple[int, int] | None


def _box(
    builder: AnnotationBuilder, image: int, label: str, a: dict[str, str], _: Size, where: str
) -> Add:
    left, top, right, bottom = (number(a, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    angle = number(a, "rotation") if "rotation" in a else 0.0
    if not angle:
        return lambda: builder.box(image, label, (left, top, right, bottom), where=where)
    points = rotated_box((left, top, right, bottom), angle)
    return lambda: builder.polygon(image, label, points, where=where)


def _polygon(
    builder: AnnotationBuilder, image: int, label: str, a: dict[str, str], _: Size, where: str
) -> Add:
    points = list(_points(a["points"]))
    return lambda: builder.polygon(image, label, points, where=where)


def _ellipse(
    builder: AnnotationBuilder, image: int, label: str, a: dict[str, str], _: Size, where: str
) -> Add:
    centre = (number(a, "cx"), number(a, "cy"))
    radii = (number(a, "rx"), number(a, "ry"))
    points = ellipse(centre, radii, number(a, "rotation") if "rotation" in a else 0.0)
    return lambda: builder.polygon(image, label, points, where=where)


def _mask(
    builder: AnnotationBuilder, image: int, label: str, a: dict[str, str], size: Size, where: str
) -> Add:
    if size is None:
        raise ValueError("a mask in an image without width and height")
    left, top, width, height = (int(number(a, n)) for n in ("left", "top", "width", "height"))
    try:
        counts = [int(count) for count in a["rle"].split(",")]
    except ValueError as error:
        raise ValueError(f"rle='{a['rle'][:80]}'") from error
    runs = column_runs(row_runs_pixels(counts, width, height), left, top, size)
    return lambda: builder.run_lengths(image, label, runs, size, where=where)


SHAPES: dict[str, Callable[..., Add]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}
"""What encloses an area; each checks its attributes and returns what adds it."""


def number(attributes: dict[str, str], name: str) -> float:
    """Return an attribute that is a number.

    Raises:
        KeyError: it is missing.
        ValueError: it is no number.
    """
    try:
        value = float(attributes[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name}='{attributes[name][:80]}'")
    return value


def _points(text: str) -> Iterator[float]:
    for point in text.split(";"):
        try:
            x, y = point.split(",")
            yield float(x)
            yield float(y)
        except ValueError as error:
            raise ValueError(f"points='{text[:80]}'") from error
