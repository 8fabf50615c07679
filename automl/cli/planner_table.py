"""How a hardware plan is printed: a table of devices, one of candidates for each, readable at 100 columns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from automl.report.planner_view import DeviceView, PlannerView
from automl.spec.problems import escape
from automl.units import format_duration, plural

__all__ = ["print_hardware_plan"]

_WIDTH = 100
_SHOWN = 12
"""Candidates of one device in the terminal; the page and JSON hold all."""
_COLOURS = {"good": "green", "warn": "yellow", "bad": "red"}


def print_hardware_plan(view: PlannerView) -> None:
    """Print the answer, the devices side by side, then each with its candidates."""
    from rich.console import Console
    from rich.padding import Padding

    width = None if sys.stdout.isatty() else _WIDTH
    console = Console(highlight=False, width=width)
    plan = view.plan
    console.print(f"[{_COLOURS[view.tone]} bold]{_safe(view.headline)}[/]")
    for line in (view.subject, view.cheapest):
        if line:
            console.print(_safe(line))
    console.print()
    console.print(_device_table(view))
    for device in view.devices:
        console.print()
        console.print(_candidate_table(device))
        for line in _facts(device):
            console.print(Padding(_safe(line), (0, 0, 0, 2)))
    for title, lines in _endings(view):
        console.print(f"\n[bold]{title}[/]")
        for line in lines:
            console.print(f"- {_safe(line)}")
    console.print(
        f"\n~ predicted or estimated, not measured. {plural(plan.measured, 'file')} measured, "
        f"{plan.predicted} predicted, {plan.cached} known from before, "
        f"in {format_duration(plan.seconds)}."
    )


def _device_table(view: PlannerView) -> Any:
    table = _plain_table(
        "Devices, each with the candidate that is expected to be the most accurate"
    )
    table.add_column("device", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("candidate", overflow="fold")
    for column in ("latency", "images/s", "mJ", "USD/million", "USD/day"):
        table.add_column(column, justify="right", no_wrap=True)
    for device in view.devices:
        verdict = f"[{_COLOURS[device.tone]}]{device.verdict}[/]"
        one = device.best
        if one is None:
            table.add_row(_safe(device.name), verdict, _safe(device.counts), *("–",) * 5)
            continue
        candidate = _safe(one.placement.candidate.key)
        numbers = (one.limited, one.frames, one.energy, one.cost, one.day)
        table.add_row(_safe(device.name), verdict, candidate, *numbers)
    return table


def _candidate_table(device: DeviceView) -> Any:
    kind = f"{device.title} ({device.kind})"
    table = _plain_table(f"{device.name}: {kind}\n{device.limits}; {device.counts}")
    table.add_column("candidate", overflow="fold")
    table.add_column("verdict", overflow="fold")
    for column in ("ms p50-p95", "MB used", "MB file", "images/s", "mJ", "USD/million"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in device.rows[:_SHOWN]:
        table.add_row(
            _safe(row.placement.candidate.key),
            f"[{_COLOURS[row.tone]}]{row.verdict}[/]",
            row.latency.removesuffix(" ms").replace(" to ", "-"),
            row.memory,
            row.size,
            row.frames,
            row.energy,
            row.cost,
        )
    return table


def _plain_table(title: str) -> Any:
    """Return a table without lines but that under its head: 100 columns are few."""
    from rich import box
    from rich.table import Table

    return Table(
        title=_safe(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )


def _facts(device: DeviceView) -> Iterator[str]:
    hidden = len(device.rows) - _SHOWN
    if hidden > 0:
        yield f"… and {plural(hidden, 'more candidate')}; --html FILE and --json hold all."
    if device.best is not None:
        one = device.best
        yield f"Of the best, {one.placement.candidate.key}: {one.limited}, 95 % interval {one.interval}."
    for line in (device.source and f"Latency: {device.source}.", device.network, device.needed):
        if line:
            yield line
    yield from device.notes
    if device.proof:
        yield f"To prove it: {device.proof}."


def _endings(view: PlannerView) -> Iterator[tuple[str, list[str]]]:
    plan = view.plan
    if plan.break_evens:
        title = "Rent or buy, by the latency of the best candidate of each"
        yield title, [one.sentence for one in plan.break_evens]
    assumed = [f"{one.name}: {one.value} ({one.reason})" for one in plan.assumptions]
    yield "Counted by", [*assumed, plan.ranking, f"frame: {plan.frame_basis}"]
    if plan.notes:
        yield "Notes", list(plan.notes)


def _safe(text: str) -> str:
    """Return text that neither steers the terminal nor is read as rich's markup; line breaks stay."""
    from rich.markup import escape as escape_markup

    return "\n".join(escape_markup(escape(line)) for line in text.split("\n"))
