"""Writes the HTML report of a run, with small pictures of the images that it shows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.data.source import read_source
from automl.pipeline.folder import RunFolder
from automl.predictor import ImageError, decode_image
from automl.records import RunRecord
from automl.storage import write_atomic

if TYPE_CHECKING:
    from automl.report import Picture

__all__ = ["write_report"]

_QUALITIES = ((1.0, 85), (1.0, 70), (0.75, 70), (0.75, 50), (0.5, 60))
"""Share of the side and JPEG quality, tried in turn until a picture fits its share of the bytes."""
_MARK = (255, 196, 0)
"""Colour of the box around the part of an image that is in question: yellow, on a dark edge."""


def write_report(record: RunRecord) -> Path:
    """Render a run into ``report.html`` of its folder and return the path."""
    from automl.report import render_report

    path = RunFolder(Path(record.folder)).report
    write_atomic(path, render_report(record, images=_thumbnails(record)).encode())
    return path


def _thumbnails(record: RunRecord) -> dict[str, bytes]:
    """Return JPEG bytes by key for the pictures that the report shows and that can be read.

    Each gets an equal share of the bytes that a report has for pictures; one that is shown for several
    targets stands in the page as often.
    """
    from automl.report import MAX_IMAGE_BYTES, wanted_pictures

    wanted = wanted_pictures(record)
    share = MAX_IMAGE_BYTES // max(1, sum(picture.uses for picture in wanted))
    found = {}
    for picture in wanted:
        try:
            content = _read(record, picture)
            found[picture.key] = _thumbnail(content, picture.place, share)
        except (OSError, ImageError):
            continue  # the report shows the name alone
    return found


def _read(record: RunRecord, picture: Picture) -> bytes:
    if picture.in_run:
        return (Path(record.folder) / picture.path).read_bytes()
    return read_source(Path(record.data.dataset.root), picture.path)


def _thumbnail(content: bytes, place: Sequence[float] | None, most_bytes: int) -> bytes:
    """Return an image as JPEG, the part in question framed, as sharp as its bytes allow."""
    from PIL import Image

    from automl.report import THUMBNAIL_SIDE

    whole = Image.fromarray(decode_image(content))
    width = whole.width
    whole.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    encoded = b""
    for share, quality in _QUALITIES:
        small = whole.copy()
        side = round(THUMBNAIL_SIDE * share)
        small.thumbnail((side, side))
        if place is not None:
            _frame(small, [edge * small.width / width for edge in place])
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=quality)
        encoded = stream.getvalue()
        if len(encoded) <= most_bytes:
            break
    return encoded


def _frame(image: Any, box: Sequence[float]) -> None:
    """Draw a box (left, top, right, bottom) onto a Pillow image."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    left, top, right, bottom = box
    draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline=(0, 0, 0), width=1)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_MARK, width=2)
