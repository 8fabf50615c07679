"""YAML text to plain values, each with its line and column, and nothing YAML could do beyond that.

A spec may come from anywhere, so only the harmless part of YAML 1.2 is read: one document that is a
mapping of text keys to text, numbers, true, false, lists and mappings. Tags, anchors, aliases and
duplicate keys are refused; size, depth and number of values are bounded before anything is built.
Values are resolved by the core schema of YAML 1.2 (section 10.3.2): ``no`` and ``on`` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from automl.spec.problems import InvalidDocumentError, Problem, escape, shown

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Document", "Plain", "decode", "parse_yaml", "read_bytes"]

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
Location: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
"""The deepest spec has five levels."""
MAX_VALUES = 20_000
"""The largest shipped search space holds some hundred values."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What no file name and no UTF-8 text can hold, yet an escape in quotes can write."""
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True)
class Document:
    """A YAML file, read. ``marks``: (line, column) of each key and of each value of a list."""

    source: str
    text: str
    root: dict[str, Plain]
    marks: dict[Location, tuple[int, int]]
    problems: tuple[Problem, ...]
    """What YAML allows and a spec does not; the values concerned are in ``spoilt``."""
    spoilt: frozenset[Location]

    def locate(self, location: Location) -> Location:
        """Return the part of a location that is written in the file.

        A shorthand (``data: ./images``) is validated in its long form, whose inner keys and indices
        are not there.
        """
        found: Location = ()
        node: Plain = self.root
        for part in location:
            if isinstance(node, dict) and isinstance(part, int):
                continue
            if (*found, part) not in self.marks:
                break
            found = (*found, part)
            node = _inner(node, part)
        return found

    def problem(self, location: Location, message: str, *, missing: str = "") -> Problem:
        """Return a problem at a location, placed at its key; ``missing`` names an absent key."""
        found = self.locate(location)
        line, column = self.marks[found]
        return Problem(line, column, _path((*found, missing) if missing else found), message)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes, at most one more than :data:`MAX_BYTES`."""
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def decode(content: bytes, *, source: str) -> str:
    """Return UTF-8 bytes as text.

    Raises:
        InvalidDocumentError: when there are too many bytes or they are not UTF-8.
    """
    if len(content) > MAX_BYTES:
        raise _single(source, f"the file is larger than {MAX_BYTES:,} bytes. Is it a spec?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", errors="replace")
        message = f"not UTF-8 text (byte 0x{content[error.start]:02x}). Save the file as UTF-8."
        raise InvalidDocumentError(source, [_at(before, message)]) from error


def parse_yaml(text: str, *, source: str, kind: str) -> Document:
    """Return the values of YAML text with their places.

    Args:
        text: the file's content.
        source: its name, for messages.
        kind: what the file should be, for messages: ``spec`` or ``search space``.

    Raises:
        InvalidDocumentError: when the text is not one YAML mapping, or is too large or too deep.
    """
    if len(text.encode("utf-8", errors="replace")) > MAX_BYTES:
        raise _single(source, f"the text is larger than {MAX_BYTES:,} bytes. Is it a {kind}?")
    if bad := _CONTROL.search(text):
        message = f"control character {shown(bad.group())}. A {kind} is plain text: delete it."
        raise InvalidDocumentError(source, [_at(text[: bad.start()], message)])
    reader = _Reader(source, kind)
    root = reader.read(text)
    return Document(
        source, text, root, reader.marks, tuple(reader.problems), frozenset(reader.spoilt)
    )


class _RefusedError(Exception):
    """Reading cannot go on."""

    def __init__(self, event: Any, message: str) -> None:
        super().__init__(message)
        self.position = _position(event.start_mark)


@dataclass
class _Reader:
    """Builds plain values from the events of ruamel.yaml's parser."""

    source: str
    kind: str
    marks: dict[Location, tuple[int, int]] = field(default_factory=lambda: {(): (1, 1)})
    problems: list[Problem] = field(default_factory=list)
    spoilt: set[Location] = field(default_factory=set)
    values: int = 0

    def read(self, text: str) -> dict[str, Plain]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        try:
            return self._document(YAML(typ="safe", pure=True).parse(text))
        except _RefusedError as refused:
            problem = Problem(*refused.position, "", str(refused))
            raise InvalidDocumentError(self.source, [*self.problems, problem]) from None
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = Problem(*(_position(mark) if mark else (1, 1)), "", _syntax(error))
            raise InvalidDocumentError(self.source, [*self.problems, problem]) from error
        except YAMLError as error:
            raise _single(self.source, f"not readable as YAML: {escape(str(error))}") from error

    def _document(self, events: Iterator[Any]) -> dict[str, Plain]:
        next(events)
        start = next(events)
        if _is(start, "StreamEnd"):
            raise _RefusedError(start, f"the file is empty. Write a {self.kind} into it.")
        first = next(events)
        root = self._value(events, first, ())
        if root is None:
            raise _RefusedError(first, f"the file is empty. Write a {self.kind} into it.")
        if not isinstance(root, dict):
            message = f"a {self.kind} is lines of 'key: value'; got {shown(root)}."
            if isinstance(root, str) and ":" in root:
                message += " Is a space missing after a colon?"
            raise _RefusedError(first, message)
        next(events)
        after = next(events)
        if not _is(after, "StreamEnd"):
            raise _RefusedError(after, f"a second document begins. One file holds one {self.kind}.")
        return root

    def _value(self, events: Iterator[Any], event: Any, location: Location) -> Plain:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _RefusedError(event, f"more than {MAX_VALUES:,} values. Is it a {self.kind}?")
        if len(location) > MAX_DEPTH:
            raise _RefusedError(event, f"more than {MAX_DEPTH} levels deep. Is it a {self.kind}?")
        self._refuse_indirection(event, location)
        if _is(event, "Alias"):
            return None
        if _is(event, "Scalar"):
            _refuse_unstorable(event)
            return _resolve(event.value) if event.style is None else str(event.value)
        if _is(event, "SequenceStart"):
            return self._sequence(events, location)
        return self._mapping(events, location)

    def _refuse_indirection(self, event: Any, location: Location) -> None:
        if _is(event, "Alias"):
            self._report(
                event, location, f"alias {shown('*' + event.anchor)}: write the value out."
            )
            return
        if event.anchor is not None:
            name = shown(f"&{event.anchor}")
            self._report(event, location, f"anchor {name}: anchors are refused. Delete it.")
        if event.ctag is not None:
            self._report(event, location, f"tag {shown(event.tag)}: tags are refused. Delete it.")

    def _sequence(self, events: Iterator[Any], location: Location) -> Plain:
        result: list[Plain] = []
        while not _is(event := next(events), "SequenceEnd"):
            inner = (*location, len(result))
            self.marks[inner] = _position(event.start_mark)
            result.append(self._value(events, event, inner))
        return result

    def _mapping(self, events: Iterator[Any], location: Location) -> Plain:
        result: dict[str, Plain] = {}
        while not _is(event := next(events), "MappingEnd"):
            if not _is(event, "Scalar"):
                raise _RefusedError(event, "a key is text, not a list, a mapping or an alias.")
            _refuse_unstorable(event)
            key = str(event.value)
            inner = (*location, key)
            self._refuse_indirection(event, inner)
            if key in result:
                line = self.marks[inner][0]
                message = f"duplicate key, already in line {line}. Keep one of the two."
                place = _position(event.start_mark)
                self.problems.append(Problem(*place, _path(inner), message))
                shadow = _Reader(self.source, self.kind, values=self.values)
                shadow._value(events, next(events), inner)
                self.values = shadow.values
                continue
            self.marks[inner] = _position(event.start_mark)
            result[key] = self._value(events, next(events), inner)
        return result

    def _report(self, event: Any, location: Location, message: str) -> None:
        self.spoilt.add(location)
        self.problems.append(Problem(*_position(event.start_mark), _path(location), message))


def _inner(node: Plain, part: str | int) -> Plain:
    if isinstance(node, dict) and isinstance(part, str):
        return node.get(part)
    if isinstance(node, list) and isinstance(part, int):
        return node[part]
    return None


def _refuse_unstorable(event: Any) -> None:
    if bad := _UNSTORABLE.search(event.value):
        raise _RefusedError(event, f"character {shown(bad.group())} cannot be used. Delete it.")


def _resolve(text: str) -> Plain:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _path(location: Location) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{escape(part)}" if path else escape(part)
    return path


def _is(event: Any, name: str) -> bool:
    return type(event).__name__ == f"{name}Event"


def _position(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _at(before: str, message: str) -> Problem:
    line = before.count("\n") + 1
    return Problem(line, len(before) - (before.rfind("\n") + 1) + 1, "", message)


def _single(source: str, message: str) -> InvalidDocumentError:
    return InvalidDocumentError(source, [Problem(1, 1, "", message)])


def _syntax(error: Any) -> str:
    problem = escape(error.problem or error.context or "unreadable")
    if "'\\t'" in problem:
        return "a tab cannot indent or separate in YAML. Use spaces."
    return f"not valid YAML: {problem}. Check indentation, colons, quotes and brackets."
