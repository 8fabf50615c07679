"""What a network makes a machine do, operator by operator, after the runtime has fused its graph.

onnxruntime merges operators before it runs them, and only the merged ones cost time. So the graph is
taken from the runtime itself: a session writes the graph it made, and its profile of one inference names
the shapes of every operator, and what each took: a calibration of this machine learns from that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.hardware.prediction.fused_graph import FusedGraph, FusedNode, run_fused
from automl.hardware.prediction.kinds import CONVOLUTIONS, FREE, OperatorKind, kind_of

__all__ = ["Operator", "Profiled", "profile_operators", "read_operators"]

_ITEM_BYTES = {"float": 4, "float16": 2, "double": 8, "int64": 8, "int32": 4, "bool": 1}


@dataclass(frozen=True)
class Operator:
    """One operator of a fused graph, batch 1."""

    name: str
    """Of its node, for looking it up."""
    kind: OperatorKind
    is_int8: bool
    macs: int
    """Multiply-accumulates; 0 where there are none."""
    read_bytes: int
    """Of what other operators computed."""
    weight_bytes: int
    written_bytes: int
    in_channels: int
    """Values that go into one result at one place; 1 for those that mix no channels."""
    out_channels: int
    places: int
    """Positions (height x width, or tokens) that are computed."""
    window: int
    """Side of the window that is looked at, pixels; 1 for none."""
    shrinking: float = 1.0
    """How many times fewer places are left by it, or by the depthwise operator that it feeds: devices
    that pass results on without storing them do part of the work only."""
    form: str = ""
    """The runtime's own name of what it does (``Erf``, ``Resize cubic``); empty where nobody ran it."""
    row: int = 1
    """Numbers that lie side by side and are handled together: of the last axis, of the axes that a
    transposition leaves where they are, of what is put side by side."""


@dataclass(frozen=True)
class Profiled:
    """An operator and the time that one inference spent in it on the machine that ran it."""

    operator: Operator
    microseconds: float


def read_operators(path: Path, *, frame_size: tuple[int, int]) -> tuple[Operator, ...]:
    """Return the operators of an ONNX file as this machine's runtime fuses them.

    Takes as long as one inference. Operators that cost nothing (reshaping) are left out.

    Args:
        frame_size: (height, width) to run with where the file leaves them open.

    Raises:
        Exception: of onnxruntime, when the file is no model that it can run.
    """
    return tuple(one.operator for one in profile_operators(path, frame_size=frame_size, runs=1))


def profile_operators(
    path: Path, *, frame_size: tuple[int, int], runs: int, threads: int = 1
) -> tuple[Profiled, ...]:
    """Return the operators with the median time of several inferences.

    Timing every operator costs time itself: the sum is above the latency of the whole.
    """
    return tuple(_gather(run_fused(path, frame_size=frame_size, runs=runs, threads=threads)))


def _gather(graph: FusedGraph) -> Iterator[Profiled]:
    """Join the events of all runs by node."""
    from statistics import median

    times: dict[str, list[float]] = {}
    found: dict[str, Mapping[str, Any]] = {}
    for event in graph.events:
        place = event["args"]["node_index"]
        times.setdefault(place, []).append(float(event["dur"]))
        found[place] = event
    for place, event in found.items():
        name = event["name"].removesuffix("_kernel_time")
        operator = _operator(name, event["args"], graph.nodes)
        if operator is not None:
            yield Profiled(operator, median(times[place]))


