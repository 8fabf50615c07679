"""A figure that was asked for and what was measured, and how a list of them is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from automl.export.metadata import package_versions
from automl.hardware.host import local_host
from automl.units import format_size

__all__ = ["Figure", "Machine", "machine_facts", "render_json", "render_table"]

_PACKAGES = ("automl", "torch", "timm", "onnx", "onnxruntime", "ray", "optuna")


@dataclass(frozen=True)
class Figure:
    """One row of docs/measurements.md. ``holds`` is ``None`` when nothing was asked."""

    what: str
    asked: str
    measured: str
    holds: bool | None
    how: str


@dataclass(frozen=True)
class Machine:
    """Where the figures come from. ``load`` is the one-minute average before anything was run."""

    cpu: str
    cores: int
    memory: str
    instruction_sets: str
    system: str
    python: str
    versions: dict[str, str]
    load: float

    def line(self) -> str:
        """Return the machine in one line."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory}, {self.instruction_sets}; {self.system}; "
            f"Python {self.python}; {versions}; load {self.load:.2f} before the first figure"
        )


def machine_facts() -> Machine:
    """Return the facts of this machine."""
    host = local_host()
    return Machine(
        cpu=host.cpu,
        cores=host.cores,
        memory=format_size(host.memory_bytes),
        instruction_sets=" ".join(host.instruction_sets),
        system=host.system,
        python=host.python,
        versions=package_versions(_PACKAGES),
        load=os.getloadavg()[0],
    )


def render_table(machine: Machine, figures: Sequence[Figure]) -> str:
    """Return a Markdown table, ready to be pasted into docs/measurements.md."""
    words = {True: "yes", False: "**no**", None: "-"}
    lines = ["| what | asked | measured | ok | how |", "|---|---|---|---|---|"]
    for figure in figures:
        cells = (figure.what, figure.asked, figure.measured, words[figure.holds], figure.how)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join((*lines, "", f"Machine: {machine.line()}."))


def render_json(machine: Machine, figures: Sequence[Figure]) -> str:
    """Return the same as JSON."""
    content = {"machine": asdict(machine), "figures": [asdict(figure) for figure in figures]}
    return json.dumps(content, indent=1, ensure_ascii=False)
