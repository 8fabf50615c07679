"""The layouts that a data set may have: one file each, registered by name, tried in turn by
``auto``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from automl import registry
from automl.data.formats.listing import Listing, RawSample
from automl.errors import DataError, did_you_mean

__all__ = ["DatasetFormat", "Detection", "Listing", "RawSample", "choose", "detect"]


class DatasetFormat(Protocol):
    """One layout of images and labels. Implementations take no arguments."""

    name: str
    tasks: tuple[str, ...]
    """The tasks whose labels this layout can hold."""

    def recognise(self, root: Path) -> str | None:
        """Say in one sentence why a folder (or file) has this layout; ``None`` if it has not.

        Opens no image and does not go through all files.
        """

    def read(self, root: Path, *, classes: tuple[str, ...]) -> Listing:
        """Name every image with its label; ``classes`` empty means: all that are found.

        Bad rows and stray files become findings of the listing.

        Raises:
            DataError: when the layout is not there or cannot be read, or a class is missing.
        """


@dataclass(frozen=True)
class Detection:
    """What ``auto`` recognised, and why. ``images`` counts files that were not opened yet."""

    name: str
    reason: str
    classes: tuple[str, ...]
    images: int


def detect(root: Path, *, task: str) -> Detection:
    """Look at a folder or list file and say what it is. Opens no image.

    Raises:
        DataError: when the path is missing or closed, or no format recognises it.
    """
    chosen, reason = choose(root, "auto", task=task)
    listing = chosen.read(root, classes=())
    return Detection(chosen.name, reason, listing.classes, len(listing.samples))


def choose(root: Path, name: str, *, task: str) -> tuple[DatasetFormat, str]:
    """Return the format to read a path with (``auto``: the one that recognises it) and why.

    Raises:
        DataError: when the path is missing or closed, or no format recognises it.
    """
    _check_root(root)
    if name != "auto":
        chosen: DatasetFormat = registry.load("format", name)()
        if task not in chosen.tasks:
            raise DataError(
                f"The format '{name}' holds no labels for the task '{task}', "
                f"only for {', '.join(chosen.tasks)}. Choose another format or task."
            )
        return chosen, "the spec asks for it"
    candidates = [registry.load("format", known)() for known in registry.names("format")]
    reasons = [
        (candidate, reason)
        for candidate in candidates
        if task in candidate.tasks and (reason := candidate.recognise(root)) is not None
    ]
    if not reasons:
        raise DataError(_nothing_recognised(root, task))
    found, reason = max(reasons, key=lambda pair: pair[0].name == "csv")
    others = [candidate.name for candidate, _ in reasons if candidate is not found]
    if others:
        reason += f" (set data.format to '{others[0]}' to read it as '{others[0]}' instead)"
    return found, reason


def _check_root(root: Path) -> None:
    try:
        root.stat()
        if root.is_dir():
            next(root.iterdir(), None)
    except FileNotFoundError as error:
        raise DataError(f"The data path '{root}' does not exist.{_neighbour(root)}") from error
    except OSError as error:
        raise DataError(
            f"The data path '{root}' cannot be read ({error.strerror}). Give the user who runs "
            "this the right to read it, or name another path in the spec's data.path."
        ) from error


def _neighbour(root: Path) -> str:
    try:
        names = [entry.name for entry in root.parent.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return " Check the spec's data.path; a relative path counts from the spec file."
    hint = did_you_mean(root.name, names)
    if hint.startswith(" Did"):
        return hint
    return " Check the spec's data.path; a relative path counts from the spec file."


def _nothing_recognised(root: Path, task: str) -> str:
    if root.is_file():
        return (
            f"'{root}' is a file, and no list of images. Name a folder with one folder per class, "
            "or a CSV file with the columns path,label (an archive must be unpacked first)."
        )
    return (
        f"No images for the task '{task}' were recognised in '{root}'. Put the images of each "
        "class "
        "into a folder of its own (data/pass/1.jpg, data/fail/2.jpg), or list them in a CSV file "
        "with the columns path,label."
    )
