"""What paths, coordinates and run lengths may be in annotations."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

__all__ = ["NO_COORDINATE", "are_coordinates", "are_runs", "path_inside", "problem_of_rings"]

_FARTHEST_PX = 2.0**31
"""No image is as long, or has as many pixels; a coordinate beyond it is none."""
NO_COORDINATE = "a coordinate that is no number or beyond every image"


def path_inside(root: Path, path: str) -> str | None:
    """Return a path relative to the root in its plainest form; ``None``: it leads outside."""
    if "\\" in path and not (root / path).exists():
        path = path.replace("\\", "/")
    if path.startswith("/") or path[1:3] == ":/":
        path = os.path.relpath(path, root.absolute())
    if "//" in path or "./" in path or path.endswith(("/", "/.", "..")):
        path = posixpath.normpath(path)
    is_outside = not path or path in (".", "..") or path.startswith("../") or "\0" in path
    return None if is_outside else path


def are_coordinates(values: Sequence[float]) -> bool:
    """Whether all values are numbers that a place in an image may have."""
    return all(-_FARTHEST_PX < value < _FARTHEST_PX for value in values)  # false for NaN


def problem_of_rings(rings: Sequence[Sequence[float]]) -> str:
    """Say what is wrong with the numbers of an outline; ``""``: nothing."""
    if any(len(points) % 2 for points in rings):
        return "an odd number of coordinates"
    return "" if all(map(are_coordinates, rings)) else NO_COORDINATE


def are_runs(counts: Sequence[int], size: tuple[int, int]) -> bool:
    """Whether runs are none below zero and cover an image of (height, width) exactly."""
    pixels = size[0] * size[1]
    is_size = min(size) > 0 and pixels < _FARTHEST_PX
    return is_size and min(counts, default=-1) >= 0 and sum(counts) == pixels
