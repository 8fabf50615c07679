"""Anomaly detection: synthetic defects, and what a report shows of answers."""

from __future__ import annotations

import numpy as np
import pytest

from automl.data.truth import DefectTruth, LabelTruth
from automl.predictor import Anomaly
from automl.tasks import Judged, Task, open_task
from automl.tasks.anomaly_synthetic import COPIES, add_defect

CLASSES = ("good", "defect")
FRAME = np.random.default_rng(0).normal(128, 12, (96, 128, 3)).clip(0, 255).astype(np.uint8)


def detector() -> Task:
    return open_task("anomaly", classes=CLASSES)


def test_synthetic_defects_are_made_only_where_there_are_no_real_ones() -> None:
    task, good = detector(), Judged(FRAME, DefectTruth(0, None))
    made = task.judged(good, present=frozenset({0}), seed=1)
    assert [one.truth.label for one in made] == [0] + [1] * COPIES  # type: ignore[union-attr]
    assert made[0] is good
    assert all(one.truth.is_synthetic for one in made[1:])  # type: ignore[union-attr]
    assert task.judged(good, present=frozenset({0, 1}), seed=1) == (good,)
    bad = Judged(FRAME, DefectTruth(1, None))
    assert task.judged(bad, present=frozenset({0, 1}), seed=1) == (bad,)


@pytest.mark.parametrize("size", [(96, 128), (17, 9), (1, 1), (400, 30)])
def test_a_synthetic_defect_changes_the_image_where_it_says(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), 128, np.uint8)
    frame[::2] += 6
    for copy in range(COPIES):
        changed, mask = add_defect(frame, copy=copy, seed=4)
        assert changed.shape == frame.shape
        assert changed.dtype == np.uint8
        assert mask.shape == size
        assert mask.any()
        difference = np.abs(changed.astype(int) - frame).max(2)
        if min(size) > 9:
            assert mask.mean() < 0.25
            assert difference[mask].mean() > 2 * difference[~mask].mean()


def test_synthetic_defects_repeat_and_differ() -> None:
    first = add_defect(FRAME, copy=1, seed=4)[0]
    assert np.array_equal(first, add_defect(FRAME, copy=1, seed=4)[0])
    assert not np.array_equal(first, add_defect(FRAME, copy=1, seed=5)[0])
    assert not np.array_equal(first, add_defect(FRAME, copy=4, seed=4)[0])
    other = FRAME[::-1]
    masks = [add_defect(frame, copy=1, seed=4)[1] for frame in (FRAME, other)]
    assert not np.array_equal(*masks)


def answer(score: float, heat: np.ndarray | None = None) -> Anomaly:
    heat = np.full((60, 80), score, np.float32) if heat is None else heat
    return Anomaly(CLASSES, score, score >= 1.0, heat)


@pytest.mark.parametrize(
    ("expected", "got", "difference", "is_same"),
    [
        (0.5, 0.5, 0.0, True),
        (0.5, 0.75, 0.25, True),
        (0.75, 1.25, 0.5, False),
        (0.999, 1.001, 0.002, True),
        (1.5, 0.999, 0.501, False),
    ],
)
def test_answers_are_compared_by_score_and_decision(
    expected: float, got: float, difference: float, is_same: bool
) -> None:
    comparison = detector().compare(answer(expected), answer(got))
    assert comparison.difference == pytest.approx(difference)
    assert comparison.is_same is is_same


def test_quality_says_whether_and_how_surely_an_answer_is_right() -> None:
    task = detector()
    good, defect = DefectTruth(0, None), DefectTruth(1, None)
    assert task.quality(answer(0.0), good) == 1.0
    assert task.quality(answer(1.0), good) == 0.5
    assert task.quality(answer(2.0), defect) == pytest.approx(16 / 17)
    assert task.quality(answer(2.0), good) == pytest.approx(1 / 17)
    assert task.quality(answer(float("inf")), defect) == 1.0


def test_answers_and_truths_are_described_in_words() -> None:
    task, mask = detector(), np.zeros((10, 10), bool)
    mask[0, :2] = True
    assert task.describe(answer(1.4321)) == "defect (score 1.43)"
    assert task.describe(DefectTruth(0, None)) == "good"
    assert task.describe(DefectTruth(1, None)) == "defect"
    assert task.describe(DefectTruth(1, mask)) == "defect on 2 % of the image"


def test_a_drawing_shows_heat_and_the_outline_of_the_defect() -> None:
    frame, heat, mask = (
        np.full((60, 80, 3), 90, np.uint8),
        np.zeros((60, 80)),
        np.zeros((60, 80), bool),
    )
    heat[20:40, 20:40] = 2.5
    mask[10:50, 10:60] = True
    drawn = detector().draw(frame, answer(2.0, heat.astype(np.float32)), DefectTruth(1, mask))
    assert drawn is not None
    assert drawn.shape == (180, 240, 3)
    assert drawn[90, 90, 0] > 140 > 90 > drawn[90, 90, 1]
    assert tuple(drawn[5, 230]) == (90, 90, 90)
    assert (drawn == (0, 114, 178)).all(2).sum() > 300


@pytest.mark.parametrize(("size", "drawn"), [((60, 80), (180, 240)), ((900, 1200), (360, 480))])
def test_drawings_have_a_size_that_can_be_looked_at(
    size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    frame, heat = np.zeros((*size, 3), np.uint8), np.zeros(size, np.float32)
    picture = detector().draw(frame, answer(0.0, heat), DefectTruth(0, None))
    assert picture is not None
    assert picture.shape[:2] == drawn


def test_what_belongs_to_gradients_or_other_tasks_is_refused() -> None:
    task = detector()
    with pytest.raises(TypeError, match="no training loss; their learner is 'fit'"):
        task.loss([], label_smoothing=0.0)
    with pytest.raises(TypeError, match="A truth of this task is a DefectTruth; got LabelTruth"):
        task.encode(LabelTruth(0))
    encoded = [task.encode(DefectTruth(label, None)) for label in (0, 1)]
    assert task.collate(encoded).tolist() == [0, 1]
    assert task.focus(DefectTruth(0, None), 0.5) is None
