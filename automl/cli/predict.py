"""``automl predict``: the answers for images, by a bundle."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl.records.provider import PROVIDERS, Provider

if TYPE_CHECKING:
    from automl.export.bundle import Bundle
    from automl.predictor import Answer

__all__ = ["predict"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--json", "style", flag_value="json", help="One JSON list, with all of each answer.")
@click.option("--csv", "style", flag_value="csv", help="CSV: a row an image.")
@click.option("--threads", type=click.IntRange(1), help="Default: as the bundle was made for.")
@click.option(
    "--provider",
    type=click.Choice(PROVIDERS),
    default="cpu",
    show_default=True,
    help="What runs the model.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write masks or heat maps to this folder, as PNG.",
)
def predict(
    bundle: Path,
    images: tuple[Path, ...],
    style: str | None,
    threads: int | None,
    provider: Provider,
    save: Path | None,
) -> None:
    """Answer IMAGES, files or folders of them, with BUNDLE.

    An image that cannot be read is named on stderr, the others are answered, and the exit code is 4.
    """
    from automl.errors import DataError
    from automl.export.bundle import load_bundle
    from automl.predictor import PictureFolder, write_answers

    loaded = load_bundle(bundle, threads=threads, provider=provider)
    pictures = None if save is None else PictureFolder(save)
    failed: list[Path] = []
    answers = []
    for name, answer in _answers(loaded, images, failed):
        if pictures is not None:
            pictures.save(name, answer)
        if style is None:
            write_answers([(name, answer)], "text", sys.stdout)
        else:
            answers.append((name, answer))
    if style is not None:
        write_answers(answers, style, sys.stdout)
    if failed:
        count = f"{len(failed)} image{'s' if len(failed) != 1 else ''}"
        raise DataError(f"{count} could not be answered; each is named above.")


def _answers(
    bundle: Bundle, images: Iterable[Path], failed: list[Path]
) -> Iterator[tuple[str, Answer]]:
    """Yield one answer an image; those that cannot be read are named and kept in ``failed``."""
    from automl.predictor import ImageError

    for path in _files(images, failed):
        try:
            yield click.format_filename(path), bundle.predict(path)
        except (ImageError, OSError) as error:
            _refuse(path, error.strerror if isinstance(error, OSError) else str(error), failed)


def _files(images: Iterable[Path], failed: list[Path]) -> Iterator[Path]:
    """Yield files as they are named, and the images of folders, at any depth, in order."""
    from automl.data.formats.listing import walk

    for path in images:
        if not path.is_dir():
            yield path
            continue
        found = walk(path).images
        if not found:
            _refuse(path, "the folder holds no image", failed)
        yield from (path / name for name in found)


def _refuse(path: Path, reason: str | None, failed: list[Path]) -> None:
    click.echo(f"{click.format_filename(path)}: {reason}", err=True)
    failed.append(path)
