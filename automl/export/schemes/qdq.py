"""Static 8-bit quantization of one graph: what is quantized, in which number format.

The float model is wrapped in pairs of QuantizeLinear and DequantizeLinear nodes (QDQ), which
onnxruntime fuses into integer kernels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.export.graph import is_network_node, read_metadata, save_model, strip_notes
from automl.export.metadata import SCHEME_KEY
from automl.export.schemes.calibration import quiet_quantizer

__all__ = [
    "QUANTIZED_OPERATORS",
    "Int8Format",
    "PreparedModel",
    "choose_format",
    "finish_quantized",
    "prepare_model",
    "quantize_qdq",
]

_VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_ARM = frozenset({"neon", "asimd", "asimddp"})

QUANTIZED_OPERATORS = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "Pad",
    "Relu",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    "Where",
)
_EXTRA_OPTIONS = {
    # The classifier's logits stay float: rounding them would round the probabilities.
    "OpTypesToExcludeOutputQuantization": ["Gemm"],
}


@dataclass(frozen=True)
class Int8Format:
    """The number format of activations and weights."""

    name: str
    signed_activations: bool
    reduced_range: bool
    """Weights of 7 bits: x86 without VNNI adds pairs of products in 16 bits, where 8 saturate."""


@dataclass(frozen=True)
class PreparedModel:
    """A float model with inferred shapes, ready to be quantized any number of times."""

    path: Path
    metadata: dict[str, str]
    fixed_nodes: tuple[str, ...]
    """Nodes of preprocessing and postprocessing, which always stay float."""


def choose_format(instruction_sets: Collection[str]) -> Int8Format:
    """Return the 8-bit format for a processor, by onnxruntime's guide for choosing parameters.

    Unsigned activations with signed weights on x86 (both signed was measured slower than float32 on
    29 of 50 networks), both signed on ARM. A processor that is not known is treated as x86 without
    VNNI.
    """
    known = set(instruction_sets)
    if known & _ARM:
        return Int8Format("S8S8", signed_activations=True, reduced_range=False)
    if known & _VNNI:
        return Int8Format("U8S8", signed_activations=False, reduced_range=False)
    return Int8Format("U8S8, 7-bit weights", signed_activations=False, reduced_range=True)


def prepare_model(float_model: Path, folder: Path) -> PreparedModel:
    """Infer the shape of every tensor of an exported file.

    onnxruntime's own optimisations are left to the session that runs the file: the exporter has
    folded batch normalisation already, and the names of the nodes are kept this way.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = folder / "prepared.onnx"
    with quiet_quantizer():
        quant_pre_process(
            str(float_model), str(prepared), skip_optimization=True, skip_symbolic_shape=True
        )
    nodes = onnx.load(str(prepared), load_external_data=False).graph.node
    fixed = tuple(node.name for node in nodes if not is_network_node(node.name))
    return PreparedModel(prepared, read_metadata(float_model), fixed)


def quantize_qdq(
    prepared: PreparedModel,
    output: Path,
    *,
    ranges: Any,
    number_format: Int8Format,
    scheme: str,
    keep_float: Collection[str] = (),
    only: Collection[str] = (),
) -> None:
    """Write the quantized form of a model, atomically.

    Args:
        prepared: the float model.
        output: the file to write.
        ranges: onnxruntime's ``TensorsData`` from
            :func:`automl.export.schemes.calibration.tensor_ranges`.
        number_format: of activations and weights.
        scheme: name that the metadata will give.
        keep_float: nodes of the network that are not quantized.
        only: when given, the nodes that are quantized; all others are not.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    activations = QuantType.QInt8 if number_format.signed_activations else QuantType.QUInt8
    with quiet_quantizer():
        quantizer = QDQQuantizer(
            load_model_with_shape_infer(prepared.path),
            True,
            number_format.reduced_range,
            QuantType.QInt8,
            activations,
            ranges,
            sorted(only),
            [*prepared.fixed_nodes, *sorted(keep_float)],
            list(QUANTIZED_OPERATORS),
            dict(_EXTRA_OPTIONS),
        )
        quantizer.quantize_model()
    model: onnx.ModelProto = quantizer.model.model
    finish_quantized(model, output, prepared.metadata, scheme)


def finish_quantized(model: Any, output: Path, metadata: dict[str, str], scheme: str) -> None:
    """Write a quantized ``ModelProto`` with the float file's metadata and the scheme's name."""
    strip_notes(model)
    save_model(model, output, metadata | {SCHEME_KEY: scheme})
