"""The value range of every tensor inside a network, learnt from training images.

Eight bits hold 256 values; calibration decides which range they span. ``minmax`` takes the smallest
and the largest value seen, ``percentile`` cuts the rarest values off, ``entropy`` takes the range
that loses the least information (Migacz, "8-bit inference with TensorRT", GTC 2017).
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.export.evaluate import resize_frame
from automl.export.graph import POSTPROCESS, read_metadata
from automl.export.onnx import INPUT_NAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CalibrationMethod", "quiet_quantizer", "tensor_ranges"]

_CHUNK = 8
_CHUNK_PIXELS = 8 * 256 * 256
"""Frames whose intermediate tensors are held at once, and their pixels: what bounds the memory of the
histograms. A U-Net on a frame of 1024 x 1024 pixels holds more than a gigabyte."""
_HISTOGRAM_FRAMES = 32
"""Histograms of every tensor cost a second per ten frames, and settle long before this many."""
_OPTIONS: dict[str, dict[str, object]] = {
    "minmax": {},
    # Both ends are cut separately, since activations after a ReLU have only one.
    "percentile": {"symmetric": False, "num_bins": 2048, "percentile": 99.99},
    # The search over ranges is slow (5 s for 80 layers); 256 bins against 128 levels leave 64 to
    # compare.
    "entropy": {"symmetric": False, "num_bins": 256, "num_quantized_bins": 128},
}


class CalibrationMethod(StrEnum):
    """How a range is chosen, in the order in which they are tried."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"


def tensor_ranges(
    prepared: Path,
    frames: Sequence[NDArray[np.uint8]],
    method: CalibrationMethod,
    *,
    op_types: Sequence[str],
    folder: Path,
) -> Any:
    """Return onnxruntime's ``TensorsData``: the range of each tensor that the operators touch.

    Args:
        prepared: a float model with inferred shapes.
        frames: ``(H, W, 3)`` uint8, brought to the size that the model works with.
        method: how ranges are chosen.
        op_types: operators that will be quantized.
        folder: for the augmented model.

    Raises:
        ValueError: when there is no frame.
    """
    from onnxruntime.quantization import calibrate

    if not len(frames):
        raise ValueError("Calibration needs at least one frame of the training split; got none.")
    kinds = {
        CalibrationMethod.MINMAX: calibrate.CalibrationMethod.MinMax,
        CalibrationMethod.PERCENTILE: calibrate.CalibrationMethod.Percentile,
        CalibrationMethod.ENTROPY: calibrate.CalibrationMethod.Entropy,
    }
    used = frames if method is CalibrationMethod.MINMAX else _spread(frames, _HISTOGRAM_FRAMES)
    with quiet_quantizer():
        calibrator = calibrate.create_calibrator(
            _without_postprocessing(prepared, folder / f"calibrated-{method}.onnx"),
            list(op_types),
            augmented_model_path=str(folder / f"calibrate-{method}.onnx"),
            calibrate_method=kinds[method],
            extra_options=_OPTIONS[method],
        )
        size = _working_size(prepared)
        count = _frames_at_once(size)
        for start in range(0, len(used), count):
            calibrator.collect_data(_FrameReader(used[start : start + count], size))
        return calibrator.compute_data()


class _FrameReader:
    """What onnxruntime calls a CalibrationDataReader: frames one by one, then ``None``."""

    def __init__(self, frames: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> None:
        self._frames = iter(frames)
        self._size = size

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the inputs of one run, or ``None`` at the end."""
        frame = next(self._frames, None)
        return None if frame is None else {INPUT_NAME: resize_frame(frame, self._size)[None]}


def _without_postprocessing(model: Path, output: Path) -> Path:
    """Write a model up to what its network hands to the postprocessing, and return where.

    What follows is not quantized, and its tensors have another shape for each frame where objects are
    found: no histogram can hold them, and one that is empty has no range.
    """
    import onnx

    whole = onnx.load(str(model))
    graph = whole.graph
    rest = [node for node in graph.node if node.name.startswith(f"{POSTPROCESS}/")]
    handed = {name for node in rest for name in node.input}
    for node in rest:
        graph.node.remove(node)
    made = [name for node in graph.node for name in node.output if name in handed]
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    kept = [known[name] for name in made] or list(graph.output)
    del graph.output[:]
    graph.output.extend(kept)
    used = {name for node in graph.node for name in node.input}
    used.update(value.name for value in kept)
    for constant in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(constant)
    onnx.save(whole, str(output))
    return output


def _working_size(model: Path) -> tuple[int, int]:
    """Return (height, width) of calibration frames: what a file takes, else its network's.

    Histograms need tensors of one shape, also when the file takes frames of any size.
    """
    import onnx

    graph = onnx.load(str(model), load_external_data=False).graph
    dims = graph.input[0].type.tensor_type.shape.dim
    if dims[1].dim_value and dims[2].dim_value:
        return dims[1].dim_value, dims[2].dim_value
    side = int(read_metadata(model)["automl.image_size"])
    return side, side


def _frames_at_once(size: tuple[int, int]) -> int:
    return max(1, min(_CHUNK, _CHUNK_PIXELS // (size[0] * size[1])))


def _spread(frames: Sequence[NDArray[np.uint8]], most: int) -> Sequence[NDArray[np.uint8]]:
    """Return at most so many frames, evenly spread over the sequence; unread where that reads late."""
    return frames[:: max(1, -(-len(frames) // most))]


@contextlib.contextmanager
def quiet_quantizer() -> Iterator[None]:
    """Silence what onnxruntime's quantization prints and logs through the root logger.

    Only records that come from its own files are dropped; those of others pass.
    """
    root = logging.getLogger()
    try:
        root.addFilter(_is_not_from_quantizer)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.removeFilter(_is_not_from_quantizer)


def _is_not_from_quantizer(record: logging.LogRecord) -> bool:
    return "onnxruntime/quantization" not in record.pathname.replace("\\", "/")
