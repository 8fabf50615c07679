"""What an exported graph consists of: its three sections, its tidy form, its structural hash.

The exporter notes for each node the module that it comes from. From that, every node is named
``<section>/<module>/<operator>_<position>``, so that quantization can leave ``preprocess`` and
``postprocess`` alone and a report can say which layer was kept in float.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.storage import write_atomic

__all__ = [
    "NETWORK",
    "POSTPROCESS",
    "PREPROCESS",
    "graph_hash",
    "is_network_node",
    "operators_of",
    "read_metadata",
    "save_model",
    "tidy_model",
]

PREPROCESS = "preprocess"
NETWORK = "network"
POSTPROCESS = "postprocess"
_ORDER = (PREPROCESS, NETWORK, POSTPROCESS)
_SCOPES_KEY = "pkg.torch.onnx.name_scopes"


def tidy_model(model: Any) -> None:
    """Name the nodes of a freshly exported ``ModelProto`` and strip all that running does not need.

    The exporter writes the stack trace of every node, with the paths of the machine, into the file.
    They and the intermediate shapes go: they cost bytes and differ between machines.
    """
    sections: dict[str, str] = {}
    for position, node in enumerate(model.graph.node):
        scopes = _scopes(node)
        section = _section(node, scopes, sections)
        sections.update(dict.fromkeys(node.output, section))
        module = _module_path(node, scopes, section)
        node.name = f"{section}/{module}{node.op_type}_{position}"
    strip_notes(model)


def strip_notes(model: Any) -> None:
    """Remove documentation, the exporter's notes and intermediate shapes from a ``ModelProto``."""
    graph = model.graph
    model.doc_string = ""
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def is_network_node(name: str) -> bool:
    """Whether a node, by its name, belongs to the network proper (and may be quantized)."""
    return name.startswith(f"{NETWORK}/")


def save_model(model: Any, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a ``ModelProto`` atomically with exactly this metadata; same model, same bytes."""
    del model.metadata_props[:]
    for key in sorted(metadata):
        model.metadata_props.add(key=key, value=metadata[key])
    write_atomic(path, model.SerializeToString(deterministic=True))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    return {entry.key: entry.value for entry in model.metadata_props}


def graph_hash(path: Path) -> str:
    """Return a SHA-256 over what decides the latency of an ONNX file, not over its weights.

    That is: operators, attributes, connections, types and shapes of inputs, outputs and constants,
    and the values of whole-number constants (shapes, axes). Names do not count, nor whether two
    constants happen to be equal and are stored once. So the file exported with random weights has
    the hash of the trained one, provided that no weight is constant
    (:func:`automl.export.untrained.vary_constants`).
    """
    import onnx

    model = onnx.load(str(path))
    digest = hashlib.sha256()
    for line in _structure(model):
        digest.update(json.dumps(line, sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def operators_of(path: Path) -> tuple[str, ...]:
    """Return the kinds of nodes that a file's graph has, sorted: what a device must be able to run."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    return tuple(sorted({node.op_type for node in model.graph.node}))


def _scopes(node: Any) -> list[str]:
    for entry in node.metadata_props:
        if entry.key == _SCOPES_KEY:
            return [str(scope) for scope in ast.literal_eval(entry.value)]
    return []


def _section(node: Any, scopes: list[str], known: Mapping[str, str]) -> str:
    """Return the section of a node; one the optimiser made follows the latest of its inputs."""
    if len(scopes) > 1:
        top = scopes[1].split(".")[0]
        return top if top in (NETWORK, POSTPROCESS) and len(scopes) > 2 else PREPROCESS
    inputs = [known[name] for name in node.input if name in known]
    return max(inputs, key=_ORDER.index) if inputs else NETWORK


def _module_path(node: Any, scopes: list[str], section: str) -> str:
    """Return ``blocks.1.conv/`` or nothing: from the weight's name, else from the scope."""
    weights: list[str] = list(node.input[1:2])
    for name in weights:
        if name.startswith(f"{section}.") and name.endswith(".weight"):
            return name.removeprefix(f"{section}.").removesuffix(".weight") + "/"
    module = scopes[-2] if len(scopes) > 2 else ""
    return module.removeprefix(section).removeprefix(".") + "/" if "." in module else ""


def _structure(model: Any) -> list[Any]:
    """Return the graph as plain values, in its own order, with names replaced by numbers."""
    numbers: dict[str, int] = {"": -1}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    lines: list[Any] = [[entry.domain, entry.version] for entry in model.opset_import]
    for value in model.graph.input:
        lines.append(["input", number(value.name), _value_type(value)])
    constants = {constant.name: _constant(constant) for constant in model.graph.initializer}
    for node in model.graph.node:
        inputs = [constants[name] if name in constants else number(name) for name in node.input]
        attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
        outputs = [number(name) for name in node.output]
        lines.append([node.domain, node.op_type, attributes, inputs, outputs])
    for value in model.graph.output:
        lines.append(["output", number(value.name), _value_type(value)])
    return lines


def _value_type(value: Any) -> list[Any]:
    tensor = value.type.tensor_type
    return [tensor.elem_type, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]]


def _constant(tensor: Any) -> list[Any]:
    from onnx import TensorProto, numpy_helper

    description: list[Any] = [tensor.data_type, list(tensor.dims)]
    if tensor.data_type in (TensorProto.INT64, TensorProto.BOOL):
        description.append(numpy_helper.to_array(tensor).tolist())
    return description


def _attribute(attribute: Any) -> Any:
    from onnx import AttributeProto

    if attribute.type == AttributeProto.TENSOR:
        return _constant(attribute.t)
    if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
        return [[node.op_type for node in graph.node] for graph in graphs]
    return attribute.SerializeToString(deterministic=True).hex()
