"""The spec: what a user asks for, as one YAML file.

Reading one imports pydantic and a YAML parser, so the names below are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.spec.draft import draft_spec
    from automl.spec.editor_schema import json_schema
    from automl.spec.loader import load_spec, parse_spec
    from automl.spec.problems import InvalidDocumentError, Problem

__all__ = [
    "InvalidDocumentError",
    "Problem",
    "draft_spec",
    "json_schema",
    "load_spec",
    "parse_spec",
]

_MODULES = {
    "InvalidDocumentError": "problems",
    "Problem": "problems",
    "draft_spec": "draft",
    "json_schema": "editor_schema",
    "load_spec": "loader",
    "parse_spec": "loader",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'automl.spec' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"automl.spec.{_MODULES[name]}"), name)
