"""``automl devices calibrate``: measure a set of small networks, so that others can be predicted."""

from __future__ import annotations

import click

__all__ = ["calibrate"]


@click.command()
@click.option(
    "--device",
    default="local",
    show_default=True,
    help="Where to measure: local, or the address of an agent (http://HOST:PORT).",
)
@click.option("--name", help="Name the device has from now on. Default: local, or its address.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option("--quiet", is_flag=True, help="Print no progress.")
def calibrate(device: str, name: str | None, threads: int, quiet: bool) -> None:
    """Learn how fast a device is: some 40 files of small networks are measured on it.

    Takes a minute or two, and two more the first time, when the files are made. What was found is kept
    in the user's folder of devices; plans then predict what is surely too slow or surely fits, and
    measure only the rest.
    """
    from automl.cli.progress import open_progress
    from automl.hardware.prediction.calibration import model_of
    from automl.pipeline.calibrating import calibrate as run
    from automl.pipeline.devices import open_measuring_device

    opened = open_measuring_device(device)
    with open_progress(quiet=quiet) as progress:
        made = run(opened, name=name or device, threads=threads, progress=progress.progress)
    model = model_of(made)
    click.echo(
        f"Calibrated '{made.device}' ({made.host.cpu}, {threads} "
        f"{'thread' if threads == 1 else 'threads'}) with {len(made.files)} files. "
        f"Predicting each from all others was {model.left_out_error:.1%} off in the mean."
    )
