"""Refuse data that nothing can be learnt from or tested on, with what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from automl.data.findings import listed
from automl.errors import DataError
from automl.records import Sample, Split, TruthKind
from automl.units import plural

__all__ = ["check_sufficient"]

_FEWEST: dict[TruthKind, tuple[int, str]] = {
    "label": (
        2,
        "A classifier needs at least two classes; only {found} was found. Put the images of each "
        "class into a folder of its own (data/pass/1.jpg, data/fail/2.jpg).",
    ),
    "boxes": (
        1,
        "No object is left to be found. Draw boxes around the objects, or name other classes in "
        "data.classes.",
    ),
    "mask": (
        2,
        "Masks need at least two classes, such as background and object; only {found} was found. "
        "Check the masks, or name the class of each value.",
    ),
    "defect": (1, ""),
}


def check_sufficient(samples: Sequence[Sample], classes: Sequence[str], kind: TruthKind) -> None:
    """Check that there is enough to learn from and to judge by.

    Raises:
        DataError: too few classes; a class that no usable image shows, or none to learn from; a split
            without images, or without any object; for defects, no good image to learn from.
    """
    fewest, message = _FEWEST[kind]
    if len(classes) < fewest:
        raise DataError(message.format(found=listed(classes)))
    if kind == "defect":
        _check_good(samples)
    else:
        _check_classes(samples, classes, kind)
    for split in Split:
        if not any(sample.split is split for sample in samples):
            raise DataError(
                f"The {split} split is empty ({plural(len(samples), 'image')} in all). Add images "
                f"or groups (at least three a class), or raise data.split.{split}."
            )
        if kind == "boxes" and not any(one.classes for one in samples if one.split is split):
            raise DataError(
                f"No image of the {split} split shows any object. Add images that do (at least "
                f"three a class), or raise data.split.{split}."
            )


def _check_good(samples: Sequence[Sample]) -> None:
    if not any(sample.split is Split.TRAIN for sample in samples):
        raise DataError(
            f"No good image is left to learn from ({plural(len(samples), 'image')} in all; those in "
            "one group with a defect are kept for testing). Add good images, or groups without a "
            "defect."
        )


def _check_classes(samples: Sequence[Sample], classes: Sequence[str], kind: TruthKind) -> None:
    counts: Counter[tuple[Split, int]] = Counter()
    for sample in samples:
        counts.update((sample.split, label) for label in sample.classes)
    reason = (
        "stands under another class too" if kind == "label" else "its annotation cannot be used"
    )
    for label, name in enumerate(classes):
        total = sum(counts[split, label] for split in Split)
        if not total:
            raise DataError(
                f"No image of the class '{name}' can be used: every one is damaged, or {reason}. "
                "Replace them, or leave the class out of data.classes."
            )
        if not counts[Split.TRAIN, label]:
            leave = "" if kind == "label" else ", or leave the class out of data.classes"
            raise DataError(
                f"The class '{name}' has {plural(total, 'image')}, but none to learn from in the "
                f"train split. Add images of it to the data's train split{leave}."
            )
