"""Read the arrays of a JSON file item by item, each with the line that it begins on.

Exports of annotation tools are arrays of a gigabyte. Whole, it would fill the memory; and parsers
that stream (ijson) do not tell lines, which a person needs to mend a file.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from automl.errors import DataError

__all__ = ["array_items", "beginning", "object_items"]

_CHUNK = 1 << 20
_NEAR_END = 16
"""A literal or escape cut by the end of the text read so far is reported within so many characters."""
_MAX_ITEM = 1 << 29
_BEGINNING_BYTES = 1 << 16
_BLANK = " \t\r\n"


def array_items(file: Path) -> Iterator[tuple[int, object]]:
    """Yield line and value of each item of a file that is one JSON array (UTF-8, perhaps a BOM).

    Raises:
        DataError: not readable, not UTF-8, no array, or malformed, with the line.
    """
    with _opened(file) as items:
        yield from items.of_array()


def object_items(file: Path, *keys: str) -> Iterator[tuple[str, int, object]]:
    """Yield key, line and value of each item of some arrays in a file that is one JSON object.

    Items come as they lie in the file; of arrays under other keys no more than one item is held.

    Raises:
        DataError: not readable, not UTF-8, no object, or malformed, with the line.
    """
    with _opened(file) as items:
        yield from items.of_object(frozenset(keys))


def beginning(file: Path) -> str:
    """Return the first 64 KiB of a file as text without a BOM; nothing when it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(_BEGINNING_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""


@contextmanager
def _opened(file: Path) -> Iterator[_Items]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield _Items(file, stream)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}, line {_undecodable_line(file)}: byte {error.object[error.start]:#04x} is not "
            "UTF-8. Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise DataError(
            f"'{file}' cannot be read ({error.strerror or error}). Give the user who runs this the "
            "right to read it."
        ) from error


def _undecodable_line(file: Path) -> int:
    """Return the line of the first byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            try:
                line += decoder.decode(chunk).count("\n")
            except UnicodeDecodeError as error:
                return line + error.object[: error.start].count(b"\n")
    return line


class _Items:
    """The text read so far, and where in it the next item begins."""

    def __init__(self, file: Path, stream: TextIO) -> None:
        self._file, self._stream = file, stream
        self._text, self._at = "", 0
        self._line, self._line_of = 1, 0
        """The line of one character of the text, and which."""
        self._passed = 0
        """Characters let go of, before the text."""
        self._is_whole = False
        self._decoder = json.JSONDecoder()

    def of_array(self) -> Iterator[tuple[int, object]]:
        """Yield line and value of each item of the array that the file is."""
        if self._next() != "[":
            raise self._malformed("is no list of tasks: it does not begin with '['")
        yield from self._array()

    def of_object(self, keys: frozenset[str]) -> Iterator[tuple[str, int, object]]:
        """Yield key, line and value of each item of the arrays under the keys."""
        if self._next() != "{":
            raise self._malformed("it does not begin with '{'")
        mark = ","
        while mark == ",":
            self._at += 1
            if self._next() != '"':
                raise self._malformed("a key is missing")
            key = str(self._value())
            if self._next() != ":":
                raise self._malformed("':' is missing")
            self._at += 1
            if self._next() == "[":
                for line, value in self._array():
                    if key in keys:
                        yield key, line, value
            else:
                self._value()
            mark = self._next()
        if mark != "}":
            raise self._malformed("',' or '}' is missing")
        self._at += 1
        if self._next():
            raise self._malformed("there is more after the end")

    def _array(self) -> Iterator[tuple[int, object]]:
        """Yield line and value of each item of the array that begins here."""
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return
        while True:
            self._next()
            line = self._line_at(self._at)
            yield line, self._value()
            mark = self._next()
            if mark not in (",", "]"):
                raise self._malformed("',' or ']' is missing")
            self._at += 1
            if mark == "]":
                return

    def _next(self) -> str:
        """Go to the next character that is not blank; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> object:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_cut = error.pos >= len(self._text) - _NEAR_END
                if (is_cut or error.msg.startswith("Unterminated")) and self._more():
                    continue
                raise self._malformed(error.msg, at=error.pos) from error
            except (
                ValueError,
                RecursionError,
            ) as error:  # a number of 5,000 digits; nested too deep
                raise self._malformed(str(error)) from error
            is_number = isinstance(value, (int, float))
            if is_number and end == len(self._text) and self._more():
                continue  # its last digits may not have been read yet
            self._at = end
            return value

    def _more(self) -> bool:
        """Read on, letting go of what was taken; as much again as is kept, so that it ends soon."""
        if self._is_whole:
            return False
        kept = len(self._text) - self._at
        if kept > _MAX_ITEM:
            raise self._malformed(f"an item has more than {_MAX_ITEM:,} characters")
        read = self._stream.read(max(_CHUNK, kept))
        if not read:
            self._is_whole = True
            return False
        self._line_at(self._at)
        self._passed += self._at
        self._text, self._at, self._line_of = self._text[self._at :] + read, 0, 0
        return True

    def _line_at(self, position: int) -> int:
        """Return the line of a character that does not come before the last one asked for."""
        self._line += self._text.count("\n", self._line_of, position)
        self._line_of = position
        return self._line

    def _malformed(self, what: str, *, at: int | None = None) -> DataError:
        place = self._at if at is None else at
        line = self._line_at(place)
        return DataError(
            f"{self._file}, line {line}: malformed JSON at character {self._passed + place + 1:,} "
            f"({what}). Export the annotations again."
        )
