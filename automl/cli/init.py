"""`automl init`: look at a folder of images, say what it is, and write a first spec."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.spec.draft import GroupGuess

__all__ = ["init"]

_SHOWN_CLASSES = 8


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="The spec file to write.")
@click.option("--task", default="classification", show_default=True, help="What to learn.")
def init(data: Path, output: Path | None, task: str) -> None:
    """Look at DATA, say what it holds and why, and write a commented spec.

    DATA is a folder of images, or a file that lists or annotates them. An existing file is never overwritten.
    """
    from automl import registry
    from automl.data.formats import ReadOptions, choose
    from automl.spec.draft import draft_spec, guess_group
    from automl.spec.fields import slug
    from automl.spec.metrics import METRICS
    from automl.spec.problems import shown

    registry.check("task", task)
    found, reason = choose(data, "auto", truth=METRICS[task].truth)
    listing = found.read(data, options=ReadOptions(METRICS[task].truth))
    target = output or Path(f"{slug(data.resolve().name)}.yaml")
    group = guess_group([sample.path for sample in listing.samples])
    text = draft_spec(
        _relative(data, target),
        task=task,
        format_name=found.name,
        reason=reason,
        classes=listing.classes,
        images=len(listing.samples),
        group=group,
        schema=_schema_path(),
    )
    _write_new(target, text)
    click.echo(f"{shown(str(data))} is read as '{found.name}': {reason}.")
    click.echo(f"{len(listing.samples):,} images, {_listed(listing.classes)}.")
    if group is not None:
        click.echo(_group_note(group))
    click.echo(f"Wrote {shown(str(target))}. Next: automl plan {shlex.quote(str(target))}")


def _relative(data: Path, target: Path) -> str:
    """Return the data's path as the spec should name it: relative unless that goes far up."""
    path = Path(os.path.relpath(data.resolve(), target.resolve().parent)).as_posix()
    if path.startswith("../../.."):
        return str(data.resolve())
    return path if path.startswith(".") else f"./{path}"


def _schema_path() -> str | None:
    from automl.resources import shipped

    try:
        return str(shipped("specs", "spec.schema.json"))
    except FileNotFoundError:
        return None  # an editor's convenience only


def _write_new(path: Path, text: str) -> None:
    from automl.spec.problems import shown

    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        name = shown(str(path))
        raise SpecError(f"{name} exists and is not overwritten. Use --output FILE.") from error
    except OSError as error:
        raise SpecError(f"Cannot write {shown(str(path))}: {error.strerror}.") from error


def _listed(classes: Sequence[str]) -> str:
    from automl.spec.problems import shown

    names = ", ".join(shown(name) for name in classes[:_SHOWN_CLASSES])
    more = f" and {len(classes) - _SHOWN_CLASSES} more" if len(classes) > _SHOWN_CLASSES else ""
    return f"{len(classes)} classes: {names}{more}"


def _group_note(group: GroupGuess) -> str:
    from automl.spec.problems import shown

    return (
        f"File names look like tiles or frames of {group.groups:,} things (such as "
        f"{shown(group.example)}); see 'group' in the spec."
    )
