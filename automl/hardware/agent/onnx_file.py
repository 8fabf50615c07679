"""Whether a file is an ONNX model that stands alone, found out without the onnx package.

An ONNX file is a protocol buffer. It could name other files of the device (external data), operators
that load code, or be something else altogether. This module walks the whole message by a table of
the fields that can lead to a tensor or an operator, and refuses what it does not know: a file that
passes holds all its numbers itself and only standard operators. Weights are stepped over, not read.

Sources: protobuf.dev, "Encoding"; the field numbers of ``onnx/onnx.proto`` (IR version 13).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

__all__ = ["MESSAGES", "OnnxFileError", "check_onnx_file"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10
"""The longest encoding of 64 bits in groups of seven."""
_MOST_FIELDS = 5_000_000
"""A network of 10,000 operators has about 200,000; walking so many takes some seconds."""
_MOST_DEPTH = 100
"""protobuf's own limit on nested messages."""

MESSAGES: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "ModelProto": {
            **dict.fromkeys((1, 2, 3, 4, 5, 6, 14, 26), "plain"),
            7: "GraphProto",
            8: "plain",
            20: "TrainingInfoProto",
            25: "FunctionProto",
        },
        "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto", 3: "plain", 4: "plain"},
        "GraphProto": {
            **dict.fromkeys((2, 10, 11, 12, 13, 14, 16), "plain"),
            1: "NodeProto",
            5: "TensorProto",
            15: "SparseTensorProto",
        },
        "FunctionProto": {
            **dict.fromkeys((1, 4, 5, 6, 8, 9, 10, 12, 13, 14), "plain"),
            7: "NodeProto",
            11: "AttributeProto",
        },
        "NodeProto": {
            **dict.fromkeys((1, 2, 3, 6, 8, 9, 10), "plain"),
            4: "operator",
            5: "AttributeProto",
            7: "domain",
        },
        "AttributeProto": {
            **dict.fromkeys((1, 2, 3, 4, 7, 8, 9, 13, 14, 15, 20, 21), "plain"),
            5: "TensorProto",
            6: "GraphProto",
            10: "TensorProto",
            11: "GraphProto",
            22: "SparseTensorProto",
            23: "SparseTensorProto",
        },
        "SparseTensorProto": {1: "TensorProto", 2: "TensorProto", 3: "plain"},
        "TensorProto": {
            **dict.fromkeys((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16), "plain"),
            13: "external",
            14: "location",
        },
    }
)
"""Every field by message: the message in it, ``plain`` (nothing to look at), or a rule below."""

_DOMAINS = frozenset({b"", b"ai.onnx", b"com.microsoft"})
_OPERATORS: Mapping[bytes, str] = MappingProxyType(
    {
        b"EPContext": "it loads a file of the device",
        b"PythonOp": "it runs Python code",
        b"PythonOpGrad": "it runs Python code",
    }
)
_ORT_MARK = b"ORTM"
"""At byte 4 of onnxruntime's own format (flatbuffers), which the runtime prefers to ONNX."""


class OnnxFileError(ValueError):
    """The file is no ONNX model that may be run here; the message says why."""


@dataclass(frozen=True)
class _Field:
    number: int
    wire: int
    value: int
    """Of a varint; else 0."""
    start: int
    end: int
    """Where the content of a field of bytes lies in the file."""


def check_onnx_file(path: Path) -> None:
    """Return if a file is an ONNX model without external data and without operators of others.

    Raises:
        OnnxFileError: when it is not, with the reason.
    """
    if path.stat().st_size == 0:
        raise OnnxFileError("the file is empty (0 bytes)")
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        _Walk(content).check()


class _Walk:
    """One pass over the fields of a file. What is still to be walked is kept in a list, so that
    nesting cannot exhaust the stack."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._fields = 0

    def check(self) -> None:
        if self._content[4:8] == _ORT_MARK:
            raise OnnxFileError("it is in onnxruntime's own format; give the ONNX file")
        found: set[int] = set()
        pending = [("ModelProto", 0, len(self._content), 0)]
        while pending:
            message, start, end, depth = pending.pop()
            for field in self._walk(message, start, end):
                inner = self._look(message, field)
                if inner is not None:
                    if depth == _MOST_DEPTH:
                        raise OnnxFileError(f"it is nested more than {_MOST_DEPTH} deep")
                    pending.append((inner, field.start, field.end, depth + 1))
                if depth == 0:
                    found.add(field.number)
        if not {1, 7} <= found:
            raise OnnxFileError("it is not an ONNX model: it has no IR version or no graph")

    def _look(self, message: str, field: _Field) -> str | None:
        """Return the message that a field holds, if any; refuse what must not be there."""
        kind = MESSAGES[message].get(field.number)
        if kind is None:
            raise OnnxFileError(
                f"it is not an ONNX model: {message} has no field {field.number} "
                f"(at byte {field.start})"
            )
        if kind == "plain":
            return None
        if kind == "location":
            if field.wire != _VARINT or field.value != 0:
                raise _external()
            return None
        if field.wire != _BYTES:
            raise OnnxFileError(
                f"it is not an ONNX model: field {field.number} of {message} is of another kind "
                f"(at byte {field.start})"
            )
        if kind == "external":
            raise _external()
        if kind in ("domain", "operator"):
            self._check_operator(
                kind, self._content[field.start : min(field.end, field.start + 80)]
            )
            return None
        return kind

    @staticmethod
    def _check_operator(kind: str, text: bytes) -> None:
        shown = text.decode("utf-8", "replace")
        if kind == "domain" and text not in _DOMAINS:
            raise OnnxFileError(
                f"it uses operators of the domain {shown!a}; only those of ONNX and com.microsoft "
                "are run"
            )
        if kind == "operator" and text in _OPERATORS:
            raise OnnxFileError(f"it uses the operator {shown!a}: {_OPERATORS[text]}")

    def _walk(self, message: str, start: int, end: int) -> Iterator[_Field]:
        position = start
        while position < end:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise OnnxFileError(f"it has more than {_MOST_FIELDS:,} fields")
            tag, position = self._varint(position, end)
            number, wire = tag >> 3, tag & 7
            value, begin = 0, position
            if wire == _VARINT:
                value, position = self._varint(position, end)
            elif wire == _BYTES:
                length, begin = self._varint(position, end)
                position = begin + length
            elif wire in (_FIXED64, _FIXED32):
                position += 8 if wire == _FIXED64 else 4
            else:
                raise OnnxFileError(
                    f"it is not an ONNX model: {message} holds a field of wire type {wire} "
                    f"(at byte {begin})"
                )
            if position > end:
                raise OnnxFileError(f"it is cut off or damaged: {message} ends early (byte {end})")
            yield _Field(number, wire, value, begin, position)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 7 * _VARINT_BYTES, 7):
            if position >= end:
                raise OnnxFileError(f"it is cut off or damaged: a number ends early (byte {end})")
            byte = self._content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, position
        raise OnnxFileError(f"it is damaged: a number has more than {_VARINT_BYTES} bytes")


def _external() -> OnnxFileError:
    return OnnxFileError(
        "it keeps weights in other files (external data); save the model as one file"
    )
