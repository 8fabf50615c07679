"""A real agent for each file of tests, and small real networks as they are delivered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from agent_process import AgentProcess
from onnx import TensorProto, helper, numpy_helper

from automl.hardware.device import MeasureRequest
from automl.records import LatencyBudget, Scope


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what measures a real network alone: other tests would be in its figures."""
    for item in items:
        if "make_network" in getattr(item, "fixturenames", ()):
            item.add_marker("alone")


@dataclass(frozen=True)
class Network:
    """A file on disk with its hash."""

    path: Path
    sha256: str

    def request(self, **changes: object) -> MeasureRequest:
        """A request of few runs for this file."""
        plain = MeasureRequest(
            path=str(self.path),
            sha256=self.sha256,
            threads=1,
            scope=Scope.FRAME,
            frame_size=(64, 48),
            min_runs=32,
            min_seconds=0.0,
            budgets=(),
            stop_early=False,
            memory=False,
            max_seconds=10.0,
        )
        return replace(plain, **changes)  # type: ignore[arg-type]  # a test names real fields


def network_of(path: Path, content: bytes) -> Network:
    path.write_bytes(content)
    return Network(path, hashlib.sha256(content).hexdigest())


@pytest.fixture(scope="module")
def agent(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AgentProcess]:
    """One agent for all tests of a file, started with the file's ``AGENT_OPTIONS``."""
    folder = tmp_path_factory.mktemp("agent")
    with AgentProcess(folder, *request.module.AGENT_OPTIONS) as started:
        yield started


@pytest.fixture
def make_network(tmp_path: Path) -> Callable[..., Network]:
    """Build a convolutional network on uint8 frames; more channels or size: slower, larger."""

    def make(
        name: str = "small.onnx",
        *,
        channels: int = 8,
        size: tuple[int, int] = (64, 48),
        endless: bool = False,
    ) -> Network:
        model = _convolutional(channels, size, endless=endless)
        return network_of(tmp_path / name, model.SerializeToString())

    return make


@pytest.fixture
def budget() -> Callable[[float], tuple[LatencyBudget, ...]]:
    return lambda limit_ms: (LatencyBudget("p95", limit_ms),)


def _convolutional(channels: int, size: tuple[int, int], *, endless: bool) -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    weights = {
        "first": generator.normal(0, 0.1, (channels, 3, 3, 3)).astype(np.float32),
        "second": generator.normal(0, 0.1, (channels, channels, 3, 3)).astype(np.float32),
        "head": generator.normal(0, 0.1, (channels, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "first"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "head"], ["f"]),
    ]
    if endless:
        nodes.append(_endless_loop("f", "g"))
    nodes.append(helper.make_node("Softmax", ["g" if endless else "f"], ["probabilities"]))
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    initializers.append(numpy_helper.from_array(np.array(2**62, np.int64), "trips"))
    initializers.append(numpy_helper.from_array(np.array(True), "always"))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, *size, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"automl.classes": json.dumps(["fail", "pass"])})
    return model


def _endless_loop(source: str, result: str) -> onnx.NodeProto:
    """A loop of 2**62 rounds: a model that never answers."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition_in"], ["condition_out"]),
            helper.make_node("Abs", ["state_in"], ["state_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_in", TensorProto.FLOAT, [1, 2]),
        ],
        [
            helper.make_tensor_value_info("condition_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [1, 2]),
        ],
    )
    return helper.make_node("Loop", ["trips", "always", source], [result], body=body)
