"""``automl run``: from a spec to a proven bundle and a report."""

from __future__ import annotations

import click

from automl.cli.progress import open_progress

__all__ = ["run"]


@click.command()
@click.argument("spec")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="Print no progress.")
@click.option("--output", type=click.Path(), help="Folder for the run, instead of the spec's.")
@click.option("--address", help="An existing Ray cluster, instead of the spec's.")
def run(spec: str, as_json: bool, quiet: bool, output: str | None, address: str | None) -> None:
    """Search, prove and deliver the best model that fits SPEC.

    SPEC is a YAML file, or the name of an example such as 'quickstart'. Exit code 3: nothing fits.
    """
    from dataclasses import replace

    from automl.cli.summary import finish
    from automl.pipeline.compute import with_address
    from automl.pipeline.engine import run as run_spec
    from automl.spec import load_spec

    loaded = load_spec(spec)
    loaded.require_data()
    if output is not None:
        loaded = replace(loaded, output=output)
    loaded = with_address(loaded, address)
    with open_progress(quiet=quiet) as progress:
        record = run_spec(loaded, observer=progress)
    finish(record, as_json=as_json)
