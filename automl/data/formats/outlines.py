"""Outlines of shapes that tools describe by a few numbers: turned rectangles and ellipses."""

from __future__ import annotations

import math

__all__ = ["ellipse", "rotated_box"]

_CORNERS_OF_ELLIPSE = 36
"""The outline stays within 0.4 % of the radius: under a pixel up to a radius of 250."""


def rotated_box(
    corners: tuple[float, float, float, float],
    degrees: float,
    *,
    around: tuple[float, float] | None = None,
) -> list[float]:
    """Return ``x0, y0, x1, y1, …`` of a rectangle turned clockwise.

    Args:
        corners: Left, top, right, bottom before it is turned, in pixels.
        degrees: How far.
        around: The point that stays where it is; by default the middle.
    """
    left, top, right, bottom = corners
    x, y = around or ((left + right) / 2, (top + bottom) / 2)
    points = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [
        value
        for across, down in points
        for value in _turned(across - x, down - y, degrees, centre=(x, y))
    ]


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0
) -> list[float]:
    """Return ``x0, y0, x1, y1, …`` of an ellipse turned clockwise around its centre."""
    angles = (2 * math.pi * i / _CORNERS_OF_ELLIPSE for i in range(_CORNERS_OF_ELLIPSE))
    return [
        value
        for angle in angles
        for value in _turned(
            radii[0] * math.cos(angle), radii[1] * math.sin(angle), degrees, centre=centre
        )
    ]


def _turned(
    across: float, down: float, degrees: float, *, centre: tuple[float, float]
) -> tuple[float, float]:
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    return centre[0] + across * cosine - down * sine, centre[1] + across * sine + down * cosine
