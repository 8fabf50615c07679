"""Which kind of work an operator of onnxruntime is: operators of a kind cost alike."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CONVOLUTIONS", "FREE", "KINDS", "OperatorKind", "kind_of"]

OperatorKind = Literal[
    "pointwise",
    "convolution",
    "grouped",
    "depthwise",
    "matrix",
    "elementwise",
    "curve",
    "normalize",
    "pool",
    "move",
    "resize",
    "quantize",
    "other",
]
"""The first four are convolutions by window and groups; ``curve`` are functions such as the exponential,
``move`` only rearranges numbers."""
KINDS: tuple[OperatorKind, ...] = get_args(OperatorKind)

CONVOLUTIONS = frozenset({"Conv", "FusedConv", "QLinearConv", "ConvInteger", "ConvTranspose"})
FREE = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Shape", "Identity", "Constant", "Size"}
)
"""They rename numbers and move none."""

_OPERATORS: dict[OperatorKind, tuple[str, ...]] = {
    "matrix": (
        "MatMul",
        "Gemm",
        "FusedMatMul",
        "FusedGemm",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QLinearMatMul",
        "QGemm",
        "DynamicQuantizeMatMul",
        "Attention",
        "MultiHeadAttention",
        "Einsum",
    ),
    "elementwise": (
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Relu",
        "Clip",
        "LeakyRelu",
        "PRelu",
        "HardSigmoid",
        "Cast",
        "QLinearAdd",
        "QLinearMul",
        "QLinearLeakyRelu",
        "Where",
        "Neg",
        "Abs",
        "Min",
        "Max",
        "Sum",
        "Equal",
        "Greater",
        "Less",
        "Not",
        "And",
        "Or",
        "BiasAdd",
    ),
    "curve": (
        "Sigmoid",
        "Tanh",
        "Exp",
        "Log",
        "Sqrt",
        "Pow",
        "Erf",
        "Gelu",
        "BiasGelu",
        "FastGelu",
        "QuickGelu",
        "HardSwish",
        "Mish",
        "Elu",
        "Selu",
        "Softplus",
        "Sin",
        "Cos",
        "Reciprocal",
        "QLinearSigmoid",
        "Swish",
        "Celu",
    ),
    "normalize": (
        "LayerNormalization",
        "SkipLayerNormalization",
        "SimplifiedLayerNormalization",
        "Softmax",
        "LogSoftmax",
        "InstanceNormalization",
        "GroupNormalization",
        "GroupNorm",
        "BatchNormalization",
        "QLinearSoftmax",
        "RMSNormalization",
        "LpNormalization",
    ),
    "pool": (
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "ReduceMin",
        "ReduceL2",
        "ReduceProd",
        "QLinearAveragePool",
        "QLinearGlobalAveragePool",
        "QLinearReduceMean",
        "ArgMax",
    ),
    "move": (
        "Transpose",
        "Concat",
        "Slice",
        "Split",
        "Gather",
        "GatherElements",
        "GatherND",
        "ScatterND",
        "Pad",
        "Expand",
        "Tile",
        "DepthToSpace",
        "SpaceToDepth",
        "QLinearConcat",
        "ReorderInput",
        "ReorderOutput",
        "Roll",
        "Range",
    ),
    "resize": (
        "Resize",
        "Upsample",
        "GridSample",
    ),
    "quantize": (
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
    ),
}
_KIND_OF = {name: kind for kind, operators in _OPERATORS.items() for name in operators}


def kind_of(operator: str) -> OperatorKind:
    """Return the kind of an operator that is no convolution, by its name in the fused graph."""
    return _KIND_OF.get(operator, "other")
