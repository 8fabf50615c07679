"""The threshold inside a finished ONNX file: one constant of the graph, read and replaced in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from automl.errors import AutomlError
from automl.storage import write_atomic

__all__ = ["read_threshold", "write_threshold"]

_NAME = "memory.threshold"
"""The constant's name ends so: that of the buffer (:mod:`automl.models.anomaly_memory`)."""


def read_threshold(file: Path) -> float:
    """Return the threshold of an exported anomaly network.

    Raises:
        AutomlError: when the file has none.
    """
    from onnx import numpy_helper

    return float(numpy_helper.to_array(_find(_load(file), file)).reshape(-1)[0])


def write_threshold(file: Path, value: float) -> None:
    """Replace the threshold of a file, atomically; the same value gives the same bytes.

    Raises:
        AutomlError: when the file has none.
        ValueError: when the value is no positive number.
    """
    from onnx import numpy_helper

    if not np.isfinite(value) or value <= 0:
        raise ValueError(f"A threshold is a positive number; got {value}.")
    model = _load(file)
    constant = _find(model, file)
    shape = numpy_helper.to_array(constant).shape
    replaced = numpy_helper.from_array(np.full(shape, value, np.float32), constant.name)
    constant.CopyFrom(replaced)
    write_atomic(file, model.SerializeToString(deterministic=True))


def _load(file: Path) -> Any:
    import onnx

    return onnx.load(str(file))


def _find(model: Any, file: Path) -> Any:
    found = [one for one in model.graph.initializer if one.name.endswith(_NAME)]
    if len(found) != 1:
        raise AutomlError(
            f"'{file}' has {len(found)} constants called '…{_NAME}'; an anomaly network has one. "
            "Export it again."
        )
    return found[0]
