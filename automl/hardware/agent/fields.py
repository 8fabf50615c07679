"""Reading one field of a message that came from another machine: its type and its bounds.

Every reader raises :class:`MessageError` with the field, the rule and the value that it got.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "SHA256",
    "MessageError",
    "as_object",
    "read_boolean",
    "read_integer",
    "read_list",
    "read_number",
    "read_object",
    "read_sha256",
    "read_text",
    "read_texts",
    "shown",
]

SHA256 = re.compile(r"[0-9a-f]{64}")


class MessageError(ValueError):
    """A message is not what the protocol says; the text gives field, rule and value."""


def read_sha256(message: Mapping[str, Any], name: str) -> str:
    """Return a SHA-256 in hexadecimal."""
    text = read_text(message, name)
    if SHA256.fullmatch(text) is None:
        raise MessageError(f"{name}: 64 hexadecimal digits; got {shown(text)}")
    return text


def read_integer(message: Mapping[str, Any], name: str, low: int, high: int) -> int:
    """Return a whole number within bounds."""
    value = message.get(name)
    if type(value) is not int or not low <= value <= high:
        raise MessageError(f"{name}: a whole number from {low} to {high}; got {shown(value)}")
    return value


def read_number(message: Mapping[str, Any], name: str, high: float) -> float:
    """Return a finite number from 0 to a bound."""
    value = message.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is None or not is_number or not 0 <= value <= high:  # a NaN is not either
        raise MessageError(f"{name}: a number from 0 to {high:g}; got {shown(value)}")
    return float(value)


def read_boolean(message: Mapping[str, Any], name: str) -> bool:
    """Return true or false."""
    value = message.get(name)
    if not isinstance(value, bool):
        raise MessageError(f"{name}: true or false; got {shown(value)}")
    return value


def read_text(message: Mapping[str, Any], name: str) -> str:
    """Return a text of at most 1000 characters."""
    value = message.get(name)
    if not isinstance(value, str) or len(value) > 1000:
        raise MessageError(f"{name}: a text of at most 1000 characters; got {shown(value)}")
    return value


def read_texts(message: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of such texts."""
    return tuple(read_text({name: value}, name) for value in read_list(message, name, 100))


def read_list(message: Mapping[str, Any], name: str, most: int) -> Sequence[Any]:
    """Return a list of at most so many values."""
    value = message.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise MessageError(f"{name}: a list of at most {most}; got {shown(value)}")
    return value


def read_object(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a JSON object."""
    return as_object(message.get(name), name)


def as_object(value: object, name: str) -> Mapping[str, Any]:
    """Return a value that must be a JSON object; ``name`` is that of its field."""
    if not isinstance(value, dict):
        raise MessageError(f"{name}: a JSON object; got {shown(value)}")
    return value


def shown(value: object) -> str:
    """Return a value of another machine so that it can be printed: escaped, and not too long."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
