"""Read large JSON files piece by piece, and say where one is broken.

The parser (yajl, through ijson) names no position. So when it refuses a file, that file is read once
more as far as the fault, and then byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from automl.errors import DataError

__all__ = ["beginning", "stream_items"]

_CHUNK_BYTES = 1 << 18
_MARK = b"\xef\xbb\xbf"
"""Byte order mark that some editors put before UTF-8."""


def stream_items(file: Path, *prefixes: str) -> Iterator[tuple[str, Any]]:
    """Yield each item below the prefixes (``images.item``) of a JSON file, with its prefix.

    Numbers with a fraction are floats. Memory does not grow with the file.

    Raises:
        DataError: the file cannot be read or is no JSON; with line and byte.
    """
    import ijson

    try:
        with file.open("rb") as stream:
            gathered = [ijson.sendable_list() for _ in prefixes]
            readers = [
                ijson.items_coro(target, prefix, use_float=True)
                for target, prefix in zip(gathered, prefixes, strict=True)
            ]
            for chunk in _chunks(stream):
                for prefix, target, reader in zip(prefixes, gathered, readers, strict=True):
                    reader.send(chunk)
                    yield from ((prefix, item) for item in target)
                    del target[:]
            for reader in readers:
                reader.close()
    except OSError as error:
        raise DataError(
            f"'{file}' cannot be read ({error.strerror}). Check its permissions."
        ) from error
    except ijson.JSONError as error:
        line, byte = _fault(file)
        raise DataError(
            f"{file}, line {line}: not JSON ({_reason(error)} at byte {byte:,}). Export or copy the "
            "file again."
        ) from error


def beginning(file: Path, *, most_bytes: int = 1 << 16) -> Iterator[tuple[str, str]]:
    """Yield (prefix, event) of the beginning of a JSON file; ends at its first fault, silently."""
    import ijson

    try:
        with file.open("rb") as stream:
            head = stream.read(most_bytes).removeprefix(_MARK)
        for prefix, event, _ in ijson.parse(head, use_float=True):
            yield prefix, event
    except (OSError, ijson.JSONError):
        return


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    chunk = stream.read(_CHUNK_BYTES).removeprefix(_MARK)
    while chunk:
        yield chunk
        chunk = stream.read(_CHUNK_BYTES)


def _fault(file: Path) -> tuple[int, int]:
    """Return line and byte (both from 1) where a file stops being JSON."""
    with file.open("rb") as stream:
        whole = _good_chunks(stream)
        stream.seek(0)
        marked = stream.read(len(_MARK)) == _MARK
        stream.seek(0)
        reader = _null_reader()
        lines, read = 1, len(_MARK) if marked else 0
        for position, chunk in enumerate(_chunks(stream)):
            if position < whole:
                reader.send(chunk)
                lines, read = lines + chunk.count(b"\n"), read + len(chunk)
                continue
            for at in range(len(chunk)):
                if not _accepts(reader, chunk[at : at + 1]):
                    return lines + chunk[:at].count(b"\n"), read + at + 1
            break
        return lines, read  # the end came too early


def _good_chunks(stream: BinaryIO) -> int:
    """Count the chunks before the one with the fault."""
    reader = _null_reader()
    count = 0
    for chunk in _chunks(stream):
        if not _accepts(reader, chunk):
            break
        count += 1
    return count


def _accepts(reader: Any, data: bytes) -> bool:
    import ijson

    try:
        reader.send(data)
    except ijson.JSONError:
        return False
    return True


def _null_reader() -> Any:
    """Return a parser that keeps nothing."""
    import ijson

    return ijson.items_coro(ijson.sendable_list(), "no such prefix", use_float=True)


def _reason(error: Exception) -> str:
    """Return the first line of yajl's message, without its excerpt of the file."""
    content = error.args[0] if error.args else ""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
    return text.splitlines()[0].rstrip(". ") if text else "broken"
