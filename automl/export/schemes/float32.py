"""No quantization: the file as exported."""

from __future__ import annotations

from pathlib import Path

from automl.export.schemes.base import QuantizationContext, SchemeOutcome
from automl.storage import write_atomic

__all__ = ["Float32Scheme"]


class Float32Scheme:
    """The reference that every other scheme is compared with."""

    name = "float32"
    explanation = "Every number is kept with 32 bits, exactly as the network was trained."
    plannable = True
    repairs: str | None = None

    def apply(self, float_model: Path, output: Path, context: QuantizationContext) -> SchemeOutcome:
        """Copy the file; its metadata says ``float32`` already."""
        write_atomic(output, float_model.read_bytes())
        return SchemeOutcome({"weights": "float32", "activations": "float32"}, None)
