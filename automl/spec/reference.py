"""docs/spec.md and specs/spec.schema.json, made by ``python -m automl.spec.reference``.

Both are kept in the repository; a test says when they are out of date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from automl.spec.document import inline
from automl.spec.editor_schema import json_schema
from automl.spec.metrics import METRICS
from automl.spec.schema import (
    ComputeModel,
    DataModel,
    QuantizationModel,
    SearchModel,
    SpecModel,
    SplitModel,
)
from automl.spec.target_schema import LatencyModel, TargetModel

__all__ = ["reference", "schema_text"]

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The file", SpecModel),
    ("`data`", DataModel),
    ("`data.split`", SplitModel),
    ("`target`, and each of `targets`", TargetModel),
    ("`target.latency`", LatencyModel),
    ("`search`", SearchModel),
    ("`search.compute`", ComputeModel),
    ("`quantization`", QuantizationModel),
)

_INTRODUCTION = """\
# The spec

One YAML file says what you need; automl finds the model. This page is made from the program
(`python -m automl.spec.reference`). Editors show the same text while you type, when the file
begins with `# yaml-language-server: $schema=` and the path of what `automl schema` printed.

The smallest spec is three lines:

```yaml
task: classification
data: ./images
target: {device: local, latency: 20ms}
```

`automl init DATA` writes a first one for a folder of images, `automl validate SPEC` checks it and
names every mistake at once with its line, and `automl examples` lists the specs that ship.

Durations and sizes are written with their units: `20ms`, `1.5 s`, `10min`, `2h`; `8MB` (8,000,000
bytes), `300MiB` (300 x 1,048,576 bytes). Shares are numbers or percentages: `0.15`, `15%`. YAML is
read as YAML 1.2, so `yes`, `no`, `on` and `off` are text; tags, anchors, aliases and duplicate keys
are refused.
"""


def reference() -> str:
    """Return the reference of the spec as Markdown: one table a section."""
    parts = [_INTRODUCTION]
    for title, model in _SECTIONS:
        parts.append(f"## {title}\n\n{' '.join((model.__doc__ or '').split())}\n")
        parts.append("\n".join(_table(model)) + "\n")
    parts.append("## Metrics\n\n" + "\n".join(_metrics()) + "\n")
    return "\n".join(parts)


def schema_text() -> str:
    """Return the JSON Schema of a spec as the text of its file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | meaning | default | example |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        required = " **Required.**" if field.is_required() else ""
        default = "" if field.is_required() or field.default in (None, {}, []) else field.default
        example = inline((field.examples or [""])[0])
        shown = f"`{inline(default)}`" if default != "" else ""
        meaning = f"{field.description}{required}".replace("|", "\\|")
        yield f"| `{name}` | {meaning} | {shown} | `{name}: {example}` |"


def _metrics() -> Iterator[str]:
    for task, metrics in METRICS.items():
        yield f"For `{task}`, all between 0 and 1, more is better:\n"
        yield "| metric | meaning |"
        yield "|---|---|"
        for name, meaning in metrics.overall.items():
            yield f"| `{name}` | {meaning} |"
        for name, meaning in metrics.per_class.items():
            yield f"| `{name}[CLASS]` | {meaning} |"


def main() -> int:
    """Write both files into the checkout that this module lies in."""
    root = Path(__file__).resolve().parents[2]
    for path, text in (("docs/spec.md", reference()), ("specs/spec.schema.json", schema_text())):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
        print(root / path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
