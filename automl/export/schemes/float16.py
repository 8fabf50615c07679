"""Weights and activations in 16 bits: half the size, and on graphics processors about twice as fast.

The network proper is converted; preprocessing, which holds pixels up to 255 to be scaled exactly, and
postprocessing stay float32, with one cast where a tensor goes over. A processor without arithmetic of
16 bits runs such a file through casts that onnxruntime inserts, slower than float32.

Written for graphs of sections (:mod:`automl.export.graph`): a converter for graphs at large, such as
``onnxruntime.transformers.float16``, casts around every node that it leaves, so that pixels between two
steps of the preprocessing would be rounded too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from automl.export.graph import NETWORK, is_network_node, read_metadata, save_model, strip_notes
from automl.export.metadata import SCHEME_KEY
from automl.export.schemes.base import QuantizationContext, SchemeOutcome, drop_rejection

__all__ = ["Float16Scheme"]

_LARGEST = 65504.0
"""The largest finite number of IEEE 754 binary16."""
_SMALLEST = 2.0**-24
"""Its smallest above 0: an epsilon that is added against a division by zero must not become zero."""
_FLOAT32_OPERATORS = frozenset({"NonMaxSuppression", "Range", "If", "Loop", "Scan"})
"""ONNX knows no float16 for the first two; what subgraphs hold is left alone."""
_FLOAT32_INPUTS = {"Resize": (1, 2)}
"""Region and scales are float32 by definition."""
_HALF = ".half"


class Float16Scheme:
    """Half precision of the network proper."""

    name = "float16"
    explanation = (
        "Every number of the network is kept with 16 bits: half the size, hardly any loss, and faster "
        "on graphics processors; most other processors gain nothing."
    )
    plannable = True
    repairs: str | None = None

    def apply(self, float_model: Path, output: Path, context: QuantizationContext) -> SchemeOutcome:
        """Convert the network.

        Raises:
            ValueError: when the type of a tensor in the network cannot be inferred.
        """
        import onnx

        model = onnx.load(str(float_model))
        types = _types(model)
        clipped = _Halving(model.graph, types).run()
        strip_notes(model)
        save_model(model, output, read_metadata(float_model) | {SCHEME_KEY: self.name})
        details = {"weights": "float16", "activations": "float16"}
        if clipped:
            details["weights too large for 16 bits"] = f"{clipped:,}"
        score = None if context.score is None else context.score(output)
        return SchemeOutcome(details, drop_rejection(self.name, score, context))


def _types(model: Any) -> dict[str, int]:
    """Return the kind of numbers of every tensor of a ``ModelProto``, by name."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    return known | {constant.name: constant.data_type for constant in graph.initializer}


