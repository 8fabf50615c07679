"""From the columns of annotations to a listing: which images are left, in what order, which classes.

The classes are those that the spec names, else those of the format in its order (without the ones of
which there is nothing), else all that were met, sorted. Masks drawn from outlines get a class
"background" before all others; every mask has at most 254 classes, since 255 means "not known".
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.data.annotation_columns import (
    BACKGROUND,
    DEFECT,
    GOOD,
    KIND_BITS,
    NONE,
    Annotations,
    Columns,
    ShapeKind,
    Shapes,
)
from automl.data.annotation_notes import Notes
from automl.data.findings import finding, listed
from automl.data.formats.listing import Listing, RawSample, ReadOptions, choose_classes
from automl.errors import DataError
from automl.records import Finding
from automl.units import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["finished", "unused_finding"]

_MOST_MASK_CLASSES = 254
"""Masks are uint8, 255 means "not known", and a background may have to be added to 253."""
_MOST_CLASSES = 32_767
"""The column of labels is int16."""


def finished(
    columns: Columns,
    notes: Notes,
    *,
    root: Path,
    options: ReadOptions,
    source: str,
    classes: Sequence[str] | None,
    files_seen: int,
    findings: tuple[Finding, ...],
) -> Listing:
    """Return the listing; see :meth:`automl.data.annotations.AnnotationBuilder.finish`.

    Raises:
        DataError: as described there.
    """
    label = np.frombuffer(columns.label, np.int32) if columns.label else np.empty(0, np.int32)
    kept = _kept(columns, label, options, notes)
    if not kept:
        raise DataError(_nothing_left(columns, notes, options, source, findings))
    chosen, unused = _classes(
        columns, notes, label[kept], options=options, source=source, given=classes
    )
    names = list(columns.names)
    samples = []
    for image in kept:
        name = names[label[image]] if label[image] >= 0 else None
        samples.append(RawSample(columns.paths[image], name, columns.split_of(image)))
    if options.truth == "label":
        annotations = None
        samples = _of_classes(samples, chosen, notes)
    else:
        annotations = _annotations(columns, kept, chosen, notes, source)
    return Listing(
        root,
        chosen,
        tuple(samples),
        (*findings, *notes.findings(classes=chosen), *unused_finding(unused, source)),
        files_seen=files_seen,
        annotations=annotations,
    )


def _kept(
    columns: Columns, label: NDArray[np.int32], options: ReadOptions, notes: Notes
) -> list[int]:
    """Return the numbers of the images to keep, in the order of their paths."""
    ordered = sorted(range(len(columns.paths)), key=columns.paths.__getitem__)
    if options.truth in ("label", "defect"):
        told = notes.paths("unknown-label", "malformed-entry")
        for image in ordered:
            if label[image] == NONE and columns.paths[image] not in told:
                notes.add("unlabelled-image", "", path=columns.paths[image])
        return [image for image in ordered if label[image] >= 0]
    if not columns.masks or options.unannotated == "background":
        return ordered
    has_shape = np.zeros(len(ordered), bool)
    if columns.shape_image:
        has_shape[np.frombuffer(columns.shape_image, np.uint32)] = True
    for image in ordered:
        if image not in columns.masks and not has_shape[image]:
            notes.add("unannotated-image", "", path=columns.paths[image])
    return [image for image in ordered if image in columns.masks or has_shape[image]]


def _classes(
    columns: Columns,
    notes: Notes,
    label: NDArray[np.int32],
    *,
    options: ReadOptions,
    source: str,
    given: Sequence[str] | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes in their order, and those given of which there is nothing.

    Raises:
        DataError: a class asked for is missing, too many, or none at all.
    """
    if options.truth == "defect":
        return (GOOD, DEFECT), ()
    found = _found_classes(columns, label, options)
    unknown = notes.values("unknown-class", "unknown-label")
    if not found | unknown:
        raise DataError(_no_object(notes, source))
    has_background = options.truth == "mask" and (
        not columns.codings or any(BACKGROUND in coding.names for coding in columns.codings)
    )
    unused: tuple[str, ...] = ()
    if options.classes:
        free = {BACKGROUND} if has_background else set()
        missing = tuple(name for name in options.classes if name not in found | free)
        if missing:
            known = (found | unknown) - set(missing)
            choose_classes(known, missing, where=f"'{source}'")
        chosen = options.classes
    elif given is not None:
        chosen = tuple(name for name in dict.fromkeys(given) if name in found)
        unused = tuple(name for name in given if name not in found and name != BACKGROUND)
    else:
        chosen = choose_classes(found, (), where=f"'{source}'")
    if has_background and BACKGROUND not in chosen:
        chosen = (BACKGROUND, *chosen)
    _check_number(chosen, options)
    return chosen, unused


def _found_classes(columns: Columns, label: NDArray[np.int32], options: ReadOptions) -> set[str]:
    """Return the names of images' labels, or of shapes and the values of masks."""
    names = list(columns.names)
    if options.truth == "label":
        return {names[number] for number in np.unique(label) if number >= 0}
    return set(names).union(*(coding.names for coding in columns.codings))


def _no_object(notes: Notes, source: str) -> str:
    if "box-without-outline" in notes:
        return (
            f"'{source}' holds boxes alone, and masks cannot be drawn from them. Draw outlines "
            "around the objects, or set task to 'detection'."
        )
    return (
        f"'{source}' names images, but no object in any of them. Annotate some, or name another "
        "folder in the spec's data.path."
    )


