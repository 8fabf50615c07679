"""`automl devices`: what the catalogue knows of machines that a model could run on."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from automl.cli.calibrate import calibrate

if TYPE_CHECKING:
    from automl.records import DeviceProfile, Host

__all__ = ["devices"]

_COLUMNS = ("name", "kind", "processor", "memory", "int8 rate", "power", "price")
_WIDTH = 100


class _Devices(click.Group):
    """A group that knows what is meant by ``automl devices raspberry-pi-5``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from automl.hardware.catalogue import device_names
        from automl.spec.devices import form_of
        from automl.spec.problems import shown

        name = args[0]
        if name not in self.commands and (
            name == "local" or name in device_names() or form_of(name) == "file"
        ):
            meant = shown(f"automl devices show {name}")
            raise click.UsageError(f"{shown(name)} is a device. Did you mean {meant}?", ctx=ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Devices, invoke_without_command=True)
@click.option(
    "--json", "as_json", is_flag=True, help="Print every device with all figures as JSON."
)
@click.pass_context
def devices(ctx: click.Context, as_json: bool) -> None:
    """List the devices that automl knows; 'automl devices show NAME' explains one.

    Each is a YAML file with a source for every figure; 'automl devices show NAME --yaml' prints one
    to start from. Your own go into ~/.config/automl/devices, or the folder that AUTOML_DEVICES names.
    """
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"Write 'automl devices {ctx.invoked_subcommand} … --json'.")
        return
    from automl.hardware.catalogue import all_devices
    from automl.hardware.host import local_host

    host, known = local_host(), all_devices()
    if as_json:
        content = {"local": _plain(host), "devices": [_plain(device) for device in known]}
        click.echo(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        _print_table(host, known)


@devices.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the device's file, to change a copy.")
def show(name: str, as_json: bool, as_yaml: bool) -> None:
    """Explain the device NAME (or a YAML file): every figure with its source, and its limits."""
    from automl.cli.device_text import describe_device, describe_host
    from automl.hardware.catalogue import load_device, read_device_text
    from automl.hardware.host import local_host

    if as_json and as_yaml:
        raise click.UsageError("'--json' and '--yaml' exclude each other. Leave one out.")
    if as_yaml:
        click.echo(read_device_text(name), nl=False)
    elif name == "local":
        host = local_host()
        click.echo(_text(host) if as_json else describe_host(host), nl=False)
    else:
        device = load_device(name)
        click.echo(_text(device) if as_json else describe_device(device), nl=False)


@devices.command()
def schema() -> None:
    """Print the JSON Schema (draft-07) of a device file, for editors."""
    from automl.hardware.catalogue import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _plain(record: Host | DeviceProfile) -> Any:
    from automl.records import dump_record

    return json.loads(dump_record(record))


devices.add_command(calibrate)


def _text(record: Host | DeviceProfile) -> str:
    return json.dumps(_plain(record), indent=1, ensure_ascii=False) + "\n"


def _print_table(host: Host, known: tuple[DeviceProfile, ...]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from automl.cli.device_text import device_rows

    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold", no_wrap=column != "processor")
    for row in device_rows(host, known):
        table.add_row(*map(Text, row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table)
    console.print("'automl devices show NAME' gives every figure with its source.", markup=False)
