"""Which layers of a network suffer most from 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.export.evaluate import run_artifact
from automl.export.graph import is_network_node
from automl.export.schemes.qdq import Int8Format, PreparedModel, quantize_qdq

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layer", "find_layers", "rank_layers"]

_ANCHORS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_SMALLEST_PROBABILITY = 1e-6


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

    The damage is the mean absolute change of the logarithm of a class probability, so that it shows
    also where the network is sure of its answer. The method is the sensitivity analysis of Wu et
    al. 2020, "Integer quantization for deep learning inference", section 5.2. Layers that were not
    reached before the deadline come last, with damage 0.
    """
    reference = _log_probabilities(prepared.path, frames)
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
            damage = float(np.abs(_log_probabilities(probe, frames) - reference).mean())
        damages.append((layer, damage))
    return tuple(sorted(damages, key=lambda pair: -pair[1]))


def _log_probabilities(path: Path, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    probabilities = run_artifact(path, frames, threads=1)
    logarithms: NDArray[np.float32] = np.log(np.maximum(probabilities, _SMALLEST_PROBABILITY))
    return logarithms
