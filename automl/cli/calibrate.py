"""``automl devices calibrate``: measure a set of small networks, so that others can be predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from automl.hardware.own_device import GivenFigures
    from automl.hardware.prediction.calibration import Calibration

__all__ = ["calibrate"]

_ABOVE_ZERO = click.FloatRange(min=0, min_open=True)


@click.command()
@click.option(
    "--device",
    default="local",
    show_default=True,
    help="Where to measure: local, or the address of an agent (http://HOST:PORT).",
)
@click.option(
    "--name",
    help="Name the device has from now on; a file that describes it is written, if there is none of "
    "that name. Default: local, or its address.",
)
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option("--price", type=_ABOVE_ZERO, metavar="USD", help="What one costs, for its file.")
@click.option(
    "--power-idle", type=_ABOVE_ZERO, metavar="WATTS", help="What the whole device takes, idle."
)
@click.option(
    "--power-load", type=_ABOVE_ZERO, metavar="WATTS", help="What the whole device takes, at work."
)
@click.option("--quiet", is_flag=True, help="Print no progress.")
def calibrate(
    device: str,
    name: str | None,
    threads: int,
    price: float | None,
    power_idle: float | None,
    power_load: float | None,
    quiet: bool,
) -> None:
    """Learn how fast a device is: some 40 files of small networks are measured on it.

    Takes a minute or two, and two more the first time, when the files are made. What was found is kept
    in the user's folder of devices; plans then predict what is surely too slow or surely fits, and
    measure only the rest. With --name the device can be planned for where it is not at hand:
    'automl plan SPEC --device NAME'.
    """
    from automl.cli.progress import open_progress
    from automl.hardware.own_device import GivenFigures, check_own_device
    from automl.pipeline.calibrating import calibrate as run
    from automl.pipeline.devices import open_measuring_device

    given = GivenFigures(price, power_idle, power_load)
    own = None if name == device else name
    if own is not None:
        check_own_device(own, given)
    elif given.is_any:
        raise click.UsageError(
            "Price and power describe a device of your own. Name it as well: --name my-board."
        )
    opened = open_measuring_device(device)
    with open_progress(quiet=quiet) as progress:
        made = run(opened, name=name or device, threads=threads, progress=progress.progress)
    _tell(made)
    if own is not None:
        _write_file(made, given)


def _tell(made: Calibration) -> None:
    from automl.hardware.prediction.calibration import model_of
    from automl.units import plural

    click.echo(
        f"Calibrated '{made.device}' ({made.host.cpu}, {plural(made.threads, 'thread')}) with "
        f"{len(made.files)} files. "
        f"Predicting each from all others was {model_of(made).left_out_error:.1%} off in the mean."
    )


def _write_file(made: Calibration, given: GivenFigures) -> None:
    from automl.hardware.own_device import write_own_device

    path = write_own_device(made, given)
    if path is None:
        click.echo(f"The file of '{made.device}' was there and is as it was.")
        return
    click.echo(f"Its file: {path}")
    missing = {"its price (--price)": given.price_usd, "its power (--power-load)": given.load_w}
    unknown = [what for what, value in missing.items() if value is None]
    if unknown:
        click.echo(
            f"Not known: {' and '.join(unknown)}. Fill it in there, to be told what it costs."
        )
    click.echo(f"Plan for it with: automl plan SPEC --device {made.device}")
