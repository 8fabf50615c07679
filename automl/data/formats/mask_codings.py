"""Find out what the values of mask files mean, from what is written beside them and from some masks.

What the spec says comes first (``data.colors``), then a list of classes beside the masks, then what
the masks look like: gray numbers, indices of a palette, colours, or black and white.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from automl.data.annotations import MaskCoding
from automl.data.findings import finding, listed
from automl.data.formats.class_lists import ClassList, color
from automl.data.formats.listing import ReadOptions
from automl.data.truth import IGNORED
from automl.errors import DataError
from automl.records import Finding
from automl.units import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["BINARY_NAMES", "Coded", "choose_coding"]

BINARY_NAMES = ("background", "object")
"""Classes of black and white masks that nobody named."""

_LOOKED_AT = 50
_MOST_VALUES = 4096
_MOST_GUESSED = 64
"""A larger gray value is a shade of gray, not the number of a class that nobody named."""
_DARK, _BRIGHT = 32, 223
"""JPEG and resizing blur black and white: values below and above count as one of them."""
_BLURRED_VALUES = 16
_EXTREMES = 0.9
"""Share of pixels that are black or white; the edges of objects are blurred alone."""


@dataclass(frozen=True)
class Coded:
    """How masks are to be read, with what a person should know about the choice."""

    coding: MaskCoding
    findings: tuple[Finding, ...] = ()


@dataclass
class _Looks:
    """What some masks were seen to hold."""

    masks: int = 0
    modes: set[str] = field(default_factory=set)
    values: set[int] = field(default_factory=set)
    """Gray levels or indices; colours as ``0xrrggbb``."""
    black_and_white: int = 0


def choose_coding(
    masks: Sequence[str],
    read: Callable[[str], bytes],
    *,
    options: ReadOptions,
    listed_classes: ClassList | None,
    where: str,
) -> Coded:
    """Say how masks are coded, having looked at up to 50 of them, evenly spread.

    Args:
        masks: Their paths.
        read: Returns the content of one, or raises ``OSError``.
        options: The spec's classes and colours.
        listed_classes: What stands beside the masks.
        where: What to call them in messages.

    Raises:
        DataError: colours or shades of gray that nobody gave a meaning.
    """
    looks = _look(masks, read)
    colors = _colors(options.colors, listed_classes)
    if colors is not None and (options.colors or looks.modes & {"RGB", "P"}):
        return Coded(MaskCoding("color", colors.names, colors.colors))
    if "RGB" in looks.modes:
        raise DataError(_unknown_colors(looks, where))
    names = () if listed_classes is None else listed_classes.names
    if _is_binary(looks, options) and len(names or options.classes) <= 2:
        return _binary(names, options)
    kind: Literal["index", "palette"] = "palette" if "P" in looks.modes else "index"
    if names or options.classes:
        return Coded(MaskCoding(kind, names or options.classes))
    return _guessed(kind, looks, total=len(masks), where=where)


def _binary(names: tuple[str, ...], options: ReadOptions) -> Coded:
    named = names or options.classes
    if len(named) == 1:
        named = (BINARY_NAMES[0], *named)
    return Coded(MaskCoding("binary", named or BINARY_NAMES, polarity=options.foreground))


def _guessed(kind: Literal["index", "palette"], looks: _Looks, *, total: int, where: str) -> Coded:
    """Name the classes after the values seen."""
    numbers = sorted(looks.values - {IGNORED}) or [0]
    if numbers[-1] > _MOST_GUESSED:
        example = ", ".join(f"{n}: '#{n:02x}{n:02x}{n:02x}'" for n in numbers[:3])
        raise DataError(
            f"The masks in {where} have the values {_numbers(numbers)}, which look like shades of "
            "gray, not like numbers of classes. Name the class of each in the spec's data.colors "
            f"({example}), or list the classes by number in classes.txt."
        )
    names = tuple(f"class {number}" for number in range(numbers[-1] + 1))
    seen = "all" if looks.masks == total else f"{looks.masks:,} of {total:,}"
    note = finding(
        "unnamed-classes",
        "info",
        f"Named after their numbers: {plural(len(names), 'class', 'classes')} of the masks in "
        f"{where}, whose values are {_numbers(numbers)} ({seen} masks were looked at).",
        remedy="List the names in classes.txt beside the masks, one a line, beginning with that of 0.",
        paths=[where.strip("'")],
        count=len(names),
    )
    return Coded(MaskCoding(kind, names), (note,))


def _colors(given: Mapping[str, str], found: ClassList | None) -> ClassList | None:
    """Return the colours of the spec, else those of the list beside the masks."""
    if given:
        colors = tuple(color(text, f"data.colors of '{name}'") for name, text in given.items())
        return ClassList(Path("data.colors"), tuple(given), colors)
    return found if found is not None and found.colors else None


def _look(masks: Sequence[str], read: Callable[[str], bytes]) -> _Looks:
    looks = _Looks()
    step = max(1, len(masks) / _LOOKED_AT)
    for position in range(min(len(masks), _LOOKED_AT)):
        try:
            _take_in(looks, read(masks[int(position * step)]))
        except Exception:  # noqa: BLE001 - damaged files raise anything; all masks are judged later
            continue
    return looks


def _take_in(looks: _Looks, content: bytes) -> None:
    """Add the mode and the different values of one mask."""
    from PIL.Image import open as open_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_image(io.BytesIO(content)) as image:
            image.load()
            pixels = np.asarray(image if image.mode in ("L", "P") else _plain(image))
            palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
            mode = "P" if image.mode == "P" else "L"
    if pixels.ndim == 3 and (pixels != pixels[..., :1]).any():
        mode, pixels = "RGB", pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    elif pixels.ndim == 3:
        pixels = pixels[..., 0]
    values, counts = np.unique(pixels, return_counts=True)
    if mode == "P" and values[-1] < len(palette) and _is_gray_ramp(palette[values], values):
        mode, values = "L", palette[values, 0]
    looks.masks += 1
    looks.modes.add(mode)
    looks.black_and_white += mode == "L" and _is_black_and_white(values, counts)
    if len(looks.values) < _MOST_VALUES:
        looks.values.update(values[:_MOST_VALUES].tolist())


def _plain(image: Image) -> Image:
    """Return an image of numbers or of red, green and blue."""
    if image.mode.startswith("I") or image.mode == "F":
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _is_gray_ramp(colors: NDArray[np.uint8], indices: NDArray[np.integer]) -> bool:
    """Whether a palette says nothing: colours equal to their index, or black and white alone."""
    if (colors != colors[:, :1]).any():
        return False
    is_white = bool((colors[:, 0] == 255).any())
    return bool((colors[:, 0] == indices).all()) or (
        is_white and bool(np.isin(colors[:, 0], (0, 255)).all())
    )


def _is_black_and_white(values: NDArray[np.integer], counts: NDArray[np.intp]) -> bool:
    """Whether nearly all is black or white, and what lies between is a blur."""
    if np.isin(values, (0, 255)).all():
        return True
    is_bright = (values > _BRIGHT) & (values <= 255)
    blurred = (values > _DARK) & (values <= _BRIGHT)
    is_blurred = blurred.sum() > _BLURRED_VALUES or (is_bright & (values < 255)).any()
    extremes = counts[is_bright | (values < _DARK)].sum() / counts.sum()
    return bool(is_bright.any() and is_blurred and extremes > _EXTREMES)


def _is_binary(looks: _Looks, options: ReadOptions) -> bool:
    """Whether all masks seen are black and white; with 0 and 1, only if the spec tells them."""
    if options.foreground != "auto" and looks.values <= {0, 1} and "RGB" not in looks.modes:
        return True
    return looks.modes == {"L"} and looks.black_and_white == looks.masks


def _unknown_colors(looks: _Looks, where: str) -> str:
    shown = listed([f"#{value:06x}" for value in sorted(looks.values)], most=8)
    return (
        f"The masks in {where} are coloured ({shown}), and nothing says which class each colour "
        "is. Name them in the spec's data.colors (crack: '#ff0000'), or in a file class_dict.csv "
        "beside the masks with the columns name,r,g,b."
    )


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:10])
    return f"{shown} and {len(numbers) - 10:,} more" if len(numbers) > 10 else shown
