"""The frame that is timed, and the call that is timed with it.

What is timed is what is delivered: :class:`automl.predictor.Model`, the class that is copied into
every bundle. Imported by the measuring processes only; needs numpy, onnxruntime and (for files)
Pillow.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from automl.predictor import Model, decode_image
from automl.records.provider import Provider

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Job", "build_call", "make_frame", "make_jpeg"]

_NPY_MARK = b"\x93NUMPY"
"""How files of :func:`numpy.save` begin: a frame that another machine decoded, so that a device
needs no Pillow where decoding is not timed."""
_JPEG_QUALITY = 90
_GRAIN_LEVELS = 13
_GRAIN_PERIOD = 40_009
"""A prime, so that the grain does not line up from row to row."""
_GRAIN_FACTOR = np.uint32(2_654_435_761)
"""Knuth's multiplicative hash, "The Art of Computer Programming", vol. 3, section 6.4."""


class Job(TypedDict):
    """A :class:`~automl.hardware.device.MeasureRequest` as the measuring process reads it
    (JSON)."""

    index: int
    path: str
    threads: int
    scope: str
    frame_size: tuple[int, int]
    min_runs: int
    min_seconds: float
    max_seconds: float
    budgets: list[tuple[str, float]]
    image: str | None
    provider: Provider
    powercap: str
    """The folder of the processor's energy counters."""


def build_call(job: Job) -> tuple[Callable[[], object], tuple[int, int]]:
    """Load the model and return the call to be timed, with (height, width) of the frame it gets.

    Raises:
        ImageError: when the image cannot be decoded.
        ProviderError: when the provider is not there, or runs no part of the file.
        Exception: of onnxruntime, when the file is no model it can load.
    """
    model = Model(job["path"], threads=job["threads"], provider=job["provider"])
    if job["scope"] == "file":
        if job["image"] is None:
            raise ValueError("Scope 'file' needs an encoded image; got none.")
        content = Path(job["image"]).read_bytes()
        return (lambda: model.predict(content)), _size(decode_image(content))
    frame = _frame(job, job["frame_size"])
    if job["scope"] == "frame":
        return (lambda: model.predict(frame)), _size(frame)
    prepared = _frame(job, model.frame_size or job["frame_size"])
    session, feed = model.session, {model.session.get_inputs()[0].name: prepared[None]}
    return (lambda: session.run(None, feed)), _size(prepared)


def make_frame(height: int, width: int) -> NDArray[np.uint8]:
    """Return a ``(height, width, 3)`` uint8 frame, always the same: soft shapes with a little
    grain.

    Like a photograph to a JPEG codec; pure noise would be the slowest image there is to decode.
    Made without large temporaries, since the peak memory of the process may be what is measured.
    """
    frame = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        down = _wave(height, channel, channel + 5.0)
        across = _wave(width, channel + 1.0, channel + 9.0)
        np.add.outer(down, across, out=frame[:, :, channel])
    grain = (np.arange(_GRAIN_PERIOD, dtype=np.uint32) * _GRAIN_FACTOR >> 24) % _GRAIN_LEVELS
    frame += np.resize(grain.astype(np.uint8), frame.shape)
    return frame


def make_jpeg(height: int, width: int) -> bytes:
    """Return that frame as a JPEG of quality 90."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(make_frame(height, width)).save(stream, "JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue()


def _wave(length: int, start: float, end: float) -> NDArray[np.uint8]:
    """Return a slow wave in 8..112, so that two waves and the grain stay below 256."""
    return (60 + 52 * np.sin(np.linspace(start, end, length))).astype(np.uint8)


def _frame(job: Job, size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    if job["image"] is None:
        return make_frame(height, width)
    content = Path(job["image"]).read_bytes()
    frame = _stored_frame(content) if content.startswith(_NPY_MARK) else decode_image(content)
    if _size(frame) == (height, width):
        return np.ascontiguousarray(frame)
    from PIL import Image

    resized = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized))


def _stored_frame(content: bytes) -> NDArray[np.uint8]:
    """Return a frame that was decoded elsewhere and saved by numpy."""
    frame: NDArray[np.uint8] = np.load(io.BytesIO(content), allow_pickle=False)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"A frame is (height, width, 3) uint8; got {frame.shape} {frame.dtype}.")
    return frame


def _size(frame: NDArray[np.uint8]) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]
