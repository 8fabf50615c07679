"""Say what the test split shares with what was learnt from, and the score without it.

The audit has already compared every image with every other; this reads what it found. Splits that are
drawn here keep copies and groups together, so leaks come with data that brings its own split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from automl.data.duplicates import exact_clusters
from automl.records import (
    Audit,
    Dataset,
    Leakage,
    PreparedData,
    Sample,
    Split,
)

__all__ = ["find_leakage"]

_NEAR_RULE = "near-duplicate"


def find_leakage(data: PreparedData) -> Leakage:
    """Return the copies and groups that lie in more than one split."""
    samples = data.dataset.samples
    pairs = list(dict.fromkeys([*_copies(samples), *_look_alikes(data.dataset, data.audit)]))
    splits: dict[str, set[Split]] = defaultdict(set)
    for sample in samples:
        splits[sample.group].add(sample.split)
    groups = sorted(group for group, found in splits.items() if len(found) > 1)
    by_path = {sample.path: sample for sample in samples}
    touched = {path for pair in pairs for path in pair}
    divided = set(groups)
    return Leakage(
        pairs=tuple(pairs),
        groups=tuple(groups),
        paths=tuple(
            sample.path
            for sample in by_path.values()
            if sample.split is Split.TEST and (sample.path in touched or sample.group in divided)
        ),
        test_images=sum(sample.split is Split.TEST for sample in samples),
    )


def _copies(samples: Sequence[Sample]) -> Iterator[tuple[str, str]]:
    """Yield the files of equal content in different splits, each with the next of another split."""
    for cluster in exact_clusters([sample.sha256 for sample in samples]):
        ordered = sorted((samples[i] for i in cluster), key=_split_order)
        by_split = [
            [one for one in ordered if one.split is split]
            for split in Split
            if any(one.split is split for one in ordered)
        ]
        for earlier, later in pairwise(by_split):
            for one in later:
                yield earlier[0].path, one.path


def _look_alikes(dataset: Dataset, audit: Audit) -> Iterator[tuple[str, str]]:
    by_path = {sample.path: sample for sample in dataset.samples}
    for found in audit.findings:
        if found.rule != _NEAR_RULE:
            continue
        for first, second in zip(found.paths[::2], found.paths[1::2], strict=True):
            one, other = by_path.get(first), by_path.get(second)
            if one is None or other is None or one.split is other.split:
                continue
            early, late = sorted((one, other), key=_split_order)
            yield early.path, late.path


def _split_order(sample: Sample) -> int:
    return tuple(Split).index(sample.split)
