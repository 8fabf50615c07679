"""Weights and activations in 8 bits, with ranges that are fixed beforehand by calibration."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.export.schemes.base import (
    QuantizationContext,
    SchemeOutcome,
    drop_rejection,
    drop_text,
)
from automl.export.schemes.calibration import CalibrationMethod, tensor_ranges
from automl.export.schemes.qdq import (
    QUANTIZED_OPERATORS,
    Int8Format,
    PreparedModel,
    choose_format,
    prepare_model,
    quantize_qdq,
)
from automl.storage import write_atomic

__all__ = ["Int8StaticScheme", "StaticResult", "best_static"]

_PLANNING_FRAMES = 4
"""Enough while planning: the ranges of an untrained network do not change its speed."""


class Int8StaticScheme:
    """Quantization of the whole network proper; preprocessing and softmax stay float."""

    name = "int8-static"
    explanation = (
        "Weights and intermediate values are rounded to 8 bits, with ranges learnt beforehand from "
        "training images: about a quarter of the size, and on many processors much faster."
    )
    plannable = True
    repairs: str | None = None

    def apply(self, float_model: Path, output: Path, context: QuantizationContext) -> SchemeOutcome:
        """Quantize with each calibration worth trying and keep the best by validation score."""
        with tempfile.TemporaryDirectory(prefix="automl-int8-") as folder:
            best = best_static(float_model, Path(folder), context, scheme=self.name)
            write_atomic(output, best.path.read_bytes())
        return SchemeOutcome(best.details(context), drop_rejection(self.name, best.score, context))


@dataclass(frozen=True)
class StaticResult:
    """The best static quantization found, with what it takes to vary it."""

    path: Path
    method: CalibrationMethod
    score: float | None
    ranges: Any
    """onnxruntime's ``TensorsData`` of the method."""
    prepared: PreparedModel
    number_format: Int8Format
    tried: dict[CalibrationMethod, float]
    """Validation score of every method tried."""

    def details(self, context: QuantizationContext) -> dict[str, str]:
        """Return what was decided, for the report."""
        details = {"calibration": str(self.method), "format": self.number_format.name}
        if context.float_score is not None and self.tried:
            reference = context.float_score
            details["calibrations tried"] = ", ".join(
                f"{method} {drop_text(reference - score)}" for method, score in self.tried.items()
            )
        return details


def best_static(
    float_model: Path, folder: Path, context: QuantizationContext, *, scheme: str
) -> StaticResult:
    """Quantize with MinMax and, when that costs score and time is left, the other methods.

    Args:
        float_model: as exported.
        folder: for temporary files; the result lies there.
        context: what may be used.
        scheme: name for the metadata.

    Raises:
        ValueError: when there are no calibration frames.
    """
    prepared = prepare_model(float_model, folder)
    number_format = choose_format(context.instruction_sets)
    planning = context.score is None
    frames = context.calibration[:_PLANNING_FRAMES] if planning else context.calibration
    best: StaticResult | None = None
    tried: dict[CalibrationMethod, float] = {}
    for method in CalibrationMethod:
        ranges = tensor_ranges(
            prepared.path, frames, method, op_types=QUANTIZED_OPERATORS, folder=folder
        )
        path = folder / f"static-{method}.onnx"
        quantize_qdq(prepared, path, ranges=ranges, number_format=number_format, scheme=scheme)
        score = None if context.score is None else context.score(path)
        if score is not None:
            tried[method] = score
        result = StaticResult(path, method, score, ranges, prepared, number_format, tried)
        best = result if best is None or _is_better(result, best) else best
        if _is_settled(best, context):
            break
    assert best is not None  # CalibrationMethod has members
    return best


def _is_better(result: StaticResult, best: StaticResult) -> bool:
    return (result.score or 0.0) > (best.score or 0.0)


def _is_settled(best: StaticResult, context: QuantizationContext) -> bool:
    """Whether no other method needs to be tried: planning, nothing lost, or no time left."""
    if best.score is None or context.float_score is None or context.deadline():
        return True
    return best.score >= context.float_score
