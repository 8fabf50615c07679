"""Raw outputs of a file for a few frames: does another machine give the same answers?

A processor with other instructions rounds 8-bit products differently; whether that changes answers
is found out by comparing what the same file gives for the same frames here and there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.predictor import Model, decode_image
from automl.records.provider import Provider

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RawOutputs", "fitting_frames", "raw_outputs"]

RawOutputs = dict[str, "NDArray[Any]"]
"""What a file gave for one frame, by the names of its outputs."""


def fitting_frames(
    path: str, images: Iterable[bytes | NDArray[np.uint8]]
) -> list[NDArray[np.uint8]]:
    """Return images as frames of the size that a file takes, as :meth:`Model.predict` makes them.

    Args:
        path: the ONNX file.
        images: encoded images, or ``(height, width, 3)`` uint8 RGB.

    Raises:
        ImageError: when one cannot be decoded.
    """
    size = Model(path).frame_size
    return [_fitting(image, size) for image in images]


def raw_outputs(
    path: str,
    frames: Iterable[NDArray[np.uint8]],
    *,
    threads: int = 1,
    provider: Provider = "cpu",
) -> Iterator[RawOutputs]:
    """Yield the outputs of a file for each ``(height, width, 3)`` uint8 frame, in order.

    Raises:
        ProviderError: when the provider is not there, or runs no part of the file.
        Exception: of onnxruntime, when the file cannot be loaded or run.
    """
    session = Model(path, threads=threads, provider=provider).session
    name = session.get_inputs()[0].name
    outputs = [output.name for output in session.get_outputs()]
    for frame in frames:
        yield dict(zip(outputs, session.run(None, {name: frame[None]}), strict=True))


def _fitting(image: bytes | NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    frame = decode_image(image) if isinstance(image, bytes) else image
    if size is not None and frame.shape[:2] != size:
        from PIL import Image

        resized = Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        frame = np.asarray(resized)
    return np.ascontiguousarray(frame)
