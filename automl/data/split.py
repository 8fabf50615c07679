"""Divide images into train, val and test: stratified, grouped, seeded, the same on every machine.

The order of groups comes from a hash of seed and name, never from the file system. Groups are dealt
out one by one, large ones first, each to the split where it brings the counts per class closest to
what was asked (least growth of the chi-square distance); a class that a split would lack is moved
there.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from automl.errors import DataError
from automl.records import Split, SplitSpec

__all__ = ["Item", "divide", "divide_defects", "group_names", "join_groups"]

_JOINED_SHARE = 0.05
_JOINED_LEAST = 10
"""Near duplicates are joined into one group up to this share of the images (or this number): a
longer chain of look-alikes means that the whole set looks alike, and joining it would spoil the
split."""


_Content = tuple[tuple[int, int], ...]
"""Class and number of images that show it, for each class in a unit."""

_NOTHING = (-1,)
"""Images that show no class are dealt out evenly as if that were one."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image to place. ``unit`` must not be divided; ``own`` is the split the data gives it."""

    classes: tuple[int, ...]
    unit: str
    own: Split | None


def group_names(paths: Sequence[str], pattern: str | None) -> tuple[list[str], list[str]]:
    """Return each path's group, and the paths that the pattern does not match.

    The group is the first group of the first match; an unmatched path is a group of its own.

    Raises:
        DataError: when the pattern cannot be compiled or has no group.
    """
    if pattern is None:
        return list(paths), []
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(
            f"data.split.group '{pattern}' is no regular expression ({error})."
        ) from error
    if not expression.groups:
        raise DataError(
            f"data.split.group '{pattern}' has no group. Put parentheses around the part of the "
            "path "
            "that names what must not be split, e.g. '([^/]+)_[0-9]+\\\\.jpg'."
        )
    groups: list[str] = []
    unmatched: list[str] = []
    for path in paths:
        match = expression.search(path)
        name = match.group(1) if match else None
        if not name:
            unmatched.append(path)
        groups.append(name or path)
    return groups, unmatched


def join_groups(
    groups: Sequence[str],
    same: Iterable[Sequence[int]],
    alike: Iterable[tuple[int, int]],
) -> list[str]:
    """Return the unit of each image: its group, joined with those that hold copies of its images.

    Args:
        groups: Group of each image.
        same: Clusters of positions with equal content; always joined.
        alike: Pairs that look the same; joined while the unit stays small.
    """
    units = _Union(Counter(groups))
    for cluster in same:
        for other in cluster[1:]:
            units.join(groups[cluster[0]], groups[other])
    limit = max(_JOINED_LEAST, int(len(groups) * _JOINED_SHARE))
    for first, second in alike:
        units.join(groups[first], groups[second], limit=limit)
    return [units.root(group) for group in groups]


def divide(items: Sequence[Item], spec: SplitSpec) -> list[Split]:
    """Return the split of each item.

    Splits that the data brings are kept. What it lacks is taken from its training images: without
    own splits all three are drawn; with train and test, val is drawn from train; with train and
    val, test is.

    Raises:
        DataError: when the data's own splits have no training images.
    """
    own = {item.own for item in items if item.own is not None}
    if own and Split.TRAIN not in own:
        raise DataError(
            f"The data brings its own split, but only {' and '.join(sorted(own))}; nothing is left "
            "to "
            "learn from. Add a 'train' folder (or rows), or remove the split from the data."
        )
    shares = _shares(own, spec)
    pool = [i for i, item in enumerate(items) if item.own in (None, Split.TRAIN)]
    drawn = _draw([items[i] for i in pool], shares, spec.seed)
    result = [item.own or Split.TRAIN for item in items]
    for position, split in zip(pool, drawn, strict=True):
        result[position] = split
    return result


def divide_defects(items: Sequence[Item], spec: SplitSpec) -> list[Split]:
    """Return the split of each item where class 0 is good and only good images may be learnt from.

    What is good is divided as by :func:`divide`. Images with a defect are kept in the split that the
    data gives them, except that those in its training images go to the test; without own splits they
    are divided between val and test, and so is what shares a unit with them.

    Raises:
        DataError: as :func:`divide`.
    """
    has_own = any(item.own is not None for item in items)
    defective = {item.unit for item in items if 1 in item.classes}
    late = [
        i
        for i, item in enumerate(items)
        if (1 in item.classes if has_own else item.unit in defective)
    ]
    result: list[Split] = [Split.TEST] * len(items)
    if has_own:
        for i in late:
            own = items[i].own
            result[i] = own if own in (Split.VAL, Split.TEST) else Split.TEST
    elif late:
        total = spec.val + spec.test
        shares = {Split.VAL: spec.val / total, Split.TEST: spec.test / total}
        for i, split in zip(late, _draw([items[i] for i in late], shares, spec.seed), strict=True):
            result[i] = split
    chosen = frozenset(late)
    rest = [i for i in range(len(items)) if i not in chosen]
    for i, split in zip(rest, divide([items[i] for i in rest], spec), strict=True):
        result[i] = split
    return result


