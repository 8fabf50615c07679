"""Records to JSON text and back, checked against their types."""

from __future__ import annotations

import json
from typing import Any, TypeVar

__all__ = ["dump_record", "load_record"]

_Record = TypeVar("_Record")


_adapters: dict[Any, Any] = {}


def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def dump_record(record: object) -> str:
    """Return a record as canonical compact JSON. Floats keep every digit; NaN is refused."""
    plain = _adapter(type(record)).dump_python(record, mode="json")
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def load_record(kind: type[_Record], text: str | bytes) -> _Record:
    """Return the record that JSON text holds.

    Raises:
        ValueError: when the text is not JSON or does not fit the record's types.
    """
    record: _Record = _adapter(kind).validate_json(text)
    return record
