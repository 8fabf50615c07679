"""Frozen features through ONNX Runtime: the same numbers as in torch, several times faster on processors.

One file holds all depths that are asked of a backbone, so that the shallow stages, which most of the time
goes to, run once. It takes batches of a fixed size: torch exports that for every network, and a batch with
a free size for some.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.errors import AutomlError
from automl.export.graph import save_model, strip_notes
from automl.export.onnx import OPSET, quiet_exporter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.data.views import Images
    from automl.models.pooled import PooledFeatures

__all__ = ["BATCH", "export_features", "run_features"]

BATCH = 16
"""Images at once: more are no quicker on a processor."""


def export_features(features: PooledFeatures, path: Path, *, image_size: int) -> None:
    """Write pooled features as an ONNX file: ``(16, S, S, 3)`` uint8 to ``(16, C)`` for each depth.

    Raises:
        AutomlError: when torch cannot export the network.
    """
    import torch

    example = torch.zeros((BATCH, image_size, image_size, 3), dtype=torch.uint8)
    names = [f"depth_{'full' if depth is None else depth}" for depth in features.depths]
    try:
        with quiet_exporter(), torch.no_grad():
            program = torch.onnx.export(
                features,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                optimize=True,
                verbose=False,
                input_names=["frames"],
                output_names=names,
            )
    except torch.onnx.OnnxExporterError as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise AutomlError(
            f"torch {torch.__version__} cannot export its features: {cause}"
        ) from error
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program although dynamo=True was asked.")
    model: Any = program.model_proto
    strip_notes(model)
    save_model(model, path, {})


def run_features(path: Path, images: Images, *, threads: int) -> tuple[NDArray[np.float32], ...]:
    """Return the features of some images, one array ``(n, C)`` float32 for each depth of a file.

    Args:
        path: of a file that :func:`export_features` wrote.
        images: at its size.
        threads: of the processor.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows: list[list[NDArray[np.float32]]] = [[] for _ in session.get_outputs()]
    for batch, count in _batches(images):
        for kept, values in zip(rows, session.run(None, {"frames": batch}), strict=True):
            kept.append(values[:count])
    return tuple(np.concatenate(kept) for kept in rows)


def _batches(images: Images) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield batches of the fixed size, the last one filled up, with how many of each count."""
    for start in range(0, len(images), BATCH):
        positions = np.arange(start, min(start + BATCH, len(images)))
        filled = np.concatenate([positions, np.full(BATCH - len(positions), positions[-1])])
        yield images.batch(filled), len(positions)
