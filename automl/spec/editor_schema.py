"""The JSON Schema (draft-07) of a spec or search space, which editors use to complete and check."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

__all__ = ["json_schema", "model_json_schema"]

DRAFT = "http://json-schema.org/draft-07/schema#"


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of a spec file."""
    from automl.spec.schema import SpecModel

    return model_json_schema(SpecModel, title="automl spec")


def model_json_schema(model: type[BaseModel], *, title: str) -> dict[str, object]:
    """Return the JSON Schema of what a model reads.

    pydantic writes draft 2020-12. Draft-07, which editors know, keeps definitions elsewhere and
    ignores what stands beside a ``$ref``.
    """
    raw = model.model_json_schema(mode="validation", ref_template="#/definitions/{model}")
    definitions = raw.pop("$defs", {})
    cleaned: dict[str, object] = {"$schema": DRAFT, "title": title, **_clean(raw)}
    cleaned["definitions"] = {name: _clean(definitions[name]) for name in sorted(definitions)}
    return cleaned


def _clean(node: dict[str, Any]) -> dict[str, Any]:
    result = {key: _clean_value(key, value) for key, value in node.items() if key != "title"}
    if "$ref" in result and len(result) > 1:
        result["allOf"] = [{"$ref": result.pop("$ref")}]
    if "description" in result:
        result["description"] = " ".join(str(result["description"]).split())
    if "default" in result and result["default"] is None:
        del result["default"]
    return result


def _clean_value(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _clean(schema) for name, schema in value.items()}
    if key in ("examples", "default", "enum", "const", "required"):
        return value
    if isinstance(value, dict):
        return _clean(value)
    if isinstance(value, list):
        return [_clean(item) if isinstance(item, dict) else item for item in value]
    return value
