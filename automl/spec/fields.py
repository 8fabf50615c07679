"""The kinds of value in a spec or search space, each with its rule, message and schema.

Every rule takes what YAML gave and returns what the program uses, or raises ``ValueError`` with the
rule and the value got. Types are never guessed: text in quotes is not a number.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import CoreSchema, core_schema

from automl import registry
from automl.errors import did_you_mean
from automl.spec.problems import escape, shown
from automl.units import parse_duration_s, parse_size_bytes

__all__ = [
    "REMOTE_SCHEMES",
    "Bound",
    "Duration",
    "Fraction",
    "Latency",
    "Model",
    "Name",
    "OutputText",
    "PathText",
    "Pattern",
    "Relation",
    "Rule",
    "Size",
    "Text",
    "described",
    "number",
    "one_of",
    "read_text",
    "registered",
    "slug",
    "whole_number",
]

Relation: TypeAlias = Literal[">=", "<=", ">", "<"]

_QUANTITY_LENGTH = 40
_LONGEST_LATENCY_S = 3600.0
_LONGEST_SEARCH_S = 365 * 86400.0
_LARGEST_BYTES = 10**18
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
_PATTERN_LENGTH = 500
_PATH_LENGTH = 4096
_BOUND = re.compile(r"\s*(>=|<=|>|<|≥|≤)?\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(%)?\s*")
_RELATIONS: dict[str, Relation] = {
    "": ">=", ">=": ">=", "≥": ">=", "<=": "<=", "≤": "<=", ">": ">", "<": "<",
}  # fmt: skip


class Model(BaseModel):
    """Base of all sections: unknown keys are errors, types are not converted."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, defer_build=True
    )


@dataclass(frozen=True, eq=False)
class Rule:
    """How a value is read, and how editors are told: the metadata of an ``Annotated`` type."""

    read: Callable[[object], object]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, core: object, handler: object) -> dict[str, Any]:
        return dict(self.schema)


def described(
    text: str, *, example: object, default: Any = ..., schema: dict[str, Any] | None = None
) -> Any:
    """Return a pydantic field with its description, an example, and what it adds to the schema."""
    return Field(default, description=text, examples=[example], json_schema_extra=schema)


def _quantity(
    what: str, example: str, *, parse: Callable[[str], float], most: float, units: str
) -> Rule:
    def read(value: object) -> float:
        if not isinstance(value, str) or len(value) > _QUANTITY_LENGTH:
            raise ValueError(
                f"{what} is a number and a unit, such as {example}; got {shown(value)}"
            )
        try:
            quantity = parse(value)
        except ValueError as error:
            raise ValueError(escape(str(error))) from error
        if quantity > most:
            raise ValueError(f"{what} of {shown(value)} is beyond reason. Write a smaller one")
        return quantity

    return Rule(read, {"type": "string", "pattern": f"^\\s*[0-9.]+\\s*{units}\\s*$"})


_TIME_UNITS = "(us|µs|ms|s|min|h|d)"
_SIZE_UNITS = "[kKmMgGtT]?[iI]?[bB]"

Duration = Annotated[
    float,
    _quantity(
        "a duration", "10min", parse=parse_duration_s, most=_LONGEST_SEARCH_S, units=_TIME_UNITS
    ),
]
"""Text with a unit; in seconds."""

Latency = Annotated[
    float,
    _quantity(
        "a duration", "20ms", parse=parse_duration_s, most=_LONGEST_LATENCY_S, units=_TIME_UNITS
    ),
]
"""Text with a unit, at most an hour; in seconds."""

Size = Annotated[
    int,
    _quantity(
        "a size", "8MB or 300MiB", parse=parse_size_bytes, most=_LARGEST_BYTES, units=_SIZE_UNITS
    ),
]
"""Text with a unit; in bytes."""


def _fraction(value: object) -> float:
    share = _share(value)
    if share is None:
        raise ValueError(f"a share is a number such as 0.15 or 15%; got {shown(value)}")
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1 (0% and 100%); got {shown(value)}")
    return share


def _share(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str) and (match := _BOUND.fullmatch(value)):
        relation, number, percent = match.groups()
        return None if relation or not percent else float(number) / 100
    return None


_FRACTION_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
    ]
}

Fraction = Annotated[float, Rule(_fraction, _FRACTION_SCHEMA)]
"""A number in [0, 1], or a percentage."""


def _bound(value: object) -> tuple[Relation, float]:
    rule = "a bound is a number such as 0.95, 95% or '>= 0.95'"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        relation: Relation = ">="
        share = float(value)
    elif isinstance(value, str) and (match := _BOUND.fullmatch(value)):
        relation = _RELATIONS[match[1] or ""]
        share = float(match[2]) / (100 if match[3] else 1)
    else:
        raise ValueError(f"{rule}; got {shown(value)}")
    if not 0 <= share <= 1:
        raise ValueError(f"{rule}, between 0 and 1 (0% and 100%); got {shown(value)}")
    if (relation, share) in ((">", 1.0), ("<", 0.0)):
        raise ValueError(f"metrics lie within 0 to 1, so it cannot be met; got {shown(value)}")
    return relation, share


