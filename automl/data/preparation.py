"""From a folder of images to a :class:`Dataset` and its :class:`Audit`: the data stage, whole."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl.data import audit, copies
from automl.data.duplicates import exact_clusters, near_pairs
from automl.data.examine import FileFacts
from automl.data.findings import finding, listed
from automl.data.formats import Listing, RawSample, choose
from automl.data.split import Item, divide, group_names, join_groups
from automl.data.survey import Progress, Survey, survey
from automl.errors import DataError
from automl.records import (
    Audit,
    Dataset,
    DataSpec,
    Finding,
    PreparedData,
    Sample,
    Split,
    SplitCounts,
)
from automl.units import plural

__all__ = ["prepare"]

_SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class _Copies:
    """Positions of images that are there more than once: clusters of equals, pairs of
    look-alikes."""

    exact: list[list[int]]
    near: list[tuple[int, int]]


@dataclass(frozen=True)
class _Divided:
    """The samples with their splits, and what was found while dividing them."""

    samples: tuple[Sample, ...]
    findings: tuple[Finding, ...]


def prepare(
    spec: DataSpec, *, task: str, stored_side: int, progress: Progress | None = None
) -> PreparedData:
    """Read, audit, divide and decode a data set. The user's files are only read.

    Args:
        spec: Where the data is and how to divide it.
        task: Name of the task, which decides what formats can hold its labels.
        stored_side: Longest side of a cached image in pixels; larger ones are reduced to it.
        progress: Told in a few words what is going on.

    Raises:
        DataError: path missing or closed, no format fits, fewer than two classes, an empty split,
            a class without training images, nothing readable.
    """
    started = time.monotonic()
    say = progress or _silent
    root = Path(spec.path)
    chosen, reason = choose(root, spec.format, task=task)
    say(f"listing the images in '{root}'")
    listing = chosen.read(root, classes=spec.classes)
    looked = survey(listing, stored_side=stored_side, cache_bytes=spec.cache_bytes, progress=say)
    say("looking for duplicates and dividing the images")
    divided = _divide(listing, looked, spec)
    _check(divided.samples, listing.classes)
    dataset = _dataset(listing, looked, divided.samples)
    findings = [
        *listing.findings,
        *looked.findings,
        *audit.file_findings(listing.samples, looked.facts),
        *divided.findings,
        *audit.class_findings(divided.samples, listing.classes),
        *audit.size_findings(divided.samples),
        *audit.note_findings(looked.facts),
    ]
    record = Audit(
        root=dataset.root,
        format=chosen.name,
        format_reason=reason,
        classes=listing.classes,
        files_seen=listing.files_seen,
        files_used=len(dataset.samples),
        counts=_counts(dataset),
        groups=len({sample.group for sample in dataset.samples}),
        findings=tuple(sorted(findings, key=lambda one: _SEVERITIES.index(one.severity))),
        seconds=time.monotonic() - started,
    )
    return PreparedData(dataset, record)


def _divide(listing: Listing, looked: Survey, spec: DataSpec) -> _Divided:
    """Leave out what cannot be used, join copies, and give every image its split."""
    kept, contradicting = _usable(listing, looked)
    raw = [listing.samples[i] for i in kept]
    facts = [looked.facts[i] for i in kept]
    groups, unmatched = group_names([sample.path for sample in raw], spec.split.group)
    found = _find_copies(facts, looked, kept)
    units = _units(raw, groups, found)
    labels = {name: label for label, name in enumerate(listing.classes)}
    items = [Item(labels[one.label], unit, one.split) for one, unit in zip(raw, units, strict=True)]
    splits = divide(items, spec.split)
    samples = tuple(
        Sample(one.path, item.label, split, group, one.sha256, one.height, one.width)
        for one, item, split, group in zip(facts, items, splits, groups, strict=True)
    )
    findings = (
        *copies.conflict_finding([listing.samples[i].path for i in contradicting]),
        *copies.copy_findings(samples, found.exact, found.near, classes=listing.classes),
        *copies.across_findings(samples, found.exact, found.near),
        *audit.unmatched_findings(unmatched, spec.split.group),
        *_own_split_finding(raw),
    )
    return _Divided(samples, findings)


def _usable(listing: Listing, looked: Survey) -> tuple[list[int], list[int]]:
    """Return the positions to keep, and those left out because their labels contradict."""
    readable = [i for i, one in enumerate(looked.facts) if one.is_usable]
    if not readable:
        raise DataError(_nothing_readable(listing, looked))
    contradicting = [
        readable[position]
        for position in copies.conflicting(
            [looked.facts[i].sha256 for i in readable], [listing.samples[i].label for i in readable]
        )
    ]
    left_out = set(contradicting)
    return [i for i in readable if i not in left_out], contradicting


def _find_copies(facts: Sequence[FileFacts], looked: Survey, kept: Sequence[int]) -> _Copies:
    exact = exact_clusters([one.sha256 for one in facts])
    repeated = {position for cluster in exact for position in cluster[1:]}
    single = [position for position in range(len(kept)) if position not in repeated]
    rows = np.array([kept[position] for position in single], np.intp)
    near = near_pairs(looked.thumbnails, rows)
    return _Copies(exact, [(single[first], single[second]) for first, second in near])


def _units(raw: Sequence[RawSample], groups: Sequence[str], found: _Copies) -> list[str]:
    """Join groups that hold copies of each other, among the images whose split is still open."""
    is_open = [sample.split in (None, Split.TRAIN) for sample in raw]
    return join_groups(
        groups,
        [[i for i in cluster if is_open[i]] for cluster in found.exact],
        [pair for pair in found.near if is_open[pair[0]] and is_open[pair[1]]],
    )


def _own_split_finding(raw: Sequence[RawSample]) -> Iterator[Finding]:
    counts = Counter(sample.split for sample in raw if sample.split is not None)
    if not counts:
        return
    own = [split for split in Split if counts[split]]
    text = ", ".join(f"{split} ({counts[split]:,})" for split in own)
    lacking = [split for split in Split if not counts[split]]
    drawn = f" {' and '.join(lacking)} was drawn from its training images." if lacking else ""
    loose = len(raw) - counts.total()
    rest = f" {plural(loose, 'image')} without a split joined the training images." if loose else ""
    yield finding(
        "own-split",
        "info",
        f"The data brings its own split, which was kept: {text}.{drawn}{rest}",
        remedy="Nothing; remove the split from the data to have it drawn here.",
        count=counts.total(),
    )


def _check(samples: Sequence[Sample], classes: Sequence[str]) -> None:
    """Refuse data that nothing can be learnt from or tested on.

    Raises:
        DataError: see :func:`prepare`.
    """
    if len(classes) < 2:
        raise DataError(
            f"A classifier needs at least two classes; only {listed(classes)} was found. Put the "
            "images "
            "of each class into a folder of its own (data/pass/1.jpg, data/fail/2.jpg)."
        )
    counts = Counter((sample.split, sample.label) for sample in samples)
    for label, name in enumerate(classes):
        total = sum(counts[split, label] for split in Split)
        if not total:
            raise DataError(
                f"No image of the class '{name}' can be used: every one is damaged, or stands "
                "under "
                "another class too. Replace them, or leave the class out of data.classes."
            )
        if not counts[Split.TRAIN, label]:
            raise DataError(
                f"The class '{name}' has {plural(total, 'image')}, but none to learn from in the "
                "train "
                "split. Add images of it to the data's train split."
            )
    for split in Split:
        if not any(counts[split, label] for label in range(len(classes))):
            raise DataError(
                f"The {split} split is empty ({plural(len(samples), 'image')} in all). Add images "
                "or "
                f"groups (at least three a class), or raise data.split.{split}."
            )


def _dataset(listing: Listing, looked: Survey, samples: tuple[Sample, ...]) -> Dataset:
    heights = [sample.height for sample in samples]
    widths = [sample.width for sample in samples]
    typical = (round(statistics.median(heights)), round(statistics.median(widths)))
    is_uniform = len(set(zip(heights, widths, strict=True))) == 1
    return Dataset(
        root=str(listing.root.absolute()),
        classes=listing.classes,
        samples=samples,
        frame_size=typical if is_uniform else None,
        typical_frame=typical,
        fingerprint=_fingerprint(samples, listing.classes),
        cache=looked.cache,
    )


def _fingerprint(samples: Sequence[Sample], classes: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for line in sorted(f"{one.sha256} {one.split} {classes[one.label]}\n" for one in samples):
        digest.update(line.encode())
    return digest.hexdigest()


def _counts(dataset: Dataset) -> tuple[SplitCounts, ...]:
    counts = Counter((sample.split, sample.label) for sample in dataset.samples)
    labels = range(len(dataset.classes))
    return tuple(SplitCounts(split, tuple(counts[split, i] for i in labels)) for split in Split)


def _nothing_readable(listing: Listing, looked: Survey) -> str:
    found = audit.file_findings(listing.samples, looked.facts)
    reasons = " ".join(one.message for one in found)
    return f"None of the images in '{listing.root}' can be read. {reasons}".rstrip()


def _silent(_: str) -> None:
    return
