"""Weights in 8 bits, activations rounded while running: no calibration, matrix products only."""

from __future__ import annotations

import tempfile
from math import prod
from pathlib import Path
from typing import Any

from automl.export.graph import is_network_node
from automl.export.schemes.base import QuantizationContext, SchemeOutcome, drop_rejection
from automl.export.schemes.calibration import quiet_quantizer
from automl.export.schemes.qdq import (
    PreparedModel,
    choose_format,
    finish_quantized,
    prepare_model,
)

__all__ = ["Int8DynamicScheme"]

_PRODUCTS = ("MatMul", "Gemm")
_LEAST_SHARE = 0.5
"""Below half of the weights in matrix products, rounding them while running cannot pay."""


class Int8DynamicScheme:
    """Dynamic quantization, meant for transformers.

    Convolutions stay float: onnxruntime has only slow kernels for dynamically quantized ones.
    """

    name = "int8-dynamic"
    explanation = (
        "The weights of matrix products are rounded to 8 bits and their inputs are rounded while "
        "running; convolutions stay as they are, so this pays for transformers only."
    )
    plannable = True
    repairs: str | None = None

    def apply(self, float_model: Path, output: Path, context: QuantizationContext) -> SchemeOutcome:
        """Quantize the matrix products; rejected when they hold few of the network's weights."""
        number_format = choose_format(context.instruction_sets)
        with tempfile.TemporaryDirectory(prefix="automl-int8-") as folder:
            prepared = prepare_model(float_model, Path(folder))
            share = _product_share(prepared.path)
            model = _quantize(prepared, Path(folder), reduce_range=number_format.reduced_range)
            finish_quantized(model, output, prepared.metadata, self.name)
        details = {"weights in matrix products": f"{share:.0%}"}
        if share < _LEAST_SHARE:
            reason = (
                f"only {share:.0%} of the weights are in matrix products, which is all that "
                f"{self.name} quantizes; at least {_LEAST_SHARE:.0%} is needed"
            )
            return SchemeOutcome(details, reason)
        score = None if context.score is None else context.score(output)
        return SchemeOutcome(details, drop_rejection(self.name, score, context))


def _quantize(prepared: PreparedModel, folder: Path, *, reduce_range: bool) -> Any:
    """Return the quantized ``ModelProto``."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = folder / "dynamic.onnx"
    with quiet_quantizer():
        quantize_dynamic(
            str(prepared.path),
            str(path),
            op_types_to_quantize=["MatMul"],  # every Gemm is made one
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(prepared.fixed_nodes),
        )
    return onnx.load(str(path))


def _product_share(path: Path) -> float:
    """Return the share of the network's float constants that are factors of matrix products."""
    import onnx

    graph = onnx.load(str(path)).graph
    counts = {
        constant.name: prod(constant.dims)
        for constant in graph.initializer
        if constant.data_type == onnx.TensorProto.FLOAT
    }
    products = {
        name
        for node in graph.node
        if node.op_type in _PRODUCTS and is_network_node(node.name)
        for name in node.input[:2]
    }
    in_products = sum(count for name, count in counts.items() if name in products)
    return float(in_products / max(1, sum(counts.values())))