Bound = Annotated[
    tuple[Relation, float],
    Rule(
        _bound,
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^\s*(>=|<=|>|<)?\s*[0-9.]+\s*%?\s*$"},
            ]
        },
    ),
]
"""A relation and a number in [0, 1]; a number alone means "at least"."""


def read_text(value: object) -> str:
    """Return text that is not empty.

    Raises:
        ValueError: with the rule and the value got.
    """
    if isinstance(value, str):
        if value.strip():
            return value
        raise ValueError("must not be empty")
    if isinstance(value, (bool, int, float)):
        raise ValueError(f"must be text; got {shown(value)}. Put it in quotes")
    raise ValueError(f"must be text; got {shown(value)}")


Text = Annotated[str, Rule(read_text, {"type": "string", "minLength": 1})]


def _name(value: object) -> str:
    text = read_text(value)
    if _NAME.fullmatch(text) is None:
        rule = "is used for folders: up to 64 letters, digits, '-', '_' and '.', no spaces"
        raise ValueError(f"a name {rule}; got {shown(value)}")
    return text


Name = Annotated[str, Rule(_name, {"type": "string", "pattern": f"^{_NAME.pattern}$"})]
"""Text that is safe as the name of a folder."""


def slug(text: str) -> str:
    """Return text as a name that is safe for folders; ``run`` when nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_")[:64] or "run"


def _path_text(value: object) -> str:
    text = read_text(value)
    if len(text) > _PATH_LENGTH:
        raise ValueError(f"a path has at most {_PATH_LENGTH} characters; got {len(text)}")
    if "://" in text:
        raise ValueError(f"a path on this machine, not an address; got {shown(value)}")
    return text


PathText = Annotated[str, Rule(_path_text, {"type": "string", "minLength": 1})]

REMOTE_SCHEMES = ("s3", "gs", "file")
"""Storage that a run is copied to while it goes on."""


def _output_text(value: object) -> str:
    text = read_text(value)
    scheme, mark, rest = text.partition("://")
    if not mark:
        return _path_text(value)
    known = ", ".join(f"{name}://" for name in REMOTE_SCHEMES)
    if scheme not in REMOTE_SCHEMES or not rest.strip("/") or len(text) > _PATH_LENGTH:
        raise ValueError(f"a folder, or an address that begins with {known}; got {shown(value)}")
    return text


OutputText = Annotated[str, Rule(_output_text, {"type": "string", "minLength": 1})]


def _pattern(value: object) -> str:
    text = read_text(value)
    if len(text) > _PATTERN_LENGTH:
        raise ValueError(f"at most {_PATTERN_LENGTH} characters; got {len(text)}")
    try:
        with warnings.catch_warnings(action="ignore"):
            compiled = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"not a regular expression ({escape(str(error))}); got {shown(value)}"
        ) from error
    if compiled.groups == 0:
        remedy = "Put parentheses around what names the group, as in '([^/]+)_[0-9]+'"
        raise ValueError(f"has no group in parentheses; got {shown(value)}. {remedy}")
    return text


Pattern = Annotated[str, Rule(_pattern, {"type": "string", "maxLength": _PATTERN_LENGTH})]
"""A regular expression with at least one group."""


def whole_number(low: int, high: int) -> Rule:
    """Return the rule of a whole number between two limits, both included."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low:,} to {high:,}; got {shown(value)}")
        return value

    return Rule(read, {"type": "integer", "minimum": low, "maximum": high})


def number(low: float, high: float, *, above: bool = False) -> Rule:
    """Return the rule of a number between two limits; ``above`` excludes the lower one."""
    lowest = f"above {low:g}" if above else f"from {low:g}"

    def read(value: object) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        found = float(value) if isinstance(value, (int, float)) and is_number else math.nan
        if not low <= found <= high or (above and found == low):
            raise ValueError(f"a number {lowest} to {high:g}; got {shown(value)}")
        return found

    limit = "exclusiveMinimum" if above else "minimum"
    return Rule(read, {"type": "number", limit: low, "maximum": high})


def registered(kind: str, *extra: str) -> Rule:
    """Return the rule of a name of the registry (a task, format, scheme, device), or of `extra`."""
    return one_of(kind, (*extra, *registry.names(kind)))


def one_of(what: str, known: Sequence[str]) -> Rule:
    """Return the rule of a name from a closed set."""

    def read(value: object) -> str:
        text = read_text(value)
        if text not in known:
            raise ValueError(f"unknown {what} {shown(value)}.{did_you_mean(text[:100], known)}")
        return text

    return Rule(read, {"type": "string", "enum": list(known)})
