"""``automl report``: writes the HTML report of a run again."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["report"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write report.html of RUN (its folder) again, also of a run that is not finished; print its path."""
    from automl.pipeline.history import read_run
    from automl.pipeline.reporting import write_report

    click.echo(str(write_report(read_run(run))))
