"""The JSON Schema and the reference page say what the loader does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from automl.resources import shipped
from automl.spec import json_schema, parse_spec
from automl.spec.document import inline
from automl.spec.loader import shipped_specs
from automl.spec.problems import InvalidDocumentError
from automl.spec.reference import reference, schema_text
from automl.spec.yaml_source import parse_yaml

ROOT = Path(__file__).resolve().parents[2]


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property of every section with its path."""
    for section, body in {"": schema, **schema["definitions"]}.items():
        for name, node in body.get("properties", {}).items():
            yield f"{section}.{name}", node


def test_schema_is_valid_draft_07() -> None:
    schema = json_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    Draft7Validator.check_schema(schema)
    assert "$defs" not in schema_text()


def test_every_key_is_described_with_an_example() -> None:
    for path, node in nodes(json_schema()):
        assert len(node.get("description", "")) > 7, path
        assert node.get("examples"), path


def test_every_example_of_the_schema_is_valid_yaml_of_that_value() -> None:
    for path, node in nodes(json_schema()):
        text = f"key: {inline(node['examples'][0])}"
        root = parse_yaml(text, source=path, kind="spec").root
        assert root == {"key": node["examples"][0]}, path


@pytest.mark.parametrize("path", shipped_specs(), ids=lambda path: path.stem)
def test_shipped_specs_fit_the_schema_and_name_it_in_their_first_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    document = parse_yaml(text, source=str(path), kind="spec")
    assert list(Draft7Validator(json_schema()).iter_errors(document.root)) == []
    assert text.startswith("# yaml-language-server: $schema=./spec.schema.json\n")
    assert (path.parent / "spec.schema.json").is_file()


SMALLEST = "task: classification\ndata: ./images\ntarget: {latency: 20ms}\n"


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        (SMALLEST, True),
        (SMALLEST + "require: {accuracy: 95%, 'recall[x]': '>= 0.5'}\n", True),
        (SMALLEST + "search: {trials: null}\n", True),
        (SMALLEST + "quantization: [float32]\n", True),
        (SMALLEST + "targets: [{latency: 1ms}]\n", False),
        (SMALLEST + "require: {recall: 0.9}\n", False),
        (SMALLEST + "require: {accuracy: 2}\n", False),
        (SMALLEST + "search: {time: 10}\n", False),
        (SMALLEST + "search: {tme: 10min}\n", False),
        (SMALLEST + "name: a b\n", False),
        ("task: classification\ndata: ./images\ntarget: {latency: 20}\n", False),
        ("task: classification\ndata: ./images\ntarget: {device: a b, latency: 2ms}\n", False),
        ("task: classification\ntarget: {latency: 20ms}\n", False),
    ],
)
def test_schema_and_loader_agree(text: str, is_valid: bool) -> None:
    root = parse_yaml(text, source="s.yaml", kind="spec").root
    assert Draft7Validator(json_schema()).is_valid(root) is is_valid
    if is_valid:
        parse_spec(text, source="s.yaml", base=Path("/"))
        return
    with pytest.raises(InvalidDocumentError):
        parse_spec(text, source="s.yaml", base=Path("/"))


def test_full_example_shows_every_key() -> None:
    """Keys of one task alone are shown in the example of that task."""
    files = shipped("specs").glob("*.yaml")
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    shortcuts = {".target", "LatencyModel.p90", "LatencyModel.scope"}
    for path, _ in nodes(json_schema()):
        key = path.rpartition(".")[2]
        assert path in shortcuts or f"{key}:" in text, path


def test_reference_page_is_up_to_date() -> None:
    message = "Run 'python -m automl.spec.reference'."
    assert (ROOT / "docs" / "spec.md").read_text(encoding="utf-8") == reference(), message


def test_shipped_schema_is_up_to_date() -> None:
    message = "Run 'python -m automl.spec.reference'."
    path = ROOT / "specs" / "spec.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(), message
