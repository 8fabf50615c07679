"""One folder per class, perhaps below ``train``, ``val`` and ``test``: the commonest layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from automl.data.findings import finding, listed, worded
from automl.data.formats.folders import holds_image, subfolders
from automl.data.formats.listing import (
    SPLIT_NAMES,
    Listing,
    RawSample,
    ReadOptions,
    choose_classes,
    walk,
)
from automl.errors import DataError, did_you_mean
from automl.records import Finding, Split, TruthKind
from automl.units import plural

__all__ = ["FolderFormat"]


@dataclass(frozen=True)
class _Layout:
    """The folders that hold images: classes, or splits that hold classes."""

    splits: tuple[str, ...]
    """Names of the split folders; empty when the classes lie at the top."""
    holding: tuple[str, ...]
    empty: tuple[str, ...]


class FolderFormat:
    """Reads ``<class>/**/image`` and ``<train|val|test>/<class>/**/image``.

    The split folders count as such when they hold folders with images, ``train`` is one of them,
    and nothing but splits (or at least two of them) lies at the top; else they are classes.
    """

    name = "folder"
    truths: tuple[TruthKind, ...] = ("label",)

    def recognise(self, root: Path) -> str | None:
        """Say which folders hold images."""
        if not root.is_dir():
            return None
        layout = _layout(root)
        if layout.splits:
            return (
                f"the folders {listed(layout.splits)} hold one folder per class: "
                "the data's own split"
            )
        if layout.holding:
            return f"the folders {listed(layout.holding)} hold images: one folder per class"
        return None

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """List every image below the class folders; the class is the folder's name."""
        if not root.is_dir():
            raise DataError(
                f"The format 'folder' needs a folder; '{root}' is a file. "
                "Name the folder, or set data.format to 'csv'."
            )
        layout = _layout(root)
        found = walk(root)
        samples, stray, ignored = _sort(found.images, layout)
        per_class = Counter(sample.label for sample in samples if sample.label is not None)
        if not per_class:
            raise DataError(_no_class_message(root, stray))
        chosen = choose_classes(per_class, options.classes, where=f"'{root}'")
        kept = tuple(sample for sample in samples if sample.label in set(chosen))
        findings = [
            *found.findings(),
            *_stray_findings(stray, ignored, layout),
            *_unlisted(per_class, chosen, samples),
        ]
        return Listing(root, chosen, kept, tuple(findings), files_seen=len(found.images))


def _layout(root: Path) -> _Layout:
    top = subfolders(root)
    holding = tuple(name for name in top if holds_image(root / name))
    splits = tuple(name for name in holding if _is_split(root / name))
    kinds = {SPLIT_NAMES[name.lower()] for name in splits}
    alone = len(splits) == len(holding)
    if kinds and (alone or (Split.TRAIN in kinds and len(kinds) > 1)):
        inner = [f"{split}/{name}" for split in splits for name in subfolders(root / split)]
        empty = tuple(name for name in inner if not holds_image(root / name))
        return _Layout(splits, holding, empty)
    return _Layout((), holding, tuple(name for name in top if name not in holding))


def _is_split(folder: Path) -> bool:
    if folder.name.lower() not in SPLIT_NAMES:
        return False
    return any(holds_image(folder / name) for name in subfolders(folder))


def _sort(images: list[str], layout: _Layout) -> tuple[list[RawSample], list[str], list[str]]:
    """Divide paths into samples, images outside every class, and images beside the splits."""
    samples: list[RawSample] = []
    stray: list[str] = []
    beside: list[str] = []
    names: dict[str, str] = {}
    for path in images:
        top, *rest = path.split("/")
        if not layout.splits:
            if rest:
                samples.append(RawSample(path, names.setdefault(top, top), None))
            else:
                stray.append(path)
        elif top not in layout.splits:
            beside.append(path)
        elif len(rest) < 2:
            stray.append(path)
        else:
            label = names.setdefault(rest[0], rest[0])
            samples.append(RawSample(path, label, SPLIT_NAMES[top.lower()]))
    return samples, stray, beside


def _stray_findings(stray: list[str], beside: list[str], layout: _Layout) -> Iterator[Finding]:
    if stray:
        yield finding(
            "unlabelled-image",
            "warning",
            f"Left out: {plural(len(stray), 'image')} outside every class folder, so without a "
            f"class: {listed(stray)}.",
            remedy=worded("Move {it|each} into the folder of its class.", len(stray)),
            paths=stray,
        )
    if beside:
        yield finding(
            "outside-split",
            "warning",
            f"Left out: {plural(len(beside), 'image')} outside the split folders "
            f"{listed(layout.splits)}: {listed(beside)}.",
            remedy=worded("Move {it|each} into a class folder of one of the splits.", len(beside)),
            paths=beside,
        )
    if layout.empty:
        yield finding(
            "empty-folder",
            "warning",
            f"Not a class: {plural(len(layout.empty), 'folder')} without any image: "
            f"{listed(layout.empty)}.",
            remedy=worded("Put images into {it|them}, or remove {it|them}.", len(layout.empty)),
            paths=layout.empty,
        )


def _unlisted(
    per_class: Counter[str], chosen: tuple[str, ...], samples: list[RawSample]
) -> Iterator[Finding]:
    for name in sorted(set(per_class) - set(chosen)):
        yield finding(
            "unlisted-class",
            "warning",
            f"Left out: the folder '{name}' with {plural(per_class[name], 'image')}, which is not "
            f"among the spec's data.classes.{did_you_mean(name, chosen)}",
            remedy=f"Add '{name}' to data.classes, or leave it out on purpose.",
            paths=[sample.path for sample in samples if sample.label == name],
        )


def _no_class_message(root: Path, stray: list[str]) -> str:
    if stray:
        return (
            f"'{root}' holds {plural(len(stray), 'image')}, but in no class folder. Put the images "
            "of each class into a folder of its own (data/pass/1.jpg, data/fail/2.jpg), or list "
            "them in a CSV file with the columns path,label."
        )
    return (
        f"No image was found in '{root}'. Put the images of each class into a folder of its own "
        "(data/pass/1.jpg, data/fail/2.jpg), or name another folder in the spec's data.path."
    )
