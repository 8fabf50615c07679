"""Writes the HTML report of a run, with small pictures of the images that it shows."""

from __future__ import annotations

import io
from pathlib import Path

from automl.pipeline.folder import RunFolder
from automl.predictor import ImageError, decode_image
from automl.records import RunRecord
from automl.storage import write_atomic

__all__ = ["write_report"]

_JPEG_QUALITY = 80


def write_report(record: RunRecord) -> Path:
    """Render a run into ``report.html`` of its folder and return the path."""
    from automl.report import render_report

    path = RunFolder(Path(record.folder)).report
    write_atomic(path, render_report(record, images=_thumbnails(record)).encode())
    return path


def _thumbnails(record: RunRecord) -> dict[str, bytes]:
    """Return JPEG bytes by relative path for the images that the report shows and that can be read."""
    from automl.report import sample_paths

    root = Path(record.data.dataset.root)
    pictures = {}
    for path in sample_paths(record):
        try:
            pictures[path] = _thumbnail((root / path).read_bytes())
        except (OSError, ImageError):
            continue  # the report shows the name alone
    return pictures


def _thumbnail(content: bytes) -> bytes:
    from PIL import Image

    from automl.report import THUMBNAIL_SIDE

    image = Image.fromarray(decode_image(content))
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue()
