"""A YAML document against its pydantic model: every violation becomes a problem with its place.

pydantic finds what is wrong; this module says it in the words of someone who writes specs: the
rule, the value got, and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from automl.errors import did_you_mean
from automl.spec.problems import InvalidDocumentError, Problem, escape, shown
from automl.spec.yaml_source import Document, Location

__all__ = ["inline", "validate"]

_Model = TypeVar("_Model", bound=BaseModel)

_NEEDS_QUOTES = re.compile(r"^[>%@&*!|'\"#?:-]|[\[\]{},]|: ")
_KINDS = {
    "model_type": "a section of 'key: value' pairs",
    "dict_type": "a section of 'key: value' pairs",
    "list_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
}


def validate(
    document: Document,
    model: type[_Model],
    *,
    checks: Callable[[Document], Iterable[Problem]],
) -> _Model:
    """Return the document as a model.

    Args:
        document: the file, read.
        model: what it should be.
        checks: rules that span sections; they see the raw values, whether or not those are valid.

    Raises:
        InvalidDocumentError: with every problem of syntax, of the model and of the checks.
    """
    problems = [*document.problems, *checks(document)]
    try:
        valid = model.model_validate(document.root)
    except ValidationError as error:
        details = error.errors(include_url=False)
        found = (_problem(document, model, detail) for detail in details)
        problems.extend(problem for problem in found if problem is not None)
        if not problems:
            raise
        raise InvalidDocumentError(document.source, problems) from None
    if problems:
        raise InvalidDocumentError(document.source, problems)
    return valid


def _problem(document: Document, model: type[BaseModel], detail: ErrorDetails) -> Problem | None:
    location: Location = detail["loc"]
    found = document.locate(location)
    if any(found[: len(spoilt)] == spoilt for spoilt in document.spoilt):
        return None
    if detail["type"] == "missing":
        key = str(location[-1])
        return document.problem(location[:-1], _missing(model, location), missing=key)
    if detail["type"] == "extra_forbidden":
        return document.problem(location, _unknown(model, location))
    return document.problem(location, _message(detail))


def _message(detail: ErrorDetails) -> str:
    got = shown(detail["input"])
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        return _sentence(str(context["error"]))
    if detail["type"] == "literal_error":
        return f"must be {context['expected']}; got {got}."
    kind = _KINDS.get(detail["type"])
    if kind is None:
        return f"{escape(detail['msg'])}; got {got}."
    remedy = " Give it a value or delete the key." if detail["input"] is None else ""
    return f"must be {kind}; got {got}.{remedy}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _missing(model: type[BaseModel], location: Location) -> str:
    key = str(location[-1])
    section = _section(model, location[:-1])
    if section is None or key not in section.model_fields:
        return "is missing."
    examples = section.model_fields[key].examples or ["…"]
    return f"is missing. Add it, for example '{key}: {inline(examples[0])}'."


def _unknown(model: type[BaseModel], location: Location) -> str:
    key = str(location[-1])
    section = _section(model, location[:-1])
    known = tuple(section.model_fields) if section else ()
    remedy = did_you_mean(escape(key[:100]), known)
    homes = [] if "Did you mean" in remedy else sorted(_homes(model, key, ""))
    if homes:
        remedy = f" It belongs under '{homes[0]}'."
    return f"unknown key.{remedy}"


def _homes(model: type[BaseModel], key: str, prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            path = f"{prefix}{name}"
            if key in inner.model_fields:
                yield path
            yield from _homes(inner, key, f"{path}.")


def _section(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    section: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or section is None:
            continue
        field: FieldInfo | None = section.model_fields.get(part)
        section = next(_models(field.annotation), None) if field else section
    return section


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def inline(value: object) -> str:
    """Return a small value as YAML on one line: ``{p95: 20ms}``."""
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{inline(key)}: {inline(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list):
        return f"[{', '.join(inline(item) for item in value)}]"
    if isinstance(value, str):
        return f'"{value}"' if _NEEDS_QUOTES.search(value) else value
    return str(value).lower() if isinstance(value, bool) else str(value)
