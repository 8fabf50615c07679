"""What passes as an ONNX file on a device that does not have the onnx package."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from automl.hardware.agent.onnx_file import MESSAGES, OnnxFileError, check_onnx_file

Make = Callable[..., Any]


def _refusal(path: Path, content: bytes) -> str | None:
    path.write_bytes(content)
    try:
        check_onnx_file(path)
    except OnnxFileError as error:
        return str(error)
    return None


def _model(*nodes: onnx.NodeProto, weights: list[TensorProto] | None = None) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        weights or [],
    )
    return helper.make_model(graph)


def _abs() -> onnx.NodeProto:
    return helper.make_node("Abs", ["x"], ["y"])


def _external(name: str = "w") -> TensorProto:
    tensor = TensorProto(name=name, dims=[1], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def _only_location() -> TensorProto:
    tensor = TensorProto(name="w", dims=[1], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def _inside_a_branch() -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["z"], value=_external("c"))
    inner = helper.make_graph(
        [constant], "inner", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])]
    )
    outer = helper.make_graph(
        [helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)],
        "outer",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
    )
    return _model(helper.make_node("If", ["c"], ["y"], then_branch=outer, else_branch=outer))


def _sparse() -> onnx.ModelProto:
    model = _model(_abs())
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(_external())
    return model


def _in_a_function() -> onnx.ModelProto:
    model = _model(_abs())
    function = model.functions.add(name="f", domain="com.microsoft")
    function.node.append(helper.make_node("Constant", [], ["c"], value=_external("c")))
    return model


def _in_training() -> onnx.ModelProto:
    model = _model(_abs())
    model.training_info.add().initialization.initializer.append(_external())
    return model


_EXTERNAL = "it keeps weights in other files (external data); save the model as one file"
_OTHERS = "only those of ONNX and com.microsoft are run"


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (_model(_abs(), weights=[_external()]), _EXTERNAL),
        (_model(_abs(), weights=[_only_location()]), _EXTERNAL),
        (_inside_a_branch(), _EXTERNAL),
        (_sparse(), _EXTERNAL),
        (_in_a_function(), _EXTERNAL),
        (_in_training(), _EXTERNAL),
        (
            _model(helper.make_node("Mine", ["x"], ["y"], domain="my.company")),
            f"it uses operators of the domain 'my.company'; {_OTHERS}",
        ),
        (
            _model(helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")),
            "it uses the operator 'EPContext': it loads a file of the device",
        ),
        (
            _model(helper.make_node("PythonOp", ["x"], ["y"], domain="com.microsoft")),
            "it uses the operator 'PythonOp': it runs Python code",
        ),
    ],
)
def test_models_that_reach_beyond_their_file_are_refused(
    tmp_path: Path, model: onnx.ModelProto, why: str
) -> None:
    assert _refusal(tmp_path / "m.onnx", model.SerializeToString()) == why


def test_models_of_standard_operators_pass(make_network: Make, tmp_path: Path) -> None:
    check_onnx_file(make_network().path)
    check_onnx_file(make_network("loop.onnx", endless=True).path)
    quantized = helper.make_node("QLinearAdd", ["x"] * 8, ["y"], domain="com.microsoft")
    assert _refusal(tmp_path / "q.onnx", _model(quantized).SerializeToString()) is None


def test_weights_saved_in_another_file_are_refused(make_network: Make, tmp_path: Path) -> None:
    model = onnx.load(make_network(channels=32).path)
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(OnnxFileError, match="external data"):
        check_onnx_file(tmp_path / "e.onnx")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"\x08\x09", "it is not an ONNX model: it has no IR version or no graph"),
        (b"PK\x03\x04 a zip file", "ModelProto has no field 10"),
        (b"\x80\x05\x95pickle", "ModelProto has no field"),
        (b"<html><body>hello</body></html>", "it is not an ONNX model"),
        (b"\x18\x00\x00\x00ORTM" + bytes(100), "it is in onnxruntime's own format"),
        (b"\x08\x09\x3a\xff\xff\xff\xff\x7f", "it is cut off or damaged: ModelProto ends early"),
        (b"\x08" + b"\xff" * 11, "it is damaged: a number has more than 10 bytes"),
        (b"\x0b\x0c", "it is not an ONNX model: ModelProto holds a field of wire type 3"),
        (b"\x3a", "it is cut off or damaged: a number ends early"),
        (b"\x38\x01", "field 7 of ModelProto is of another kind"),
    ],
)
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    assert why in (_refusal(tmp_path / "m.onnx", content) or "it passed")


def test_graphs_nested_without_end_are_refused_and_do_not_exhaust_the_stack(
    tmp_path: Path,
) -> None:
    content = b""
    for _ in range(3000):  # graph > node > attribute > graph
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            content = tag + _varint(len(content)) + content
    content = b"\x08\x09\x3a" + _varint(len(content)) + content
    assert _refusal(tmp_path / "m.onnx", content) == "it is nested more than 100 deep"


def test_a_file_of_nothing_but_fields_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl.hardware.agent.onnx_file._MOST_FIELDS", 10_000)
    assert _refusal(tmp_path / "m.onnx", b"\x08\x09" * 20_000) == "it has more than 10,000 fields"


def test_a_file_that_is_cut_anywhere_passes_only_if_it_is_still_a_model(
    make_network: Make, tmp_path: Path
) -> None:
    whole = make_network().path.read_bytes()
    passed = 0
    for length in range(1, len(whole), 7):
        if _refusal(tmp_path / "cut.onnx", whole[:length]) is None:
            passed += 1
            assert onnx.load_model_from_string(whole[:length]).graph.node
    assert passed <= 10


def test_damaged_files_that_pass_hold_no_external_data(make_network: Make, tmp_path: Path) -> None:
    model = onnx.load(make_network(channels=2).path)
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float32), "more"))
    content = model.SerializeToString()
    draw = random.Random(0)
    passed = read = 0
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(len(damaged))] = draw.choice(
                (0x6A, 0x70, 1, draw.randrange(256))
            )
        if _refusal(tmp_path / "m.onnx", bytes(damaged)) is not None:
            continue
        passed += 1
        try:
            tensors = list(_tensors(onnx.load_model_from_string(bytes(damaged)).graph))
        except DecodeError:
            continue  # the runtime will not read it either
        read += 1
        assert not any(t.external_data or t.data_location for t in tensors)
    assert passed > 50
    assert read > 20


def test_every_field_of_the_installed_onnx_is_known() -> None:
    for name, fields in MESSAGES.items():
        descriptor = getattr(onnx, name).DESCRIPTOR
        assert {field.number for field in descriptor.fields} <= set(fields), name
        for field in descriptor.fields:
            inner = field.message_type.name if field.type == FieldDescriptor.TYPE_MESSAGE else ""
            if inner in MESSAGES:
                assert fields[field.number] == inner, (name, field.name)


def test_no_message_that_is_stepped_over_can_hold_a_tensor() -> None:
    stepped_over = {
        field.message_type
        for name, fields in MESSAGES.items()
        for field in getattr(onnx, name).DESCRIPTOR.fields
        if field.message_type is not None and fields[field.number] in ("plain", "external")
    }
    reached, pending = set(), list(stepped_over)
    while pending:
        message = pending.pop()
        if message.full_name not in reached:
            reached.add(message.full_name)
            pending += [f.message_type for f in message.fields if f.message_type is not None]
    assert reached
    assert not {name.rpartition(".")[2] for name in reached} & set(MESSAGES)


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _varint(value: int) -> bytes:
    content = b""
    while value > 0x7F:
        content += bytes([value & 0x7F | 0x80])
        value >>= 7
    return content + bytes([value])
