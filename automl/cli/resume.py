"""``automl resume``: finishes a run that was interrupted."""

from __future__ import annotations

import click

from automl.cli.progress import open_progress

__all__ = ["resume"]


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="Print no progress.")
@click.option("--address", help="An existing Ray cluster, instead of the spec's.")
def resume(run: str, as_json: bool, quiet: bool, address: str | None) -> None:
    """Finish an interrupted RUN without repeating a finished trial.

    RUN is its folder, or its address such as s3://bucket/runs/quickstart.
    """
    from automl.cli.summary import finish
    from automl.pipeline.engine import resume as resume_run
    from automl.pipeline.mirror import local_run

    with open_progress(quiet=quiet) as progress:
        record = resume_run(local_run(run), observer=progress, address=address)
    finish(record, as_json=as_json)
