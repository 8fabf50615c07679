"""Say which images are there more than once, and whether the test is spoilt by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from automl.data.findings import finding, listed
from automl.records import Finding, Sample, TruthKind
from automl.units import plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["across_findings", "conflict_finding", "conflicting", "copy_findings"]

_LEAK = "A model may know the test image by heart, so its score would be too good"


def conflicting(hashes: Sequence[str], labels: Sequence[str] | NDArray[np.bytes_]) -> list[int]:
    """Return the positions of images whose content also stands under another label (or truth)."""
    first: dict[str, int] = {}
    found: set[str] = set()
    for position, digest in enumerate(hashes):
        if labels[first.setdefault(digest, position)] != labels[position]:
            found.add(digest)
    return [position for position, digest in enumerate(hashes) if digest in found] if found else []


def conflict_finding(paths: Sequence[str], *, kind: TruthKind = "label") -> Iterator[Finding]:
    """Name the files left out because the same image has different truths."""
    if paths and kind != "label":
        yield finding(
            "conflicting-annotations",
            "error",
            f"Left out: {plural(len(paths), 'file')} with the same content, annotated differently, "
            f"since nobody can tell which is right: {listed(paths)}.",
            remedy="Keep each image once, with its right annotation.",
            paths=paths,
        )
    elif paths:
        yield finding(
            "conflicting-labels",
            "error",
            f"Left out: {plural(len(paths), 'file')} with the same content under different "
            "classes, "
            f"since nobody can tell which is right: {listed(paths)}.",
            remedy="Keep each image in its right class only.",
            paths=paths,
        )


def copy_findings(
    samples: Sequence[Sample],
    exact: Sequence[Sequence[int]],
    near: Sequence[tuple[int, int]],
    *,
    classes: Sequence[str],
) -> Iterator[Finding]:
    """Name the images that are there more than once.

    ``classes`` are given where each image has one: look-alikes of two classes are doubtful.
    """
    if exact:
        paths = [samples[i].path for cluster in exact for i in cluster]
        extra = len(paths) - len(exact)
        yield finding(
            "exact-duplicate",
            "warning",
            f"{plural(len(exact), 'image')} stored more than once "
            f"({plural(extra, 'copy', 'copies')} "
            f"too many): {listed(paths)}. All were kept.",
            remedy="Remove the copies: they count double and add nothing.",
            paths=paths,
        )
    if near:
        paths = [samples[i].path for pair in near for i in pair]
        pairs = near if classes else ()
        mixed = [pair for pair in pairs if samples[pair[0]].label != samples[pair[1]].label]
        names = [f"{samples[a].path} ({classes[samples[a].label]})" for a, _ in mixed]
        doubt = f" In {len(mixed):,} of them the two have different classes: {listed(names)}."
        yield finding(
            "near-duplicate",
            "warning",
            f"{plural(len(near), 'pair')} of images {'looks' if len(near) == 1 else 'look'} the same "
            "though the files differ: "
            f"{listed(paths, most=2)}.{doubt if mixed else ''}",
            remedy="Check a few: copies saved again add nothing; series of one scene need a group.",
            count=len(near),
            paths=paths,
        )


def across_findings(
    samples: Sequence[Sample],
    exact: Sequence[Sequence[int]],
    near: Sequence[tuple[int, int]],
) -> Iterator[Finding]:
    """Name copies and groups that lie in more than one split."""
    spoilt = [one for one in exact if len({samples[i].split for i in one}) > 1]
    pairs = [pair for pair in near if samples[pair[0]].split is not samples[pair[1]].split]
    if spoilt or pairs:
        paths = [samples[i].path for cluster in [*spoilt, *pairs] for i in cluster]
        count = len(spoilt) + len(pairs)
        what = [f"{plural(len(spoilt), 'image')} with identical copies"] if spoilt else []
        what += [f"{plural(len(pairs), 'pair')} of look-alikes"] if pairs else []
        yield finding(
            "duplicate-across-splits",
            "error",
            f"{' and '.join(what)} {'lies' if count == 1 else 'lie'} in different splits: "
            f"{listed(paths)}. {_LEAK}.",
            remedy="Remove the copies from one split, or let the split be drawn here.",
            count=count,
            paths=paths,
        )
    yield from _divided_groups(samples)


def _divided_groups(samples: Sequence[Sample]) -> Iterator[Finding]:
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        splits[sample.group].add(sample.split)
    divided = {group for group, found in splits.items() if len(found) > 1}
    if divided:
        yield finding(
            "group-across-splits",
            "error",
            f"{plural(len(divided), 'group')} divided between splits by the data's own split: "
            f"{listed(sorted(divided))}. {_LEAK}.",
            remedy="Move each group into one split, or remove the split and let it be drawn here.",
            count=len(divided),
            paths=[sample.path for sample in samples if sample.group in divided],
        )
