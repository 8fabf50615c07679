"""Look at one file once: hash it, decode it whole, note what is unusual, and make its thumbnail.

Worker processes run this, so it imports nothing heavier than numpy and Pillow.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.data.source import open_source
from automl.predictor import decode_image
from automl.storage import sha256_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NOTES",
    "THUMBNAIL_SIDE",
    "Examined",
    "FileFacts",
    "decode_quietly",
    "examine",
    "reduced_size",
    "resize",
    "unreadable",
]

THUMBNAIL_SIDE = 32
"""Pixels a side of the gray thumbnail by which near duplicates are found."""

NOTES = ("cmyk", "sixteen-bit", "palette", "alpha", "gray", "exif-rotated", "animated")
"""What may be noted of a usable image."""

_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of one file. ``rule`` and ``error`` are set when it cannot be used."""

    path: str
    size_bytes: int
    """Of the file; of the whole parquet file for an image inside one."""
    mtime_ns: int
    sha256: str
    height: int
    width: int
    notes: tuple[str, ...]
    rule: str | None
    error: str | None

    @property
    def is_usable(self) -> bool:
        """Whether the file was decoded whole."""
        return self.rule is None


@dataclass(frozen=True, slots=True)
class Examined:
    """Facts, the ``(32, 32)`` uint8 gray thumbnail, and the ``(H, W, 3)`` uint8 frame to store.

    Thumbnail and frame are ``None`` when the file is unusable; the frame also when none was asked
    for.
    """

    facts: FileFacts
    thumbnail: NDArray[np.uint8] | None
    frame: NDArray[np.uint8] | None


def examine(root: Path, path: str, *, stored_side: int | None) -> Examined:
    """Read and decode one file; never raises on account of what is in it.

    Args:
        root: The data's folder.
        path: The file, relative to it.
        stored_side: Longest side of the frame to return, larger ones are reduced to it; ``None``
            returns no frame.
    """
    try:
        content, status = open_source(root, path)
    except OSError as error:
        return Examined(unreadable(path, error), None, None)
    size, mtime, digest = status.size_bytes, status.mtime_ns, sha256_bytes(content)
    try:
        frame = decode_quietly(content)
        notes = _notes(content)
    except Exception as error:  # noqa: BLE001 - damaged files raise anything; it becomes a finding
        rule = _rule_of(error)
        text = "of no known format" if rule == "not-an-image" else _text_of(error)
        return Examined(FileFacts(path, size, mtime, digest, 0, 0, (), rule, text), None, None)
    height, width = frame.shape[:2]
    facts = FileFacts(path, size, mtime, digest, height, width, notes, None, None)
    stored = None
    if stored_side is not None:
        stored = resize(frame, reduced_size(height, width, stored_side))
    return Examined(facts, _thumbnail(frame), stored)


def unreadable(path: str, error: Exception) -> FileFacts:
    """Return the facts of a file that could not be opened. Its zero time makes them expire at
    once."""
    rule = "missing-file" if isinstance(error, FileNotFoundError) else "unreadable-file"
    return FileFacts(path, 0, 0, "", 0, 0, (), rule, _text_of(error))


def decode_quietly(content: bytes) -> NDArray[np.uint8]:
    """Return :func:`automl.predictor.decode_image` of the bytes, without the decoder's warnings.

    Raises:
        ImageError: as ``decode_image``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode_image(content)


def reduced_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return (height, width) with the longest side at most ``longest``, the aspect kept."""
    side = max(height, width)
    if side <= longest:
        return height, width
    return max(1, round(height * longest / side)), max(1, round(width * longest / side))


def resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return ``(H, W, 3)`` uint8 resized to (height, width), bilinear and antialiased.

    Pillow's BILINEAR is the same triangle filter as torch's ``interpolate(mode="bilinear",
    antialias=True, align_corners=False)``, within one level of rounding. The same size is returned
    as is.
    """
    if frame.shape[:2] == size:
        return frame
    from PIL import Image

    resized = Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _notes(content: bytes) -> tuple[str, ...]:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as image:
            noted = {
                "cmyk": image.mode in ("CMYK", "YCCK"),
                "sixteen-bit": image.mode == "I" or image.mode.startswith("I;16"),
                "palette": image.mode in ("P", "PA"),
                "alpha": "A" in image.getbands() or "transparency" in image.info,
                "gray": image.mode in ("L", "LA", "1") or image.mode.startswith("I"),
                "exif-rotated": image.getexif().get(_EXIF_ORIENTATION, 1) in range(2, 9),
                # A multi-picture JPEG (MPO) holds a preview, no animation.
                "animated": getattr(image, "n_frames", 1) > 1 and image.format != "MPO",
            }
    return tuple(name for name in NOTES if noted[name])


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    gray = Image.fromarray(frame).convert("L")
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(gray.resize(side, Image.Resampling.BILINEAR, reducing_gap=3.0))


def _rule_of(error: Exception) -> str:
    """Name what is wrong with a file that was read but not decoded."""
    from PIL import UnidentifiedImageError

    text = str(error)
    if isinstance(error.__cause__, UnidentifiedImageError):
        return "not-an-image"
    if "0 bytes" in text and "empty" in text:
        return "empty-file"
    if "bomb" in text:
        return "decompression-bomb"
    if any(word in text.lower() for word in ("truncated", "broken data stream", "unexpected end")):
        return "truncated-file"
    return "unreadable-file"


def _text_of(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__