def _check_number(chosen: Sequence[str], options: ReadOptions) -> None:
    most = _MOST_MASK_CLASSES if options.truth == "mask" else _MOST_CLASSES
    if len(chosen) > most:
        what = "Masks can hold" if options.truth == "mask" else "A data set can have"
        raise DataError(
            f"{what} {most:,} classes, the background included; {len(chosen):,} were found. Name "
            "those that matter in the spec's data.classes."
        )


def _of_classes(samples: list[RawSample], chosen: Sequence[str], notes: Notes) -> list[RawSample]:
    """Return the samples of the classes chosen, and note the others."""
    known = frozenset(chosen)
    for sample in samples:
        if sample.label is not None and sample.label not in known:
            notes.add("unknown-label", "", path=sample.path, value=sample.label)
    return [sample for sample in samples if sample.label in known]


def _annotations(
    columns: Columns, kept: list[int], chosen: Sequence[str], notes: Notes, source: str
) -> Annotations:
    claimed = np.array(columns.claimed, np.int32).reshape(-1, 2)[kept]
    shapes = _shapes(columns, kept, chosen, notes) if columns.shape_image else None
    masks: tuple[str | None, ...] = ()
    coding = np.full(len(kept), -1, np.int16)
    if columns.masks:
        found = [columns.masks.get(image) for image in kept]
        masks = tuple(None if mask is None else mask[0] for mask in found)
        coding[:] = [-1 if mask is None else mask[1] for mask in found]
    kinds = tuple(columns.kinds.get(image, "") for image in kept) if columns.kinds else ()
    return Annotations(source, claimed, shapes, masks, coding, tuple(columns.codings), kinds)


def _shapes(columns: Columns, kept: list[int], chosen: Sequence[str], notes: Notes) -> Shapes:
    """Return the columns of shapes, in the order of the samples without moving any value.

    What is not needed any more is let go on the way: the columns are large.
    """
    label = _labels(columns, chosen, notes)
    columns.shape_label = array("i")
    first, order = _by_sample(columns, kept)
    columns.shape_image = array("I")
    flags = np.frombuffer(columns.shape_flags, np.uint8)
    length = np.frombuffer(columns.shape_length, np.uint32)
    return Shapes(
        first=first,
        order=order,
        label=label,
        flags=flags,
        start=_starts(flags & np.uint8(KIND_BITS) == ShapeKind.RUN_LENGTHS, length),
        length=length,
        values=np.frombuffer(columns.values, np.float32)
        if columns.values
        else np.empty(0, np.float32),
        runs=np.frombuffer(columns.runs, np.uint32) if columns.runs else np.empty(0, np.uint32),
    )


def _by_sample(columns: Columns, kept: list[int]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return where each sample's shapes begin in the order of the samples, and that order."""
    position = np.full(len(columns.paths), len(kept), np.uint32)
    position[kept] = np.arange(len(kept), dtype=np.uint32)
    sample = position[np.frombuffer(columns.shape_image, np.uint32)]
    first = np.zeros(len(kept) + 1, np.int64)
    first[1:] = np.cumsum(np.bincount(sample, minlength=len(kept) + 1)[: len(kept)])
    if len(sample) < 2 or bool((sample[1:] >= sample[:-1]).all()):
        return first, np.arange(first[-1], dtype=np.uint32)
    return first, np.argsort(sample, kind="stable")[: first[-1]].astype(np.uint32)


def _starts(is_runs: NDArray[np.bool_], length: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return where each shape begins among the values, or among the runs.

    Raises:
        DataError: when there are more numbers than can be counted here.
    """
    if int(length.sum(dtype=np.int64)) >= 1 << 32:
        raise DataError(
            "The outlines have more than 4,294,967,295 numbers in all. Simplify them, or divide the "
            "data."
        )
    if not is_runs.any():
        return np.cumsum(length, dtype=np.uint32) - length
    start = np.empty(len(length), np.uint32)
    for chosen in (is_runs, ~is_runs):
        start[chosen] = np.cumsum(length[chosen], dtype=np.uint32) - length[chosen]
    return start


def _labels(columns: Columns, chosen: Sequence[str], notes: Notes) -> NDArray[np.int16]:
    """Return each shape's position in the classes chosen; those of other classes are noted."""
    places = {name: place for place, name in enumerate(chosen)}
    table = np.array([places.get(name, -1) for name in columns.names], np.int16)
    number = np.frombuffer(columns.shape_label, np.int32)
    for name, place in zip(columns.names, table, strict=True):
        if place < 0:
            of_name = np.flatnonzero(number == columns.names[name])
            images = np.unique(np.frombuffer(columns.shape_image, np.uint32)[of_name])
            paths = [columns.paths[image] for image in images]
            if len(of_name):
                notes.add_many("unknown-class", paths, value=name, count=len(of_name))
    return table[number]


def unused_finding(unused: Sequence[str], source: str) -> tuple[Finding, ...]:
    """Name the classes of which there is nothing, if there are any."""
    if not unused:
        return ()
    return (
        finding(
            "unused-class",
            "info",
            f"Passed over: {plural(len(unused), 'class', 'classes')} of which '{source}' has no "
            f"object: {listed(unused)}.",
            remedy="Nothing.",
            paths=[source],
            count=len(unused),
        ),
    )


def _nothing_left(
    columns: Columns,
    notes: Notes,
    options: ReadOptions,
    source: str,
    findings: tuple[Finding, ...],
) -> str:
    """Say why no image is left."""
    all_findings = (*findings, *notes.findings(classes=options.classes or tuple(columns.names)))
    reasons = " ".join(one.message for one in all_findings)
    return f"No image that '{source}' names can be used. {reasons}".rstrip()
