"""All findings of a small real data set, together, through the records."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from automl.quality import assess
from automl.records import DataQuality, Split, dump_record, load_record
from automl.tasks import open_task

GROUP = r"(pa_[^/]+)_[0-9]+[.]jpg$"


@pytest.fixture
def some_sheets(paper_images: Path, tmp_path: Path) -> Path:
    for label in ("pass", "fail"):
        (tmp_path / label).mkdir()
        for path in sorted((paper_images / label).glob("*.jpg"))[::6]:
            shutil.copyfile(path, tmp_path / label / path.name)
    return tmp_path


def test_a_real_data_set_is_assessed_whole(some_sheets: Path, opened: Callable) -> None:
    data, store = opened(some_sheets, group=GROUP)
    task = open_task("classification", classes=data.dataset.classes)
    found = assess(data, store, task, weights="auto", seconds=600, seed=0)
    assert load_record(DataQuality, dump_record(found)) == found
    assert found.notes == ()
    assert found.label_errors is not None
    assert found.label_errors.checked == len(data.dataset.samples)
    curve = found.learning_curve
    assert curve is not None
    learnt = [point.images for point in curve.points]
    assert learnt == sorted(set(learnt))
    assert learnt[-1] <= len(data.dataset.samples) - len(data.dataset.indices(Split.TEST))
    assert all(point.low <= point.mean <= point.high for point in curve.points)
    train = len(data.dataset.indices(Split.TRAIN))
    assert [point.images for point in curve.forecasts] == [2 * train, 4 * train]
    best = found.best_rule("balanced-accuracy")
    assert best is not None
    assert best.test_scores.samples == len(data.dataset.indices(Split.TEST))
    own = best.test_scores.values["balanced-accuracy"]
    assert found.sufficient_rule("balanced-accuracy", own + 0.009) == best
    assert found.sufficient_rule("balanced-accuracy", own + 0.011) is None
    assert found.best_rule("map") is None


def test_what_was_not_done_for_want_of_time_is_said(by_brightness: Path, opened: Callable) -> None:
    data, store = opened(by_brightness)
    task = open_task("classification", classes=data.dataset.classes)
    found = assess(data, store, task, weights="none", seconds=0.001, seed=0)
    assert [rule.name for rule in found.rules] == ["measurement-limits"]
    assert found.notes[-1] == "There was no time to try the rule 'average-image'."


def test_the_same_seed_gives_the_same(by_brightness: Path, opened: Callable) -> None:
    data, store = opened(by_brightness)
    task = open_task("classification", classes=data.dataset.classes)
    first, second = (
        assess(data, store, task, weights="none", seconds=600, seed=3) for _ in range(2)
    )
    assert first.learning_curve is not None
    assert second.learning_curve is not None
    assert first.learning_curve.points == second.learning_curve.points
    assert first.learning_curve.advice == second.learning_curve.advice
    assert [rule.rule for rule in first.rules] == [rule.rule for rule in second.rules]


def test_what_the_data_does_not_allow_is_said(by_brightness: Path, opened: Callable) -> None:
    for path in sorted(by_brightness.rglob("*.png")):
        if int(path.stem) >= 6:
            path.unlink()
    data, store = opened(by_brightness)
    task = open_task("classification", classes=data.dataset.classes)
    found = assess(data, store, task, weights="none", seconds=600, seed=0)
    learnt = len(data.dataset.samples) - len(data.dataset.indices(Split.TEST))
    assert (found.label_errors, found.learning_curve) == (None, None)
    assert found.notes[1:] == (
        f"It was not looked for wrong labels: {learnt} images with 2 labels outside the test split "
        "are too few.",
        f"It was not estimated what more images would bring: {learnt} images with 2 labels outside "
        "the test split are too few.",
    )
