"""Whether the exported file says what the PyTorch model says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor import ANSWERS, Model
from automl.records import Parity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.export.deployed import Deployed
    from automl.tasks.base import Task

__all__ = ["check_parity"]


def check_parity(
    deployed: Deployed,
    path: Path,
    task: Task,
    frames: Sequence[NDArray[np.uint8]],
    *,
    threads: int = 1,
) -> Parity:
    """Compare an ONNX file with the module that it came from on real ``(H, W, 3)`` uint8 frames.

    Raises:
        ValueError: when there is no frame to compare on.
    """
    import torch

    if not len(frames):
        raise ValueError("Parity is checked on at least one frame; got none.")
    model = Model(path, threads=threads)
    device = next(deployed.buffers()).device
    largest, same = 0.0, 0
    for frame in frames:
        batch = torch.from_numpy(np.array(frame)[None]).to(device)
        with torch.inference_mode():
            given = deployed(batch)
        arrays = {n: t.cpu().numpy() for n, t in zip(task.outputs, given, strict=True)}
        expected = ANSWERS[task.name].read(arrays, task.classes, model.settings)
        compared = task.compare(expected, model.predict(frame))
        largest = max(largest, compared.difference)
        same += compared.is_same
    return Parity(len(frames), largest, same / len(frames))
