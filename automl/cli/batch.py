"""``automl batch``: a queue of specs for the night, and one page that sums them up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from automl.records.batch import Batch, BatchEntry

__all__ = ["batch"]


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC…")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("runs/batch"),
    show_default=True,
    help="Folder of the batch; started again on it, the batch goes on.",
)
@click.option("--until", metavar="HH:MM", help="Start nothing that would not end by then.")
@click.option("--address", help="An existing Ray cluster, instead of the specs'.")
@click.option("--price", type=click.FloatRange(min=0), help="USD an hour of this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="Print no progress.")
def batch(
    specs: tuple[str, ...],
    output: Path,
    until: str | None,
    address: str | None,
    price: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run many specs one after the other: files, folders, or patterns such as 'night/*.yaml'.

    A spec that fails never stops the rest. Exit code: 0 all fit, 3 some do not fit or did not run, 1
    some failed.
    """
    from automl.pipeline.batch import SUMMARY, run_batch

    ended = run_batch(
        specs,
        output,
        until=until,
        address=address,
        price_usd_hour=price,
        changed=_silent if quiet else _tell,
    )
    if as_json:
        from automl.records import dump_record

        click.echo(dump_record(ended))
    else:
        _print(ended)
        click.echo(f"Summary: {output / SUMMARY}")
    sys.exit(ended.exit_code)


def _silent(batch: Batch, entry: BatchEntry, started: bool) -> None:
    """Say nothing."""


def _tell(batch: Batch, entry: BatchEntry, started: bool) -> None:
    from automl.spec.problems import escape
    from automl.units import format_duration

    place = f"[{entry.number}/{len(batch.entries)}] {entry.name}"
    if started:
        text = f"{place}: started, at most {format_duration(entry.allowed_s)}"
    else:
        text = f"{place}: {entry.status.value} after {format_duration(entry.seconds)}"
        if entry.problem:
            text += f": {entry.problem.splitlines()[0]}"
    click.echo(escape(text), err=True)


def _print(ended: Batch) -> None:
    from rich.markup import escape as escape_markup
    from rich.table import Table

    from automl.cli.summary import console
    from automl.report.batch_page import batch_cost, batch_headline, batch_rows
    from automl.spec.problems import escape

    def safe(text: str) -> str:
        return escape_markup(escape(text))

    screen: Any = console()
    table = Table(title=safe(batch_headline(ended)), title_justify="left")
    for column in (
        "spec",
        "target",
        "outcome",
        "best candidate",
        "score",
        "latency",
        "time",
        "cost",
    ):
        table.add_column(column, overflow="fold")
    colours = {"good": "green", "bad": "red", "warn": "yellow"}
    for row in batch_rows(ended):
        outcome = f"[{colours[row.tone]}]{row.status}[/]"
        names = (safe(row.name) if row.is_first else "", safe(row.target))
        spent = (row.time, row.cost) if row.is_first else ("", "")
        table.add_row(
            *names,
            outcome,
            safe(row.candidate),
            f"{row.metric} {row.score}".strip(),
            safe(row.latency),
            *spent,
        )
    screen.print(table)
    for row in batch_rows(ended):
        if row.problem and row.is_first:
            lines = "\n".join(map(escape, row.problem.splitlines()))
            screen.print(f"{escape(row.name)}: {lines}", markup=False)
    click.echo(f"{batch_cost(ended)}.")
