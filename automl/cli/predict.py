"""``automl predict``: the classes of images, by a bundle."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from automl.export.bundle import Bundle

__all__ = ["predict"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--json", "style", flag_value="json", help="One JSON list, with every class's score.")
@click.option("--csv", "style", flag_value="csv", help="CSV: image, label, confidence.")
@click.option("--threads", type=click.IntRange(1), help="Default: as the bundle was made for.")
def predict(bundle: Path, images: tuple[Path, ...], style: str | None, threads: int | None) -> None:
    """Classify IMAGES, files or folders of them, with BUNDLE.

    An image that cannot be read is named on stderr, the others are answered, and the exit code is 4.
    """
    from automl.errors import DataError
    from automl.export.bundle import load_bundle
    from automl.predictor import write_rows

    loaded = load_bundle(bundle, threads=threads)
    failed: list[Path] = []
    rows = _rows(loaded, images, failed, with_scores=style == "json")
    if style is None:
        for row in rows:
            write_rows([row], "text", sys.stdout)
    else:
        write_rows(list(rows), style, sys.stdout)
    if failed:
        count = f"{len(failed)} image{'s' if len(failed) != 1 else ''}"
        raise DataError(f"{count} could not be classified; each is named above.")


def _rows(
    bundle: Bundle, images: Iterable[Path], failed: list[Path], *, with_scores: bool
) -> Iterator[dict[str, Any]]:
    """Yield one answer an image; those that cannot be read are named and kept in ``failed``."""
    from automl.predictor import ImageError

    for path in _files(images, failed):
        try:
            result = bundle.predict(path)
        except (ImageError, OSError) as error:
            _refuse(path, error.strerror if isinstance(error, OSError) else str(error), failed)
            continue
        row: dict[str, Any] = {
            "image": click.format_filename(path),
            "label": result.label,
            "confidence": round(result.confidence, 6),
        }
        yield row | ({"scores": result.scores} if with_scores else {})


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
