"""``automl plan``: what would fit, measured before anything is trained."""

from __future__ import annotations

import click

from automl.cli.progress import open_progress

__all__ = ["plan"]


@click.command()
@click.argument("spec")
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="Print no progress.")
def plan(spec: str, as_json: bool, quiet: bool) -> None:
    """Measure every network of SPEC's search space untrained and say which fit.

    Exit code 3 when none does.
    """
    from automl.cli.summary import print_plan
    from automl.errors import NotAttainableError
    from automl.pipeline.engine import plan_only
    from automl.pipeline.outcome import nothing_fits
    from automl.records import dump_record
    from automl.search.relaxation import plan_shortfall
    from automl.spec import load_spec

    loaded = load_spec(spec)
    with open_progress(quiet=quiet) as progress:
        made = plan_only(loaded, observer=progress)
    if as_json:
        click.echo(dump_record(made))
    else:
        print_plan(made)
    if not made.feasible():
        lines = [nothing_fits(t.name, plan_shortfall(t, made)) for t in loaded.targets]
        raise NotAttainableError("\n".join(lines))
