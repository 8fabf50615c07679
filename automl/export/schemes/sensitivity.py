"""Which layers of a network suffer most from 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.export.evaluate import resize_frame
from automl.export.graph import POSTPROCESS, PREPROCESS, is_network_node
from automl.export.onnx import INPUT_NAME
from automl.export.schemes.qdq import Int8Format, PreparedModel, quantize_qdq

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layer", "find_layers", "rank_layers"]

_ANCHORS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_SMALLEST_SCALE = 1e-6


@dataclass(frozen=True)
class Layer:
    """A weighted product and what follows it up to the next: rounded or kept together."""

    name: str
    """Node name of the product."""
    nodes: tuple[str, ...]


def find_layers(model: Path) -> tuple[Layer, ...]:
    """Return the layers of a prepared model's network, in its order.

    Activations, additions and pools belong to the latest layer that feeds them.
    """
    import onnx

    order: dict[str, int] = {}
    members: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for node in onnx.load(str(model), load_external_data=False).graph.node:
        if not is_network_node(node.name):
            continue
        feeding = [owner[name] for name in node.input if name in owner]
        layer = max(feeding, key=order.__getitem__, default="")
        if node.op_type in _ANCHORS:
            layer = node.name
            order[layer] = len(order)
        if layer:
            members.setdefault(layer, []).append(node.name)
            owner.update(dict.fromkeys(node.output, layer))
    return tuple(Layer(name, tuple(nodes)) for name, nodes in members.items())


def rank_layers(
    prepared: PreparedModel,
    layers: Sequence[Layer],
    *,
    frames: Sequence[NDArray[np.uint8]],
    ranges: Any,
    number_format: Int8Format,
    folder: Path,
    deadline: Callable[[], bool],
) -> tuple[tuple[Layer, float], ...]:
    """Return layers with the damage that each does when it alone is quantized, the worst first.

    The damage is the mean absolute change of what the network hands to its postprocessing, in standard
    deviations of it, so that it counts also where the answer stays the same. The method is the
    sensitivity analysis of Wu et al. 2020, "Integer quantization for deep learning inference",
    section 5.2. Layers that were not reached before the deadline come last, with damage 0.
    """
    reference = _network_outputs(prepared.path, frames)
    scales = [
        max(float(np.std(np.concatenate([t.ravel() for t in one]))), _SMALLEST_SCALE)
        for one in reference
    ]
    probe = folder / "probe.onnx"
    damages: list[tuple[Layer, float]] = []
    for layer in layers:
        damage = 0.0
        if not deadline():
            quantize_qdq(
                prepared,
                probe,
                ranges=ranges,
                number_format=number_format,
                scheme="probe",
                only=layer.nodes,
            )
            changed = _network_outputs(probe, frames)
            damage = _difference(reference, changed, scales)
        damages.append((layer, damage))
    return tuple(sorted(damages, key=lambda pair: -pair[1]))


def _network_outputs(
    path: Path, frames: Sequence[NDArray[np.uint8]]
) -> list[list[NDArray[np.float32]]]:
    """Return each tensor that leaves the network, for every frame."""
    import onnx
    import onnxruntime

    model = onnx.load(str(path))
    names = _leaving(model.graph)
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    shape = session.get_inputs()[0].shape[1:3]
    height, width = shape if all(isinstance(side, int) for side in shape) else (0, 0)
    rows = []
    for frame in frames:
        fitted = frame if not height else resize_frame(frame, (height, width))
        rows.append(session.run(None, {INPUT_NAME: fitted[None]}))
    return [[row[i] for row in rows] for i in range(len(names))]


def _leaving(graph: Any) -> list[str]:
    """Return the tensors made by the network (or rounded on the way) that what follows takes."""
    sides = (f"{PREPROCESS}/", f"{POSTPROCESS}/")
    constants = {constant.name for constant in graph.initializer}
    outside = {name for node in graph.node if node.name.startswith(sides) for name in node.output}
    known = constants | outside | {value.name for value in graph.input} | {""}
    taken = (name for node in graph.node if node.name.startswith(sides) for name in node.input)
    return list(dict.fromkeys(name for name in taken if name not in known))


def _difference(
    reference: Sequence[Sequence[NDArray[np.float32]]],
    changed: Sequence[Sequence[NDArray[np.float32]]],
    scales: Sequence[float],
) -> float:
    """Return the mean change over tensors and frames; shapes may follow the size of a frame."""
    parts = [
        float(np.abs(after - before).mean()) / scale
        for befores, afters, scale in zip(reference, changed, scales, strict=True)
        for before, after in zip(befores, afters, strict=True)
    ]
    return float(np.mean(parts))
