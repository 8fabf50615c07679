"""The folder that is handed over: a model, what it says of itself, and all that running it takes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from automl import predictor
from automl.errors import AutomlError, RunError
from automl.export.card import FORMAT_VERSION, BundleCard
from automl.export.readme import render_readme
from automl.export.references import make_references
from automl.predictor import Answer, Model, ProviderError
from automl.storage import read_record, sha256_file, write_atomic, write_record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Bundle", "load_bundle", "read_card", "write_bundle"]

MODEL = "model.onnx"
CARD = "model.json"


class Bundle:
    """A delivered model, loaded: ``load_bundle(path).predict(image)``."""

    def __init__(self, path: Path, card: BundleCard, model: Model) -> None:
        """Hold what :func:`load_bundle` read."""
        self.path = path
        self.card = card
        self._model = model

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the model."""
        return self._model.labels

    def predict(self, image: str | os.PathLike[str] | bytes | NDArray[np.uint8]) -> Answer:
        """Return the answer for a path, encoded bytes, or an ``(H, W, 3)`` uint8 RGB array.

        Raises:
            ImageError: when the image cannot be used.
        """
        return self._model.predict(image)


def load_bundle(
    path: str | os.PathLike[str], *, threads: int | None = None, provider: str = "cpu"
) -> Bundle:
    """Load a bundle folder.

    Args:
        path: of the folder.
        threads: of the processor; those of the target that the bundle was made for when not given.
        provider: what runs the model: ``cpu``, ``cuda`` or ``tensorrt``.

    Raises:
        RunError: when the folder is no bundle, or a file is missing or damaged.
        AutomlError: when the provider is not there.
    """
    folder = Path(path)
    card = read_card(folder)
    file = folder / MODEL
    found = sha256_file(file)
    if found != card.model_sha256:
        raise RunError(
            f"'{file}' is not the file that '{CARD}' describes: its SHA-256 is {found[:12]}…, expected "
            f"{card.model_sha256[:12]}…. Copy the whole bundle again."
        )
    try:
        model = Model(file, threads=threads or card.target.threads, provider=provider)
    except ProviderError as error:
        raise AutomlError(
            f"'{file}' cannot run with provider '{provider}': {error}. `automl doctor` says what is "
            "there; without a provider it runs on the processor."
        ) from error
    return Bundle(folder, card, model)


def read_card(folder: Path) -> BundleCard:
    """Return what a bundle says of its model.

    Raises:
        RunError: when the folder is no bundle, is of a later version, or is damaged.
    """
    missing = [name for name in (CARD, MODEL) if not (folder / name).is_file()]
    if missing:
        raise RunError(
            f"'{folder}' is not a bundle: '{missing[0]}' is missing. A bundle is the folder "
            "'bundle/<target>' of a finished run."
        )
    try:
        card = read_record(folder / CARD, BundleCard)
    except RunError as error:
        raise RunError(
            f"'{folder / CARD}' is damaged or was edited. Copy the whole bundle again."
        ) from error
    if card.format_version != FORMAT_VERSION:
        raise RunError(
            f"'{folder}' is a bundle of format {card.format_version}; this automl reads format "
            f"{FORMAT_VERSION}. Use the automl that made it ({card.versions.get('automl', 'unknown')})."
        )
    return card


def write_bundle(
    folder: Path, *, artifact: Path, card: BundleCard, reference_images: Mapping[str, bytes]
) -> Bundle:
    """Write a bundle folder, replacing one that is there, whole or not at all.

    Args:
        folder: to be made.
        artifact: the winner's ONNX file.
        card: from :func:`automl.export.card.make_card`.
        reference_images: a few encoded images by their path below the data's root. Only their hash
            and
            the model's answer are kept, to be checked again by ``automl verify``.

    Raises:
        ImageError: when a reference image cannot be read.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        fresh = Path(name) / "bundle"
        fresh.mkdir()
        _fill(fresh, artifact, card, reference_images)
        _put_in_place(fresh, folder, Path(name) / "old")
    return load_bundle(folder)


def _fill(
    folder: Path, artifact: Path, card: BundleCard, reference_images: Mapping[str, bytes]
) -> None:
    references = make_references(artifact, reference_images, image_size=card.image_size)
    card = replace(card, references=references)
    texts = {
        "labels.txt": "".join(f"{' '.join(label.split())}\n" for label in card.labels),
        "README.md": render_readme(card),
        "predict.py": Path(predictor.__file__).read_text(encoding="utf-8"),
    }
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    write_atomic(folder / MODEL, artifact.read_bytes())
    write_record(folder / CARD, card)


def _put_in_place(fresh: Path, folder: Path, old: Path) -> None:
    """Rename, moving a bundle that is there out of the way; it goes with the temporary folder."""
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
