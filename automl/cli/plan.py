"""``automl plan``: what would fit, and where, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl.cli.progress import open_progress

if TYPE_CHECKING:
    from automl.records import Plan, Spec
    from automl.records.planner import CostRules, HardwarePlan

__all__ = ["plan"]


@click.command()
@click.argument("spec")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    help="Also hold this device against the limits: a name of 'automl devices', a device's file, "
    "'local', or http://HOST:PORT; 'local+cuda' for the GPU in it. Can be given several times.",
)
@click.option(
    "--html", "page", type=click.Path(dir_okay=False), help="Write the plan as one page to a file."
)
@click.option("--images-a-day", type=click.IntRange(min=1), help="Images that cost is counted for.")
@click.option(
    "--life-years",
    type=click.FloatRange(min=0, min_open=True),
    help="Years that a machine is used that was bought.",
)
@click.option(
    "--electricity", type=click.FloatRange(min=0), help="Price of electricity, USD a kWh."
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="Print no progress.")
def plan(
    spec: str,
    devices: tuple[str, ...],
    page: str | None,
    images_a_day: int | None,
    life_years: float | None,
    electricity: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say which networks of SPEC's search space would fit, on which device, at what cost.

    Networks are measured untrained where a machine is at hand, and predicted for devices of the
    catalogue. Without 'data' the spec says how large images are and of how many classes.

    Exit code 3 when nothing fits anywhere.
    """
    from automl.pipeline.outlooks import with_devices
    from automl.pipeline.planner import plan_hardware
    from automl.spec import load_spec

    loaded = load_spec(spec)
    rules = _rules(images_a_day, life_years, electricity)
    with open_progress(quiet=quiet) as progress:
        made, hardware = plan_hardware(loaded, devices=devices, rules=rules, observer=progress)
    if page is not None:
        _write(Path(page), hardware)
    if as_json:
        click.echo(_as_json(made, hardware))
    else:
        _print(made, hardware, is_plain=not devices and page is None)
        if page is not None:
            click.echo(f"Page: {page}")
    _refuse_nothing(made, with_devices(loaded, devices))


def _rules(
    images_a_day: int | None, life_years: float | None, electricity: float | None
) -> CostRules:
    from automl.hardware.costs import DEFAULT_RULES
    from automl.records.planner import CostRules

    return CostRules(
        life_years=DEFAULT_RULES.life_years if life_years is None else life_years,
        electricity_usd_kwh=DEFAULT_RULES.electricity_usd_kwh
        if electricity is None
        else electricity,
        images_a_day=DEFAULT_RULES.images_a_day if images_a_day is None else images_a_day,
    )


def _write(path: Path, hardware: HardwarePlan) -> None:
    from automl.errors import SpecError
    from automl.report.planner_page import render_planner
    from automl.spec.problems import shown
    from automl.storage import write_atomic

    try:
        write_atomic(path, render_planner(hardware).encode("utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(f"Cannot write {shown(str(path))}: {reason}.") from error


def _as_json(made: Plan, hardware: HardwarePlan) -> str:
    """Return the plan with what it means for the devices under the key ``hardware``."""
    from automl.records import dump_record

    content = json.loads(dump_record(made))
    content["hardware"] = json.loads(dump_record(hardware))
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _print(made: Plan, hardware: HardwarePlan, *, is_plain: bool) -> None:
    """Print what suits: a plan for this machine alone has no devices to compare."""
    from automl.cli.planner_table import print_hardware_plan
    from automl.cli.summary import print_plan
    from automl.report.planner_view import build_planner_view

    if is_plain and all(outlook.profile is None for outlook in hardware.outlooks):
        print_plan(made)
    else:
        print_hardware_plan(build_planner_view(hardware))


def _refuse_nothing(made: Plan, spec: Spec) -> None:
    from automl.errors import NotAttainableError
    from automl.pipeline.outcome import nothing_fits
    from automl.search.relaxation import plan_shortfall

    if not made.feasible():
        lines = [nothing_fits(t.name, plan_shortfall(t, made)) for t in spec.targets]
        raise NotAttainableError("\n".join(lines))
