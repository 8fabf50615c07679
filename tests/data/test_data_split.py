"""Splits are stratified, grouped, seeded, and independent of the order of the files."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from automl.data.split import Item, divide, group_names, join_groups
from automl.errors import DataError
from automl.records import PreparedData, Split, SplitSpec

SPEC = SplitSpec(val=0.15, test=0.2, group=None, seed=0)
Draw = Callable[..., Image.Image]


def _items(per_class: list[int], group_size: int = 1) -> list[Item]:
    return [
        Item((label,), f"{label}-{i // group_size}", None)
        for label, number in enumerate(per_class)
        for i in range(number)
    ]


@pytest.mark.parametrize("per_class", [[100, 100], [1000, 40], [20, 20, 20, 300]])
def test_single_images_are_divided_exactly(per_class: list[int]) -> None:
    items = _items(per_class)
    counts = Counter(
        (item.classes[0], split) for item, split in zip(items, divide(items, SPEC), strict=True)
    )
    for label, number in enumerate(per_class):
        assert counts[label, Split.VAL] == pytest.approx(number * 0.15, abs=1)
        assert counts[label, Split.TEST] == pytest.approx(number * 0.2, abs=1)


def test_groups_stay_whole_and_classes_balanced() -> None:
    dice = random.Random(0)
    items = [
        Item((dice.randrange(3),), f"g{group}", None)
        for group in range(80)
        for _ in range(dice.randrange(1, 12))
    ]
    splits = divide(items, SPEC)
    by_unit: dict[str, set[Split]] = {}
    for item, split in zip(items, splits, strict=True):
        by_unit.setdefault(item.unit, set()).add(split)
    assert all(len(found) == 1 for found in by_unit.values())
    for label in range(3):
        of_class = [s for i, s in zip(items, splits, strict=True) if label in i.classes]
        assert of_class.count(Split.TEST) / len(of_class) == pytest.approx(0.2, abs=0.05)
        assert of_class.count(Split.VAL) / len(of_class) == pytest.approx(0.15, abs=0.05)


def test_the_order_of_files_does_not_matter_and_the_seed_does() -> None:
    items = _items([50, 70], group_size=3)
    straight = dict(zip([i.unit for i in items], divide(items, SPEC), strict=True))
    shuffled = random.Random(1).sample(items, len(items))
    assert dict(zip([i.unit for i in shuffled], divide(shuffled, SPEC), strict=True)) == straight
    other = divide(items, SplitSpec(0.15, 0.2, None, 1))
    assert dict(zip([i.unit for i in items], other, strict=True)) != straight


def test_every_split_gets_each_class_that_has_three_groups() -> None:
    items = _items([200, 3])
    splits = divide(items, SplitSpec(val=0.05, test=0.05, group=None, seed=0))
    small = [split for item, split in zip(items, splits, strict=True) if item.classes[0] == 1]
    assert set(small) == set(Split)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({Split.TRAIN: 60, Split.VAL: 20, Split.TEST: 20}, (60, 20, 20)),
        ({Split.TRAIN: 80, Split.TEST: 20}, (65, 15, 20)),
        ({Split.TRAIN: 85, Split.VAL: 15}, (65, 15, 20)),
        ({Split.TRAIN: 100}, (65, 15, 20)),
        ({Split.TRAIN: 70, None: 10, Split.TEST: 20}, (65, 15, 20)),
    ],
)
def test_own_splits_are_kept_and_what_lacks_comes_from_train(
    own: dict[Split | None, int], expected: tuple[int, int, int]
) -> None:
    kinds = [split for split, number in own.items() for _ in range(number)]
    items = [Item((0,), str(i), split) for i, split in enumerate(kinds)]
    result = divide(items, SPEC)
    assert tuple(result.count(split) for split in Split) == expected
    for item, split in zip(items, result, strict=True):
        assert item.own in (None, Split.TRAIN) or split is item.own


def test_own_splits_without_training_images_are_refused() -> None:
    with pytest.raises(DataError, match="only test and val; nothing is left to learn from"):
        divide([Item((0,), "a", Split.TEST), Item((0,), "b", Split.VAL)], SPEC)


def test_the_first_group_of_the_expression_names_the_unit() -> None:
    groups, unmatched = group_names(["a/s1_0.png", "a/s1_1.png", "b/x.png"], r"(s\d)_")
    assert (groups, unmatched) == (["s1", "s1", "b/x.png"], ["b/x.png"])


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "is no regular expression"), ("abc", "has no group. Put parentheses around")],
)
def test_a_bad_expression_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        group_names(["a"], pattern)


def test_copies_join_groups_but_a_chain_of_look_alikes_does_not_swallow_the_set() -> None:
    groups = [f"g{i:03d}" for i in range(100)]
    units = join_groups(groups, [[0, 50]], [(1, 2), (2, 3)])
    assert (units[50], units[1], units[2], units[3]) == ("g000", "g001", "g001", "g001")
    chain = join_groups(groups, [], [(i, i + 1) for i in range(99)])
    assert max(Counter(chain).values()) == 10


def test_a_group_divided_by_the_data_s_own_split_is_an_error(
    tmp_path: Path, draw: Draw, prepared: Callable[..., PreparedData]
) -> None:
    for at, split in enumerate(("train", "val", "test")):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(4):
                name = f"sheet{0 if label == 'a' and i == 0 else 10 * at + i}{label}_{at}{i}.png"
                draw(at * 100 + i * 10 + ord(label)).save(tmp_path / split / label / name)
    result = prepared(tmp_path, group=r"(sheet\d+[ab])_")
    found = next(one for one in result.audit.findings if one.rule == "group-across-splits")
    assert (found.severity, found.count) == ("error", 1)
    assert found.message.startswith(
        "1 group divided between splits by the data's own split: 'sheet0a'. "
    )
    assert set(found.paths) == {
        "train/a/sheet0a_00.png", "val/a/sheet0a_10.png", "test/a/sheet0a_20.png",
    }  # fmt: skip
