"""The graph that onnxruntime makes of an ONNX file before it runs it, and its profile of some inferences."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FusedGraph", "FusedNode", "run_fused"]


@dataclass(frozen=True)
class FusedNode:
    """What the fused graph says of an operator beside its shapes."""

    kind: str
    group: int
    weight: tuple[int, ...] | None
    """Shape of its largest constant."""
    weight_bytes: int
    constant: tuple[bool, ...]
    """Whether each input is one, in their order."""
    kernel: tuple[int, ...]
    stride: int
    feeds: tuple[str, ...]
    """Names of the operators that use its results."""
    order: tuple[int, ...] = ()
    """Of the axes, for a transposition."""
    axis: int | None = None
    mode: str = ""
    is_blocked: bool = False
    """Whether it works on channels in blocks as wide as the processor's vectors."""

    @classmethod
    def read(
        cls,
        node: Any,
        constants_of: Mapping[str, tuple[tuple[int, ...], int]],
        users: Mapping[str, list[str]],
    ) -> FusedNode:
        """Read a node of the graph.

        Args:
            constants_of: shape and bytes an item of the graph's constants, by name.
            users: names of the nodes that take a result, by its name.
        """
        group, kernel, stride = 1, (), 1
        order, axis, mode = (), None, ""
        for attribute in node.attribute:
            if attribute.name == "group":
                group = attribute.i
            elif attribute.name == "kernel_shape":
                kernel = tuple(attribute.ints)
            elif attribute.name == "strides":
                stride = max(attribute.ints)
            elif attribute.name == "perm":
                order = tuple(attribute.ints)
            elif attribute.name == "axis":
                axis = attribute.i
            elif attribute.name == "mode":
                mode = attribute.s.decode()
        constants = [constants_of[name] for name in node.input if name in constants_of]
        largest = max(constants, key=lambda one: math.prod(one[0]), default=None)
        return cls(
            kind=node.op_type,
            group=group,
            weight=None if largest is None else largest[0],
            weight_bytes=sum(math.prod(shape) * size for shape, size in constants),
            constant=tuple(name in constants_of for name in node.input),
            kernel=kernel,
            stride=stride,
            feeds=tuple(user for result in node.output for user in users.get(result, ())),
            order=order,
            axis=axis,
            mode=mode,
            is_blocked=node.domain == "com.microsoft.nchwc",
        )

    @property
    def is_depthwise(self) -> bool:
        """Whether it is a convolution of each channel by itself."""
        shape = self.weight or ()
        return self.group > 1 and len(shape) > 1 and shape[1] == 1


@dataclass(frozen=True)
class FusedGraph:
    """What was run, and how it went."""

    nodes: Mapping[str, FusedNode]
    """By name."""
    events: Sequence[Mapping[str, Any]]
    """One for each operator and inference, as the runtime's profile has them: name, microseconds
    (``dur``), and ``args`` with the shapes of what was given and what came of it."""


def run_fused(path: Path, *, frame_size: tuple[int, int], runs: int, threads: int) -> FusedGraph:
    """Run a file some times with every operator timed.

    Args:
        frame_size: (height, width) to run with where the file leaves them open.

    Raises:
        Exception: of onnxruntime, when the file is no model that it can run.
    """
    with tempfile.TemporaryDirectory(prefix="automl-operators-") as folder:
        return _run(path, Path(folder), frame_size, runs, threads)


def _run(
    path: Path, folder: Path, frame_size: tuple[int, int], runs: int, threads: int
) -> FusedGraph:
    import numpy as np
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "fused.onnx")
    options.enable_profiling = True
    # 8-bit files for ARM hold signed values, which onnxruntime fuses there alone unless it is told to.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.profile_file_prefix = str(folder / "profile")
    model = onnx.load(str(path))
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"operator-{number}"
    content = model.SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    shape = _shape(given.shape, frame_size)
    is_frame = given.type == "tensor(uint8)"
    feed = np.full(shape, 127 if is_frame else 0.5, np.uint8 if is_frame else np.float32)
    for _ in range(runs):
        session.run(None, {given.name: feed})
    events = json.loads(Path(session.end_profiling()).read_text())
    fused = onnx.load(str(folder / "fused.onnx"), load_external_data=False)
    constants = {
        tensor.name: (
            tuple(tensor.dims),
            onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize,
        )
        for tensor in fused.graph.initializer
    }
    users: dict[str, list[str]] = {}
    for node in fused.graph.node:
        for given_name in node.input:
            users.setdefault(given_name, []).append(node.name)
    nodes = {node.name: FusedNode.read(node, constants, users) for node in fused.graph.node}
    return FusedGraph(nodes, [e for e in events if e["name"].endswith("_kernel_time")])


def _shape(dims: Sequence[int | str | None], frame_size: tuple[int, int]) -> tuple[int, ...]:
    """Fill in open dimensions: batch 1, and the frame's height and width in their order."""
    sides = iter(frame_size)
    return tuple(
        dim if isinstance(dim, int) else 1 if place == 0 else next(sides)
        for place, dim in enumerate(dims)
    )