def _operator(
    name: str, given: Mapping[str, Any], nodes: Mapping[str, FusedNode]
) -> Operator | None:
    op_type, node = given["op_name"], nodes.get(name)
    if op_type in FREE:
        return None
    inputs = [next(iter(one.items())) for one in given["input_type_shape"]]
    outputs = [next(iter(one.items())) for one in given["output_type_shape"]]
    if not outputs:
        return None
    written = sum(_bytes(one) for one in outputs)
    is_int8 = any(kind in ("int8", "uint8") for kind, _ in inputs) and op_type not in ("Cast",)
    constant = (False, *[True] * len(inputs))
    if node is not None and len(node.constant) == len(inputs):
        constant = node.constant
    read = sum(_bytes(one) for one, fixed in zip(inputs, constant, strict=False) if not fixed)
    shapes = [tuple(shape) for _, shape in inputs]
    plain: dict[str, Any] = {
        "name": name,
        "form": _form(op_type, node, shapes),
        "row": _row(op_type, node, shapes, outputs[0][1]),
        "is_int8": is_int8,
        "read_bytes": read,
        "weight_bytes": 0 if node is None else node.weight_bytes,
        "written_bytes": written,
    }
    items = math.prod(outputs[0][1])
    if op_type in CONVOLUTIONS and node is not None:
        followers = [nodes[user] for user in node.feeds if user in nodes]
        reduced = [user.stride for user in followers if user.is_depthwise]
        shrinking = float(node.stride * (reduced[0] if len(reduced) == len(followers) == 1 else 1))
        # A weight that is calculated is no constant of the graph: it is the first tensor given.
        given_weight = next((shape for shape in shapes[1:] if len(shape) > 2), ())
        weight = node.weight if node.weight is not None and len(node.weight) > 2 else given_weight
        return _convolution(
            plain | {"shrinking": shrinking}, node, weight, shapes[0], outputs[0][1]
        )
    if op_type == "LSTM":
        return _recurrent(plain, shapes[0], outputs[0][1])
    kind = kind_of(op_type)
    if kind == "matrix":
        inner = inputs[0][1][-1] if inputs[0][1] else 1
        columns = outputs[0][1][-1] if outputs[0][1] else 1
        return Operator(
            **plain,
            kind=kind,
            macs=items * inner,
            in_channels=inner,
            out_channels=columns,
            places=max(1, items // max(1, columns)),
            window=1,
        )
    return Operator(
        **plain,
        kind=kind,
        macs=0,
        in_channels=1,
        out_channels=1,
        places=items,
        window=max(node.kernel, default=1) if node is not None else 1,
    )


def _form(op_type: str, node: FusedNode | None, given: Sequence[Sequence[int]]) -> str:
    """Return the runtime's name of an operator, and which way of working its attributes choose."""
    if node is None:
        return op_type
    if op_type == "Resize":
        return f"{op_type} {node.mode}"
    if op_type in CONVOLUTIONS and node.weight is not None and len(node.weight) < 3:
        return f"{op_type} calculated"  # its weight is no constant, so nothing could be prepared
    if node.is_blocked:
        return f"{op_type} blocked"
    if op_type == "Transpose" and len(node.order) == len(given[0]):
        return f"{op_type} {_transposition(node.order, given[0])}"
    return op_type


def _transposition(order: Sequence[int], given: Sequence[int]) -> str:
    """Return what a transposition moves: whole ``rows``; one axis ``inwards``, ``outwards`` or past one
    other (``swap``), each of which the runtime does in its own way; or ``scattered`` numbers."""
    axes = [axis for axis in order if given[axis] > 1]
    places = [sorted(axes).index(axis) for axis in axes]
    if not places or places[-1] == len(places) - 1:
        return "rows"
    moved = [
        (new, old)
        for new, old in enumerate(places)
        if [p for p in places if p != old] == sorted(p for p in places if p != old)
    ]
    if not moved:
        return "scattered"
    if len(moved) > 1:
        return "swap"
    new, old = moved[0]
    return "inwards" if new > old else "outwards"


def _row(
    op_type: str, node: FusedNode | None, given: Sequence[Sequence[int]], result: Sequence[int]
) -> int:
    """Return how many numbers lie side by side while an operator works."""
    if not result:
        return 1
    if node is not None and op_type == "Transpose" and node.order:
        kept = 0
        while kept < len(result) and node.order[-1 - kept] == len(result) - 1 - kept:
            kept += 1
        return math.prod(result[len(result) - kept :])
    if node is not None and node.axis is not None and op_type in ("Softmax", "QLinearSoftmax"):
        return result[-1] if node.axis in (-1, len(result) - 1) else 1
    if node is not None and node.axis is not None and kind_of(op_type) == "move":
        parts = result if op_type == "Split" else min(given, key=len, default=result)
        return math.prod(parts[node.axis :]) or 1
    return result[-1]


def _recurrent(plain: dict[str, Any], given: Sequence[int], result: Sequence[int]) -> Operator:
    """Return an LSTM: ``(steps, batch, features)`` to ``(steps, directions, batch, hidden)``."""
    steps, batch, features = given
    directions, hidden = result[1], result[-1]
    gates = 4 * directions * hidden
    return Operator(
        **plain | {"weight_bytes": 4 * gates * (features + hidden)},
        kind="matrix",
        macs=steps * batch * gates * (features + hidden),
        in_channels=features + hidden,
        out_channels=gates,
        places=steps * batch,
        window=1,
    )


def _convolution(
    plain: Mapping[str, Any],
    node: FusedNode,
    weight: Sequence[int],
    given: Sequence[int],
    result: Sequence[int],
) -> Operator:
    sides = tuple(weight[2:]) or (1, 1)
    window = math.prod(sides)
    transposed = node.kind == "ConvTranspose"
    inner = weight[1]
    out_channels = weight[0] if not transposed else weight[1] * node.group
    items = math.prod(result)
    if transposed:
        macs = math.prod(given) * weight[1] * window
        inner = weight[0] // node.group
    else:
        macs = items * inner * window
    places = max(1, items // max(1, out_channels))
    if node.group == 1:
        kind: OperatorKind = "pointwise" if window == 1 else "convolution"
    else:
        is_alone = inner == 1 and out_channels == node.group and not transposed
        kind = "depthwise" if is_alone else "grouped"
    return Operator(
        **plain,
        kind=kind,
        macs=macs,
        in_channels=inner,
        out_channels=out_channels,
        places=places,
        window=max(sides),
    )


def _bytes(one: tuple[str, Sequence[int]]) -> int:
    kind, shape = one
    return math.prod(shape) * _ITEM_BYTES.get(kind, 1)
