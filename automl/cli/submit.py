"""``automl submit``: hands specs to a Ray cluster that is elsewhere."""

from __future__ import annotations

import click

__all__ = ["submit"]


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC…")
@click.option(
    "--address", required=True, metavar="URL", help="The cluster's dashboard: http://head:8265."
)
@click.option(
    "--output", required=True, metavar="FOLDER", help="On storage that all nodes see, or s3://…"
)
@click.option("--until", metavar="HH:MM", help="Start nothing that would not end by then, there.")
@click.option("--price", type=click.FloatRange(min=0), help="USD an hour of the cluster.")
def submit(
    specs: tuple[str, ...], address: str, output: str, until: str | None, price: float | None
) -> None:
    """Run specs as one batch on a cluster: files, folders, or patterns such as 'night/*.yaml'.

    A token is read from RAY_AUTH_TOKEN. Specs, search spaces and devices travel; images and weights
    must lie where all nodes see them. Prints the job's id; 'automl status --address URL' follows it.
    """
    from automl.pipeline.job import submit as submit_specs

    options = {"--until": until, "--price": None if price is None else f"{price:g}"}
    job = submit_specs(
        specs,
        address=address,
        output=output,
        options={name: value for name, value in options.items() if value is not None},
    )
    click.echo(job)
    click.echo(f"Follow it with: automl status {job} --address {address}", err=True)