def _shares(own: set[Split], spec: SplitSpec) -> dict[Split, float]:
    """Return the share of the training images that each split takes."""
    asked = {Split.VAL: spec.val, Split.TEST: spec.test}
    given = sum(share for split, share in asked.items() if split in own)
    left = {split: share / (1.0 - given) for split, share in asked.items() if split not in own}
    return {Split.TRAIN: 1.0 - sum(left.values()), **left}


def _draw(pool: Sequence[Item], shares: Mapping[Split, float], seed: int) -> list[Split]:
    if len(shares) == 1:
        return [Split.TRAIN] * len(pool)
    units = _contents(pool)
    order = sorted(units, key=lambda unit: (-_size(units[unit]), _rank(unit, seed)))
    deal = _Deal(shares, _totals(pool))
    for unit in order:
        deal.place(unit, units[unit])
    deal.fill_gaps(units, order)
    return [deal.placed[item.unit] for item in pool]


def _contents(pool: Sequence[Item]) -> dict[str, _Content]:
    """Return each unit's images per class. Equal contents share one tuple: most units are one image."""
    shared: dict[_Content, _Content] = {}
    units: dict[str, _Content] = {}
    ordered = sorted(pool, key=lambda item: item.unit)
    for unit, items in groupby(ordered, key=lambda item: item.unit):
        content = tuple(sorted(_totals(items).items()))
        units[unit] = shared.setdefault(content, content)
    return units


def _totals(items: Iterable[Item]) -> Counter[int]:
    """Return how many images show each class."""
    return Counter(label for item in items for label in item.classes or _NOTHING)


def _size(content: _Content) -> int:
    return sum(number for _, number in content)


class _Deal:
    """Units placed so far, and how far each split is from its share of each class."""

    def __init__(self, shares: Mapping[Split, float], totals: Counter[int]) -> None:
        self.placed: dict[str, Split] = {}
        self._shares = {split: share for split, share in shares.items() if share > 0}
        self._totals = totals
        self._counts: dict[Split, Counter[int]] = {split: Counter() for split in self._shares}

    def place(self, unit: str, content: _Content) -> None:
        """Put a unit where it does the most good."""
        self._move(unit, content, min(self._shares, key=lambda split: self._growth(split, content)))

    def fill_gaps(self, units: Mapping[str, _Content], order: Sequence[str]) -> None:
        """Give each split that lacks a class the smallest unit of it that others can spare."""
        for split in self._shares:
            for label in self._totals:
                if not self._counts[split][label]:
                    self._fill_gap(split, label, units, order)

    def _fill_gap(
        self, split: Split, label: int, units: Mapping[str, _Content], order: Sequence[str]
    ) -> None:
        holders: dict[Split, list[str]] = defaultdict(list)
        for unit in order:
            if any(label == other for other, _ in units[unit]):
                holders[self.placed[unit]].append(unit)
        richest = max(holders, key=lambda one: len(holders[one]), default=split)
        if len(holders[richest]) < 2:
            return  # no split can spare one: the audit says so
        unit = holders[richest][-1]
        self._counts[richest].subtract(dict(units[unit]))
        self._move(unit, units[unit], split)

    def _move(self, unit: str, content: _Content, split: Split) -> None:
        self.placed[unit] = split
        self._counts[split].update(dict(content))

    def _growth(self, split: Split, content: _Content) -> float:
        """Growth of sum over classes of (count - target)^2 / target, if the unit came here."""
        growth = 0.0
        for label, number in content:
            target = self._totals[label] * self._shares[split]
            missing = target - self._counts[split][label]
            growth += (number * number - 2.0 * number * missing) / target
        return growth


class _Union:
    """Disjoint sets of names; the root is the smallest name, so that order does not matter."""

    def __init__(self, sizes: Counter[str]) -> None:
        self._parent: dict[str, str] = {}
        self._sizes = sizes

    def root(self, name: str) -> str:
        while name in self._parent:
            above = self._parent[name]
            if above in self._parent:
                self._parent[name] = self._parent[above]
            name = above
        return name

    def join(self, first: str, second: str, *, limit: int | None = None) -> None:
        low, high = sorted((self.root(first), self.root(second)))
        size = self._sizes[low] + self._sizes[high]
        if low == high or (limit is not None and size > limit):
            return
        self._parent[high] = low
        self._sizes[low] = size


def _rank(unit: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{unit}".encode()).digest()
