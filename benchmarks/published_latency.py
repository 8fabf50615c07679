"""Networks of published latency tables as the operators that the latency model knows.

FBNet (Wu et al., CVPR 2019): the searchable blocks of HW-NAS-Bench's table, as its column ``blocks`` names
them. timm: the network itself, traced without weights, with what a compiler merges left out.
"""

from __future__ import annotations

import csv
import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from automl.hardware.prediction.kinds import OperatorKind
from automl.hardware.prediction.operators import Operator

__all__ = ["Published", "fbnet_operators", "read_fbnet", "timm_operators"]

_SIDE = 32
_STEM = 16
_LAST = 1504
_CLASSES = 100
_CHANNELS = (16, *(24,) * 4, *(32,) * 4, *(64,) * 4, *(112,) * 4, *(184,) * 4, 352)
_FIRST_OF_STAGE = {0: 1, 1: 1, 5: 2, 9: 2, 13: 1, 17: 2, 21: 1}
"""Block -> stride; all others have stride 1."""
_BLOCK = re.compile(r"k(?P<kernel>\d)_e(?P<expansion>\d)(?:_g(?P<groups>\d))?")
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Published:
    """One network of a table."""

    name: str
    operators: tuple[Operator, ...]
    latency_ms: dict[str, float]


def read_fbnet(path: Path) -> list[Published]:
    """Return all networks of the FBNet table with their latencies by device."""
    with path.open(newline="") as stream:
        return [
            Published(
                row["blocks"],
                fbnet_operators(row["blocks"].split()),
                {name[:-3]: float(row[name]) for name in ("raspi4_ms", "fpga_ms")},
            )
            for row in csv.DictReader(stream)
        ]


def fbnet_operators(blocks: Sequence[str]) -> tuple[Operator, ...]:
    """Return the operators of an FBNet network on frames of 32 x 32 pixels, activations merged."""
    found = [convolution(3, _STEM, _SIDE, window=3)]
    side, channels = _SIDE, _STEM
    for place, (block, out) in enumerate(zip(blocks, _CHANNELS, strict=True)):
        stride = _FIRST_OF_STAGE.get(place, 1)
        found += _block(block, channels, out, side, stride)
        side, channels = math.ceil(side / stride), out
    found.append(convolution(channels, _LAST, side))
    found.append(_moving("pool", _LAST * side * side, _LAST))
    found.append(replace(convolution(_LAST, _CLASSES, 1), kind="matrix"))
    return tuple(found)


def _block(name: str, channels: int, out: int, side: int, stride: int) -> list[Operator]:
    if name == "skip":
        if stride == 1 and channels == out:
            return []
        return [convolution(channels, out, side, stride=stride)]
    match = _BLOCK.fullmatch(name)
    if match is None:
        raise ValueError(f"A block is 'skip' or like 'k3_e6_g2'; got '{name}'.")
    kernel, groups = int(match["kernel"]), int(match["groups"] or 1)
    inner = channels * int(match["expansion"])
    found = [replace(convolution(channels, inner, side, groups=groups), shrinking=float(stride))]
    if groups > 1:
        found.append(_moving("move", inner * side * side, inner * side * side))
    found.append(convolution(inner, inner, side, window=kernel, stride=stride, groups=inner))
    small = math.ceil(side / stride)
    found.append(convolution(inner, out, small, groups=groups))
    if stride == 1 and channels == out:
        found.append(_moving("elementwise", 2 * out * side * side, out * side * side))
    return found


def convolution(
    channels: int, out: int, side: int, *, window: int = 1, stride: int = 1, groups: int = 1
) -> Operator:
    """Return a convolution with padding on ``(channels, side, side)`` float32."""
    small = math.ceil(side / stride)
    inner = channels // groups
    kind: OperatorKind = "pointwise" if window == 1 else "convolution"
    if groups > 1:
        kind = "depthwise" if inner == 1 else "grouped"
    return Operator(
        name="",
        kind=kind,
        is_int8=False,
        macs=small * small * out * inner * window * window,
        read_bytes=_FLOAT_BYTES * channels * side * side,
        weight_bytes=_FLOAT_BYTES * out * inner * window * window,
        written_bytes=_FLOAT_BYTES * out * small * small,
        in_channels=inner,
        out_channels=out,
        places=small * small,
        window=window,
        shrinking=float(stride),
    )


def _moving(kind: OperatorKind, read: int, written: int) -> Operator:
    return Operator(
        name="",
        kind=kind,
        is_int8=False,
        macs=0,
        read_bytes=_FLOAT_BYTES * read,
        weight_bytes=0,
        written_bytes=_FLOAT_BYTES * written,
        in_channels=1,
        out_channels=1,
        places=max(read, written),
        window=1,
    )


def timm_operators(name: str, side: int) -> tuple[Operator, ...]:
    """Return what a timm network computes on one frame of ``side`` x ``side`` pixels.

    It is traced on torch's meta device: no weights are made and nothing is calculated. Batch
    normalisation counts as merged into the convolution before it.

    Raises:
        Exception: of timm or torch, for networks that cannot be built or traced like this.
    """
    import timm
    import torch

    with torch.device("meta"), torch.no_grad():
        network = timm.create_model(name, pretrained=False).eval()
        recorder = _recorder()
        for module in network.modules():
            if isinstance(module, torch.nn.LSTM):
                cast(Any, module).forward = functools.partial(_lstm, module, recorder.found)
        with recorder:
            network(torch.empty(1, 3, side, side))
    found: tuple[Operator, ...] = tuple(recorder.found)
    return found


