"""What a colour or a shape stands for. The page shows legends itself, so that they wrap."""

from __future__ import annotations

from dataclasses import dataclass

from automl.data.colors import background_of, class_color_code

__all__ = ["LegendEntry", "build_legend"]

_MOST = 30
"""Classes with an entry; colours repeat long before."""


@dataclass(frozen=True)
class LegendEntry:
    """One entry."""

    label: str
    colour: str = "currentColor"
    shape: str = "circle"


def build_legend(classes: tuple[str, ...]) -> tuple[LegendEntry, ...]:
    """Return the colours that stand for classes in pictures; the background has none."""
    background = background_of(classes)
    return tuple(
        LegendEntry(name, class_color_code(i), "square")
        for i, name in enumerate(classes[:_MOST])
        if i != background
    )
