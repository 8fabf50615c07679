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

from automl.data import audit, audit_classes, copies
from automl.data.duplicates import exact_clusters, near_pairs
from automl.data.examine import FileFacts
from automl.data.findings import finding
from automl.data.formats import Listing, RawSample, ReadOptions, choose
from automl.data.known import Known, known_of
from automl.data.split import Item, divide, divide_defects, group_names, join_groups
from automl.data.sufficiency import check_sufficient
from automl.data.survey import Progress, Survey, survey
from automl.records import (
    Audit,
    Dataset,
    DataSpec,
    Finding,
    PreparedData,
    Sample,
    Split,
    SplitCounts,
    TruthKind,
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
    spec: DataSpec, *, truth: TruthKind, stored_side: int, progress: Progress | None = None
) -> PreparedData:
    """Read, audit, divide and decode a data set. The user's files are only read.

    Args:
        spec: Where the data is and how to divide it.
        truth: What must be known of each image, which decides what formats can hold it.
        stored_side: Longest side of a cached image in pixels; larger ones are reduced to it.
        progress: Told in a few words what is going on.

    Raises:
        DataError: path missing or closed, no format fits, too few classes, an empty split, a class
            without training images, nothing readable, a cache for annotations that cannot be written.
    """
    started = time.monotonic()
    say = progress or _silent
    root = Path(spec.path)
    chosen, reason = choose(root, spec.format, truth=truth)
    say(f"listing the images in '{root}'")
    listing = chosen.read(root, options=_options(spec, truth))
    looked = survey(listing, stored_side=stored_side, cache_bytes=spec.cache_bytes, progress=say)
    known = known_of(listing, looked, kind=truth, keep_classes=bool(spec.classes), progress=say)
    say("looking for duplicates and dividing the images")
    divided = _divide(listing, looked, known, spec)
    check_sufficient(divided.samples, known.classes, truth)
    dataset = _dataset(listing, looked, known, divided.samples)
    counts = _counts(dataset, known)
    findings = [
        *listing.findings,
        *looked.findings,
        *audit.file_findings(listing.samples, looked.facts),
        *known.findings,
        *divided.findings,
        *audit_classes.class_findings(dataset, counts),
        *audit.size_findings(divided.samples),
        *audit.note_findings(looked.facts),
    ]
    record = Audit(
        root=dataset.root,
        format=chosen.name,
        format_reason=reason,
        classes=known.classes,
        files_seen=listing.files_seen,
        files_used=len(dataset.samples),
        counts=counts,
        groups=len({sample.group for sample in dataset.samples}),
        findings=tuple(sorted(findings, key=lambda one: _SEVERITIES.index(one.severity))),
        seconds=time.monotonic() - started,
    )
    return PreparedData(dataset, record)


def _options(spec: DataSpec, truth: TruthKind) -> ReadOptions:
    return ReadOptions(
        truth,
        classes=spec.classes,
        unannotated=spec.unannotated,
        foreground=spec.foreground,
        colors=spec.colors,
    )


def _divide(listing: Listing, looked: Survey, known: Known, spec: DataSpec) -> _Divided:
    """Join copies, and give every image its split."""
    raw = [listing.samples[i] for i in known.positions]
    facts = [looked.facts[i] for i in known.positions]
    groups, unmatched = group_names([sample.path for sample in raw], spec.split.group)
    found = _find_copies(facts, looked, known)
    units = _units(raw, groups, found)
    items = [
        Item(shown, unit, one.split)
        for one, shown, unit in zip(raw, known.shown, units, strict=True)
    ]
    splits = (divide_defects if known.kind == "defect" else divide)(items, spec.split)
    samples = tuple(
        Sample(one.path, item.classes, split, group, one.sha256, one.height, one.width)
        for one, item, split, group in zip(facts, items, splits, groups, strict=True)
    )
    findings = (
        *copies.conflict_finding(known.contradicting, kind=known.kind),
        *copies.copy_findings(samples, found.exact, found.near, classes=_names(known)),
        *copies.across_findings(samples, found.exact, found.near),
        *audit.unmatched_findings(unmatched, spec.split.group),
        *_own_split_finding(raw),
        *(audit_classes.defects_moved(samples, raw) if known.kind == "defect" else ()),
    )
    return _Divided(samples, findings)


def _names(known: Known) -> tuple[str, ...]:
    """Return the classes that look-alikes are compared by; empty where an image has no single one."""
    return known.classes if known.kind == "label" else ()


def _find_copies(facts: Sequence[FileFacts], looked: Survey, known: Known) -> _Copies:
    """Find images that are there more than once.

    Look-alikes are not looked for where good images are told from such with a defect: parts before a
    fixed camera all look alike, and a defect is small.
    """
    exact = exact_clusters([one.sha256 for one in facts])
    if known.kind == "defect":
        return _Copies(exact, [])
    repeated = {position for cluster in exact for position in cluster[1:]}
    single = [position for position in range(len(facts)) if position not in repeated]
    rows = np.array([known.positions[position] for position in single], np.intp)
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
    verb = "was" if len(lacking) == 1 else "were"
    drawn = f" {' and '.join(lacking)} {verb} drawn from its training images." if lacking else ""
    loose = len(raw) - counts.total()
    rest = f" {plural(loose, 'image')} without a split joined the training images." if loose else ""
    yield finding(
        "own-split",
        "info",
        f"The data brings its own split, which was kept: {text}.{drawn}{rest}",
        remedy="Nothing; remove the split from the data to have it drawn here.",
        count=counts.total(),
    )


def _dataset(
    listing: Listing, looked: Survey, known: Known, samples: tuple[Sample, ...]
) -> Dataset:
    heights = [sample.height for sample in samples]
    widths = [sample.width for sample in samples]
    typical = (round(statistics.median(heights)), round(statistics.median(widths)))
    is_uniform = len(set(zip(heights, widths, strict=True))) == 1
    return Dataset(
        root=str(listing.root.absolute()),
        classes=known.classes,
        samples=samples,
        frame_size=typical if is_uniform else None,
        typical_frame=typical,
        fingerprint=_fingerprint(samples, known),
        cache=looked.cache,
        truth_kind=known.kind,
        truth=known.truth,
    )


def _fingerprint(samples: Sequence[Sample], known: Known) -> str:
    """Return the SHA-256 over contents, truths and splits, in an order that names do not change."""
    digest = hashlib.sha256()
    if known.kind != "label":  # labels are in the lines by name
        digest.update("\n".join((known.kind, *known.classes, "")).encode())
    lines = (
        f"{one.sha256} {one.split} {truth.hex() if isinstance(truth, bytes) else truth}\n"
        for one, truth in zip(samples, known.digests, strict=True)
    )
    for line in sorted(lines):
        digest.update(line.encode())
    return digest.hexdigest()


def _counts(dataset: Dataset, known: Known) -> tuple[SplitCounts, ...]:
    images: Counter[tuple[Split, int]] = Counter()
    for sample in dataset.samples:
        images.update((sample.split, label) for label in sample.classes)
    labels = range(len(dataset.classes))
    return tuple(
        SplitCounts(
            split,
            tuple(images[split, i] for i in labels),
            known.totals(dataset.indices(split)) if known.kind in ("boxes", "mask") else (),
        )
        for split in Split
    )


def _silent(_: str) -> None:
    return
