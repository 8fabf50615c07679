"""The answers of an artifact, by the very code that is delivered with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["resize_frame", "run_artifact"]


def run_artifact(
    path: Path, frames: Iterable[NDArray[np.uint8]], *, threads: int
) -> NDArray[np.float32]:
    """Return the probabilities of an ONNX file for frames, one at a time as in production.

    Args:
        path: of the ONNX file.
        frames: ``(H, W, 3)`` uint8 RGB; read one by one, so a generator keeps the memory small.
        threads: of the processor.

    Returns:
        ``(n, classes)`` float32 in [0, 1].
    """
    model = Model(path, threads=threads)
    rows = [model.predict(frame).probabilities for frame in frames]
    if not rows:
        return np.zeros((0, len(model.labels)), np.float32)
    return np.stack(rows).astype(np.float32, copy=False)


def resize_frame(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a uint8 frame squashed to (height, width): ``(H, W, 3)``, antialiased bilinear."""
    from PIL import Image

    if frame.shape[:2] == size:
        return np.ascontiguousarray(frame)
    image = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))
