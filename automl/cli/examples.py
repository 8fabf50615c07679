"""`automl examples`: the specs that ship with the program, listed or copied."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from automl.errors import SpecError, did_you_mean

__all__ = ["examples"]


@click.command()
@click.argument("name", required=False)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("."),
    help="Folder to copy into. Default: this one.",
)
def examples(name: str | None, output: Path) -> None:
    """List the example specs, or copy the one called NAME, with its images, to change it.

    Examples also run as they are: 'automl run quickstart'. Existing files are never overwritten.
    """
    from automl.spec.loader import shipped_specs

    specs = {path.stem: path for path in shipped_specs()}
    if name is None:
        for stem, path in specs.items():
            click.echo(f"{stem:<24}{_first_comment(path)}")
        return
    stem = Path(name).stem
    if stem not in specs:
        raise SpecError(f"Unknown example {name!a}.{did_you_mean(stem, specs)}")
    for path in _copy(specs[stem], output):
        click.echo(str(path))


def _first_comment(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "yaml-language-server" not in line:
            return line.strip("# ")
    return ""


def _copy(spec: Path, folder: Path) -> list[Path]:
    from automl.spec.loader import load_spec

    data = load_spec(spec).data
    wanted = [spec, spec.parent / "spec.schema.json"]
    path = None if data is None else Path(data.path)
    if path is not None and path.is_relative_to(spec.parent) and path.exists():
        wanted.append(path)
    target = folder / spec.name
    if target.exists():
        raise SpecError(f"'{target}' exists and is not overwritten. Use --output FOLDER.")
    return [copy for path in wanted if (copy := _copy_new(path, folder, spec.parent))]


def _copy_new(path: Path, folder: Path, root: Path) -> Path | None:
    target = folder / path.relative_to(root)
    if target.exists():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)
    return target