class _Halving:
    """One graph on its way to float16."""

    def __init__(self, graph: Any, types: dict[str, int]) -> None:
        import onnx

        self._graph = graph
        self._types = types
        self._float, self._half_type = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
        self._constants = {constant.name: constant for constant in graph.initializer}
        self._inside = [node for node in graph.node if _is_converted(node)]
        self._made = {name for node in self._inside for name in node.output if self._is_float(name)}
        self._clipped = 0

    def run(self) -> int:
        """Convert the graph; return how many weights were beyond the range of 16 bits."""
        wanted = self._wanted_float()
        ready: set[str] = set()
        nodes: list[Any] = []
        inside = {id(node) for node in self._inside}
        for node in list(self._graph.node):
            if id(node) not in inside:
                nodes.append(node)
                continue
            nodes.extend(self._brought(node, ready))
            taken_out = [name for name in node.output if name in self._made and name in wanted]
            self._convert(node)
            nodes.append(node)
            nodes += [self._cast(name + _HALF, name, self._float) for name in taken_out]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        self._drop_unused()
        return self._clipped

    def _is_float(self, name: str) -> bool:
        if name and name not in self._types:
            raise ValueError(f"The type of the numbers in '{name}' is not known.")
        return bool(name) and self._types[name] == self._float

    def _wanted_float(self) -> set[str]:
        """Return the tensors that are needed as float32: outputs, and what stays float32 takes."""
        inside = {id(node) for node in self._inside}
        wanted = {value.name for value in self._graph.output}
        for node in self._graph.node:
            if id(node) in inside:
                wanted.update(node.input[i] for i in _kept(node))
            else:
                wanted.update(node.input)
                wanted.update(_captured(node))
        return wanted

    def _brought(self, node: Any, ready: set[str]) -> Iterator[Any]:
        """Yield casts of what a node takes from outside; constants are converted, not cast."""
        kept = _kept(node)
        for position, name in enumerate(node.input):
            if position in kept or not name or not self._is_float(name):
                continue
            half = name + _HALF
            if name not in self._made and half not in ready:
                if name in self._constants:
                    self._add_constant(name, half)
                else:
                    yield self._cast(name, half, self._half_type)
                ready.add(half)
            node.input[position] = half

    def _convert(self, node: Any) -> None:
        """Rename a node's results, and let it make float16 where it says that it makes float32."""
        made = [name in self._made for name in node.output]
        for position, is_made in enumerate(made):
            if is_made:
                node.output[position] += _HALF
        if not any(made):
            return
        if node.op_type == "ConstantOfShape" and not node.attribute:
            node.attribute.append(_zero())
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == self._float:
                attribute.i = self._half_type
            elif attribute.name == "value" and attribute.t.data_type == self._float:
                attribute.t.CopyFrom(self._halved(attribute.t, attribute.t.name))
            elif attribute.name in ("value_float", "value_floats"):
                self._make_tensor(attribute)

    def _make_tensor(self, attribute: Any) -> None:
        import numpy as np
        from onnx import AttributeProto, numpy_helper

        is_one = attribute.name == "value_float"
        values = np.asarray(attribute.f if is_one else list(attribute.floats), np.float32)
        attribute.Clear()
        attribute.name, attribute.type = "value", AttributeProto.TENSOR
        attribute.t.CopyFrom(self._halved(numpy_helper.from_array(values), ""))

    def _add_constant(self, name: str, half: str) -> None:
        self._graph.initializer.append(self._halved(self._constants[name], half))

    def _halved(self, tensor: Any, name: str) -> Any:
        import numpy as np
        from onnx import numpy_helper

        values = numpy_helper.to_array(tensor).astype(np.float32)
        beyond = np.isfinite(values) & (np.abs(values) > _LARGEST)
        self._clipped += int(beyond.sum())
        values = np.where(beyond, np.copysign(_LARGEST, values), values)
        is_tiny = (values != 0) & (np.abs(values) < _SMALLEST)
        values = np.where(is_tiny, np.copysign(_SMALLEST, values), values)
        return numpy_helper.from_array(values.astype(np.float16), name)

    def _cast(self, source: str, result: str, to: int) -> Any:
        from onnx import helper

        return helper.make_node("Cast", [source], [result], name=f"{NETWORK}/Cast_{result}", to=to)

    def _drop_unused(self) -> None:
        used = {name for node in self._graph.node for name in (*node.input, *_captured(node))}
        used.update(value.name for value in self._graph.output)
        for constant in [c for c in self._graph.initializer if c.name not in used]:
            self._graph.initializer.remove(constant)


def _is_converted(node: Any) -> bool:
    return is_network_node(node.name) and node.op_type not in _FLOAT32_OPERATORS


def _kept(node: Any) -> Collection[int]:
    """Return the inputs of a node that stay float32, as far as they are given."""
    return [i for i in _FLOAT32_INPUTS.get(node.op_type, ()) if i < len(node.input)]


def _captured(node: Any) -> Iterator[str]:
    """Yield the names that subgraphs of a node may take from the graph around them."""
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for one in inner.node:
                yield from one.input
                yield from _captured(one)


def _zero() -> Any:
    """Return the attribute that fills with zeros of float16: without one they are float32."""
    import numpy as np
    from onnx import helper, numpy_helper

    return helper.make_attribute("value", numpy_helper.from_array(np.zeros(1, np.float16)))