_KIND_OF_ATEN: dict[str, OperatorKind] = {
    **dict.fromkeys(
        [
            "add",
            "sub",
            "mul",
            "div",
            "relu",
            "clamp",
            "hardtanh",
            "hardsigmoid",
            "leaky_relu",
            "neg",
            "where",
        ],
        "elementwise",
    ),
    **dict.fromkeys(
        [
            "gelu",
            "silu",
            "sigmoid",
            "hardswish",
            "tanh",
            "exp",
            "erf",
            "sqrt",
            "rsqrt",
            "pow",
            "mish",
            "elu",
            "softplus",
        ],
        "curve",
    ),
    **dict.fromkeys(["native_layer_norm", "native_group_norm", "_softmax"], "normalize"),
    **dict.fromkeys(
        [
            "mean",
            "sum",
            "max_pool2d_with_indices",
            "avg_pool2d",
            "_adaptive_avg_pool2d",
            "amax",
            "var_mean",
        ],
        "pool",
    ),
    **dict.fromkeys(
        ["cat", "clone", "roll", "index", "constant_pad_nd", "copy", "gather", "index_select"],
        "move",
    ),
    **dict.fromkeys(["upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d"], "resize"),
}


def _recorder() -> Any:
    """Return a torch dispatch mode that collects operators in ``found``."""
    from torch.utils._python_dispatch import TorchDispatchMode

    base: Any = TorchDispatchMode  # torch does not type it

    class Recorder(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.found: list[Operator] = []

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = function(*args, **(kwargs or {}))
            operator = _traced(function.__name__.split(".")[0], args, result)
            if operator is not None and not _continues(self.found, operator):
                self.found.append(operator)
            return result

    return Recorder()


_POINTWISE = ("elementwise", "curve")


def _continues(found: list[Operator], operator: Operator) -> bool:
    """Whether a compiler merges an operator on single values with the one before it."""
    if not found or operator.kind not in _POINTWISE or found[-1].kind not in _POINTWISE:
        return False
    if found[-1].written_bytes != operator.written_bytes:
        return False
    if operator.kind == "curve":
        found[-1] = replace(found[-1], kind="curve")
    return True


def _lstm(module: Any, found: list[Operator], given: Any, state: Any = None) -> Any:
    """Stand in for a recurrent layer: one product for all steps, as its kernel calculates it."""
    directions = 2 if module.bidirectional else 1
    width = module.hidden_size
    rows = given.numel() // given.shape[-1]
    inner = module.input_size + width
    output = given.new_empty(*given.shape[:-1], directions * width)
    weights = directions * 4 * width * inner
    product = _product(given, given, output, is_weight=False)
    found.append(
        replace(
            product,
            macs=rows * weights,
            read_bytes=_FLOAT_BYTES * given.numel(),
            weight_bytes=_FLOAT_BYTES * weights,
            in_channels=inner,
            out_channels=4 * width * directions,
            places=rows,
        )
    )
    return output, None


def _traced(name: str, args: Sequence[Any], result: Any) -> Operator | None:
    output = result[0] if isinstance(result, tuple | list) else result
    if not hasattr(output, "numel"):
        return None
    if name == "convolution":
        return _traced_convolution(args, output)
    if name in ("addmm", "mm", "bmm", "baddbmm"):
        left, right = args[-2:] if name in ("mm", "bmm") else args[1:3]
        return _product(left, right, output, is_weight=name in ("addmm", "mm"))
    if name.startswith("_scaled_dot_product"):
        query, key = args[0], args[1]
        batch = math.prod(query.shape[:-2])
        macs = 2 * batch * query.shape[-2] * key.shape[-2] * query.shape[-1]
        return replace(_product(query, key, output, is_weight=False), macs=macs)
    kind = _KIND_OF_ATEN.get(name.rstrip("_"))
    if kind is None:
        return None
    read = sum(a.numel() for a in _tensors(args))
    return _moving(kind, read, output.numel())


def _tensors(args: Sequence[Any]) -> list[Any]:
    flat = [one for a in args for one in (a if isinstance(a, tuple | list) else (a,))]
    return [one for one in flat if hasattr(one, "numel")]


def _traced_convolution(args: Sequence[Any], output: Any) -> Operator:
    given, weight, stride, groups = args[0], args[1], args[3], args[8]
    out, inner = weight.shape[0], weight.shape[1]
    if args[6]:
        out, inner = weight.shape[1] * groups, weight.shape[0] // groups
    window = math.prod(weight.shape[2:])
    places = output.numel() // max(1, output.shape[1] * output.shape[0])
    kind: OperatorKind = "pointwise" if window == 1 else "convolution"
    if groups > 1:
        kind = "depthwise" if inner == 1 else "grouped"
    return Operator(
        name="",
        kind=kind,
        is_int8=False,
        macs=output.numel() * inner * window,
        read_bytes=_FLOAT_BYTES * given.numel(),
        weight_bytes=_FLOAT_BYTES * weight.numel(),
        written_bytes=_FLOAT_BYTES * output.numel(),
        in_channels=inner,
        out_channels=out,
        places=places,
        window=max(weight.shape[2:], default=1),
        shrinking=float(max(stride)) if stride else 1.0,
    )


def _product(left: Any, right: Any, output: Any, *, is_weight: bool) -> Operator:
    inner, columns = left.shape[-1], output.shape[-1]
    held = right.numel()
    return Operator(
        name="",
        kind="matrix",
        is_int8=False,
        macs=output.numel() * inner,
        read_bytes=_FLOAT_BYTES * (left.numel() + (0 if is_weight else held)),
        weight_bytes=_FLOAT_BYTES * held if is_weight else 0,
        written_bytes=_FLOAT_BYTES * output.numel(),
        in_channels=inner,
        out_channels=columns,
        places=max(1, output.numel() // max(1, columns)),
        window=1,
    )
