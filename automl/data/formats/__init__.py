"""The layouts that a data set may have: one file each, registered by name, tried in turn by
``auto``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from automl import registry
from automl.data.formats.listing import Listing, RawSample, ReadOptions
from automl.errors import DataError, did_you_mean
from automl.records import TruthKind

__all__ = ["DatasetFormat", "Listing", "RawSample", "ReadOptions", "Recognised", "choose", "detect"]


class DatasetFormat(Protocol):
    """One layout of images and labels. Implementations take no arguments."""

    name: str
    truths: tuple[TruthKind, ...]
    """The kinds of truth that this layout can hold."""

    def recognise(self, root: Path) -> str | None:
        """Say in one sentence why a folder (or file) has this layout; ``None`` if it has not.

        Opens no image and does not go through all files.
        """

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """Name every image with what is known of it.

        Bad rows and stray files become findings of the listing. No image is opened.

        Raises:
            DataError: when the layout is not there or cannot be read, or a class is missing.
        """


@dataclass(frozen=True)
class Recognised:
    """What ``auto`` recognised, and why. ``images`` counts files that were not opened yet."""

    name: str
    reason: str
    classes: tuple[str, ...]
    images: int


def detect(root: Path, *, truth: TruthKind) -> Recognised:
    """Look at a folder or list file and say what it is. Opens no image.

    Raises:
        DataError: when the path is missing or closed, or no format recognises it.
    """
    chosen, reason = choose(root, "auto", truth=truth)
    listing = chosen.read(root, options=ReadOptions(truth))
    return Recognised(chosen.name, reason, listing.classes, len(listing.samples))


def choose(root: Path, name: str, *, truth: TruthKind) -> tuple[DatasetFormat, str]:
    """Return the format to read a path with (``auto``: the one that recognises it) and why.

    Raises:
        DataError: when the path is missing or closed, or no format recognises it.
    """
    _check_root(root)
    if name != "auto":
        chosen: DatasetFormat = registry.load("format", name)()
        if truth not in chosen.truths:
            raise DataError(
                f"The format '{name}' holds no {_HELD[truth]}, only "
                f"{' and '.join(_HELD[kind] for kind in chosen.truths)}. "
                "Choose another format or task."
            )
        return chosen, "the spec asks for it"
    candidates = [registry.load("format", known)() for known in registry.names("format")]
    reasons = [
        (candidate, reason)
        for candidate in candidates
        if truth in candidate.truths and (reason := candidate.recognise(root)) is not None
    ]
    if not reasons:
        raise DataError(_nothing_recognised(root, truth))
    # Images lie in folders in most layouts: one folder per class is what is left.
    found, reason = max(reasons, key=lambda pair: pair[0].name != "folder")
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


_HELD: dict[TruthKind, str] = {
    "label": "labels of whole images",
    "boxes": "boxes around objects",
    "mask": "masks or outlines",
    "defect": "good and defective images",
}
_REMEDIES: dict[TruthKind, str] = {
    "label": "Put the images of each class into a folder of its own (data/pass/1.jpg, "
    "data/fail/2.jpg), or list them in a CSV file with the columns path,label.",
    "boxes": "Give boxes as Pascal VOC (one XML file an image), YOLO (one text file an image), COCO "
    "JSON, LabelMe, CVAT or Label Studio.",
    "mask": "Put images into images/ and masks of the same names into masks/, or give outlines as "
    "COCO JSON, LabelMe, CVAT or Label Studio.",
    "defect": "Put good images into train/good and test/good, those with a defect into "
    "test/<kind of defect> and their masks into ground_truth/<kind of defect>.",
}


def _nothing_recognised(root: Path, truth: TruthKind) -> str:
    if root.is_file():
        return (
            f"'{root}' is a file, and no list of images. Name a folder or an annotation file (an "
            f"archive must be unpacked first). {_REMEDIES[truth]}"
        )
    return f"No {_HELD[truth]} were recognised in '{root}'. {_REMEDIES[truth]}"
