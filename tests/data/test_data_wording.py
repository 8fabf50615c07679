"""Findings read alike for one thing and for many, and are told of the kind of data that they concern."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data import annotation_notes, prepare, truth_problems
from automl.data.annotation_notes import Notes, Rules
from automl.data.findings import worded
from automl.records import DataSpec, PreparedData, SplitSpec, TruthKind

RULES: dict[str, Rules] = {
    "readers": annotation_notes._ENTRY_RULES,
    "compilation": truth_problems._RULES,
}
PLURAL_VERBS = re.compile(
    r"\d [a-z ]+ that (describe|reach|enclose|name|count|show|contradict|were|are)\b"
)
SINGULAR_VERBS = re.compile(
    r"\d [a-z ]+ that (describes|reaches|encloses|names|counts|shows|contradicts)\b"
)


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 thing is it"), (2, "2 things are them"), (0, "0 things are them")]
)
def test_a_text_is_worded_for_one_thing_or_many(count: int, text: str) -> None:
    template = "{what} {is|are} {it|them}"
    what = "1 thing" if count == 1 else f"{count} things"
    assert worded(template, count).format(what=what) == text


@pytest.mark.parametrize("table", RULES)
def test_every_rule_reads_well_for_one_thing_and_for_two(table: str) -> None:
    rules = RULES[table]
    for rule in rules:
        for count, wrong in ((1, PLURAL_VERBS), (2, SINGULAR_VERBS)):
            notes = Notes("source", rules)
            for at in range(count):
                notes.add(rule, "", path=f"{at}.png")
            (found,) = notes.findings(classes=("cell",))
            assert not re.search(r"[{}|]", found.message + found.remedy), found
            assert not wrong.search(found.message), found
            if count == 1:
                assert not re.search(r"\b(them|They|they)\b", found.remedy), found


def _folders(root: Path, *folders: str, each: int = 12) -> None:
    for number, folder in enumerate(folders):
        for at in range(each):
            cells = np.random.default_rng([number, at]).integers(0, 256, (6, 8, 3), np.uint8)
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(cells).resize((40, 30)).save(root / folder / f"{number}-{at}.png")


def _prepared(root: Path, form: str, truth: TruthKind) -> PreparedData:
    split = SplitSpec(val=0.2, test=0.2, group=None, seed=0)
    return prepare(DataSpec(str(root), form, (), split, 10**8), truth=truth, stored_side=64)


def _list(root: Path) -> tuple[str, TruthKind]:
    _folders(root, "nut", "screw")
    names = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*.png"))
    rows = [f"{name},{name.split('/')[0]},train" for name in names]
    (root / "labels.csv").write_text("\n".join(["path,label,split", *rows]))
    return "csv", "label"


def _good_parts(root: Path) -> tuple[str, TruthKind]:
    _folders(root, "train/good", "train/good", each=15)
    return "mvtec", "defect"


@pytest.mark.parametrize("write", [_list, _good_parts])
def test_images_drawn_from_the_training_images_are_no_defects(
    tmp_path: Path, write: Callable[[Path], tuple[str, TruthKind]]
) -> None:
    form, truth = write(tmp_path)
    audit = _prepared(tmp_path, form, truth).audit
    said = {found.rule: found.message for found in audit.findings}
    assert "defect-in-train" not in said
    used = audit.files_used
    train = next(one for one in audit.counts if one.split == "train")
    assert sum(train.per_class) < used
    assert said["own-split"] == (
        f"The data brings its own split, which was kept: train ({used}). val and test were drawn from "
        "its training images."
    )
