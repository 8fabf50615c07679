"""The answers of an artifact, by the very code that is delivered with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor import Answer, Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.records import Scores
    from automl.tasks.base import Judged, Task

__all__ = ["answers_of", "resize_frame", "score_artifact"]


def answers_of(
    path: Path, frames: Iterable[NDArray[np.uint8]], *, threads: int
) -> Iterator[Answer]:
    """Yield the answers of an ONNX file for frames, one at a time as in production.

    Args:
        path: of the ONNX file.
        frames: ``(H, W, 3)`` uint8 RGB; read one by one, so a generator keeps the memory small.
        threads: of the processor.
    """
    model = Model(path, threads=threads)
    for frame in frames:
        yield model.predict(frame)


def score_artifact(path: Path, task: Task, judged: Iterable[Judged], *, threads: int) -> Scores:
    """Return every metric of an ONNX file over images with their truths, read one by one."""
    model = Model(path, threads=threads)
    scorer = task.scorer()
    for one in judged:
        scorer.add(model.predict(one.frame), one.truth)
    return scorer.scores()


def resize_frame(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a uint8 frame squashed to (height, width): ``(H, W, 3)``, antialiased bilinear."""
    from PIL import Image

    if frame.shape[:2] == size:
        return np.ascontiguousarray(frame)
    image = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))
