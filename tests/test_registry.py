"""What can be extended is found by name, and every name leads to something."""

from __future__ import annotations

import subprocess
import sys

import pytest

from automl import registry
from automl.errors import SpecError

KINDS = ("task", "format", "scheme", "device")
ENTRIES = [(kind, name) for kind in KINDS for name in registry.names(kind)]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_entry_can_be_imported_and_knows_its_name(kind: str, name: str) -> None:
    entry = registry.load(kind, name)
    assert entry.name == name
    assert name == name.lower().replace("_", "-"), "registry names are kebab-case"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("scheme", "int8_static", "Unknown scheme 'int8_static'. Did you mean 'int8-static'?"),
        ("task", "clasification", "Unknown task 'clasification'. Did you mean 'classification'?"),
        ("device", "tpu", "Unknown device 'tpu'. Known: local."),
        ("format", "paquet", "Unknown format 'paquet'. Did you mean 'parquet'?"),
        ("device", "", "Unknown device ''. Known: local."),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest(kind: str, name: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        registry.load(kind, name)
    assert str(caught.value) == message


def test_listing_names_imports_nothing_heavy() -> None:
    code = (
        "import sys; from automl import registry; "
        "[registry.names(kind) for kind in ('task', 'format', 'scheme', 'device')]; "
        "print([m for m in ('torch', 'timm', 'onnx', 'onnxruntime', 'ray') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
