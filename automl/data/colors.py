"""The colours that stand for classes in pictures, and in the legends beside them.

One list, so that a class has the same colour wherever a picture of it is shown, and one rule for the
class that has none.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["background_of", "class_color", "class_color_code"]

_COLORS = (
    (230, 159, 0),
    (86, 180, 233),
    (213, 94, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
)
"""Told apart with every kind of colour vision (Okabe & Ito 2008, "Color universal design")."""


def class_color(index: int) -> tuple[int, int, int]:
    """Return the colour (red, green, blue) of a class by its position; they repeat after seven."""
    return _COLORS[index % len(_COLORS)]


def class_color_code(index: int) -> str:
    """Return the colour of a class as pages write it: ``#e69f00``."""
    red, green, blue = class_color(index)
    return f"#{red:02x}{green:02x}{blue:02x}"


def background_of(classes: Sequence[str]) -> int:
    """Return the class that is not coloured: the one called ``background``, else the first."""
    plain = [name.strip(" _-").lower() for name in classes]
    return plain.index("background") if "background" in plain else 0
