"""``automl run`` and ``automl resume``: from a spec to a proven bundle and a report."""

from __future__ import annotations

from pathlib import Path

import click

from automl.cli.progress import open_progress

__all__ = ["resume", "run"]


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

    from automl.pipeline.engine import run as run_spec
    from automl.spec import load_spec

    loaded = load_spec(spec)
    if output is not None:
        loaded = replace(loaded, output=output)
    if address is not None:
        compute = replace(loaded.search.compute, address=address)
        loaded = replace(loaded, search=replace(loaded.search, compute=compute))
    with open_progress(quiet=quiet) as progress:
        record = run_spec(loaded, observer=progress)
    _finish(record, as_json=as_json)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="Print no progress.")
def resume(run: Path, as_json: bool, quiet: bool) -> None:
    """Finish an interrupted RUN (its folder) without repeating a finished trial."""
    from automl.pipeline.engine import resume as resume_run

    with open_progress(quiet=quiet) as progress:
        record = resume_run(run, observer=progress)
    _finish(record, as_json=as_json)


def _finish(record: object, *, as_json: bool) -> None:
    """Print the outcome; raise when a requirement is not met, so that the exit code says it."""
    import json

    from automl.cli.summary import outcome_json, print_outcome
    from automl.errors import NotAttainableError
    from automl.pipeline.outcome import unmet
    from automl.records import RunRecord

    assert isinstance(record, RunRecord)
    if as_json:
        click.echo(json.dumps(outcome_json(record), indent=1, ensure_ascii=False))
    else:
        print_outcome(record)
    problems = unmet(record)
    if problems:
        raise NotAttainableError("\n".join(problems))
