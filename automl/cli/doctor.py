"""`automl doctor`: what is installed, what this machine can do, and what to do about what is
missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from automl.hardware.checks import Check

__all__ = ["doctor", "render_plain"]

_STYLES = {"ok": "green", "info": "cyan", "warning": "yellow", "error": "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(as_json: bool) -> None:
    """Check versions, processor, memory, disk, GPU and weight sources.

    Exits with 1 when something that automl needs is missing.
    """
    from automl.hardware.checks import Level, all_checks

    checks = all_checks(folder=Path.cwd())
    healthy = all(check.level is not Level.ERROR for check in checks)
    if as_json:
        text = json.dumps({"ok": healthy, "checks": [asdict(check) for check in checks]}, indent=1)
        click.echo(text)
    elif sys.stdout.isatty():
        _print_table(checks)
    else:
        click.echo(render_plain(checks), nl=False)
    if not healthy:
        raise SystemExit(1)


def render_plain(checks: Sequence[Check]) -> str:
    """Return one line a check, for logs and pipes: level, name, value, remedy."""
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        remedy = f"  -> {check.remedy}" if check.remedy else ""
        lines.append(f"{check.level.value:<8}{check.name:<{width}}  {check.value}{remedy}\n")
    return "".join(lines)


def _print_table(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("what it means, or what to do", overflow="fold")
    section = ""
    for check in checks:
        if check.section != section:
            section = check.section
            table.add_row("", Text(section, style="bold"))
        level = Text(check.level.value, style=_STYLES[check.level.value])
        table.add_row(level, Text(check.name), Text(check.value), Text(check.remedy or ""))
    Console().print(table)
