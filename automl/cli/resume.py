"""``automl resume``: finishes a run that was interrupted."""

from __future__ import annotations

from pathlib import Path

import click

from automl.cli.progress import open_progress

__all__ = ["resume"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="Print no progress.")
@click.option("--address", help="An existing Ray cluster, instead of the spec's.")
def resume(run: Path, as_json: bool, quiet: bool, address: str | None) -> None:
    """Finish an interrupted RUN (its folder) without repeating a finished trial."""
    from automl.cli.summary import finish
    from automl.pipeline.engine import resume as resume_run

    with open_progress(quiet=quiet) as progress:
        record = resume_run(run, observer=progress, address=address)
    finish(record, as_json=as_json)
