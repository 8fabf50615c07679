"""``automl agent``: let another machine measure models on this one."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["agent"]


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 for all of this machine.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8420, show_default=True, help="0: a free one."
)
@click.option(
    "--max-upload", default="512MiB", show_default=True, help="Largest model that is taken."
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Another name under which this machine is reached.",
)
@click.option(
    "--cores", metavar="LIST", help="Processors to measure on, such as 0-3. Default: all."
)
@click.option(
    "--pack",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the agent as one file for a device that has Python, numpy and onnxruntime.",
)
def agent(
    host: str,
    port: int,
    max_upload: str,
    allow_host: tuple[str, ...],
    cores: str | None,
    pack: Path | None,
) -> None:
    """Measure on this machine the models that another one sends.

    Prints a token and the line for the spec. Stop it with Ctrl-C.
    """
    if pack is not None:
        _pack(pack)
        return
    from automl import __version__
    from automl.errors import SpecError
    from automl.hardware.agent.main import AgentSettings, parse_cores, serve
    from automl.units import parse_size_bytes

    try:
        max_upload_bytes = parse_size_bytes(max_upload)
    except ValueError as error:
        raise SpecError(f"--max-upload: {error}.") from error
    settings = AgentSettings(
        __version__,
        host=host,
        port=port,
        max_upload_bytes=max_upload_bytes,
        allow_hosts=allow_host,
        cores=None if cores is None else parse_cores(cores),
    )
    serve(settings, say=click.echo)


def _pack(path: Path) -> None:
    from automl.errors import AutomlError
    from automl.hardware.agent.pack import write_archive

    try:
        write_archive(path)
    except OSError as error:
        raise AutomlError(f"'{path}' cannot be written ({error.strerror}).") from error
    click.echo(f"Wrote {path} ({path.stat().st_size:,} bytes).")
    click.echo("On the device:  pip install numpy onnxruntime  and  python3 " + path.name)
