"""Found boxes are judged by COCO's rules; recall, curves and matches agree with figures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from automl.data.truth import BoxTruth, LabelTruth
from automl.predictor import Classification, Detection
from automl.spec.metrics import METRICS
from automl.tasks.detection_matching import match_boxes, overlaps
from automl.tasks.detection_scores import BoxScorer, draw_curve

CLASSES = ("cell", "platelet", "never seen")
LEFT, RIGHT, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]
CLOSE = [0, 0, 10, 7]
"""Shares 70 % with ``LEFT``."""


def found(*objects: tuple[list[int], int, float], threshold: float = 0.5) -> Detection:
    """Return an answer of (box, class, score), the surest first."""
    return Detection(
        CLASSES,
        np.array([o[0] for o in objects], np.float32).reshape(-1, 4),
        np.array([o[1] for o in objects], np.int64),
        np.array([o[2] for o in objects], np.float32),
        threshold,
    )


def there(*objects: tuple[list[int], int], ignored: tuple[int, ...] = ()) -> BoxTruth:
    return BoxTruth(
        np.array([o[0] for o in objects], np.float32).reshape(-1, 4),
        np.array([o[1] for o in objects], np.int64),
        np.array([i in ignored for i in range(len(objects))], np.bool_),
    )


def score(*images: tuple[Detection, BoxTruth], precision: float = 0.9) -> dict[str, float]:
    scorer = BoxScorer(CLASSES, precision=precision)
    for answer, truth in images:
        scorer.add(answer, truth)
    return scorer.scores().values


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([LEFT, CLOSE, FAR, [5, 5, 5, 9]], np.float32)
    expected = [[1, 0.7, 0, 0], [0.7, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(overlaps(boxes, boxes), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("answer", "truth", "objects", "missed"),
    [
        (found(), there(), [], []),
        (found(), there((LEFT, 0)), [], [True]),
        (found((LEFT, 0, 0.9)), there(), [-1], []),
        (found((LEFT, 0, 0.9), (RIGHT, 1, 0.8)), there((RIGHT, 1), (LEFT, 0)), [1, 0], [False] * 2),
        # another class; an object that is found already; too little shared
        (found((LEFT, 1, 0.9)), there((LEFT, 0)), [-1], [True]),
        (found((LEFT, 0, 0.9), (CLOSE, 0, 0.8)), there((LEFT, 0)), [0, -1], [False]),
        (found(([0, 0, 10, 4], 0, 0.9)), there((LEFT, 0)), [-1], [True]),
        # the surest chooses first, what it overlaps most
        (found((LEFT, 0, 0.9)), there((CLOSE, 0), (LEFT, 0)), [1], [True, False]),
        # an ignored object: boxes on it do not count, however many
        (
            found((LEFT, 0, 0.9), (CLOSE, 0, 0.8), (RIGHT, 0, 0.7)),
            there((LEFT, 0), ignored=(0,)),
            [-2, -2, -1],
            [False],
        ),
        # a crowd is larger than what is found in it
        (found((LEFT, 0, 0.9)), there(([0, 0, 90, 90], 0), ignored=(0,)), [-2], [False]),
    ],
)
def test_boxes_find_objects_by_the_rules_of_coco(
    answer: Detection, truth: BoxTruth, objects: list[int], missed: list[bool]
) -> None:
    matches = match_boxes(answer.boxes, answer.classes, truth)
    assert matches.objects.tolist() == objects
    assert matches.missed.tolist() == missed


def test_perfect_boxes_score_one_and_classes_that_do_not_occur_have_no_metrics() -> None:
    values = score(
        (found((LEFT, 0, 0.9), (FAR, 1, 0.8)), there((LEFT, 0), (FAR, 1))),
        (found((RIGHT, 0, 0.6)), there((RIGHT, 0))),
        (found(), there()),
    )
    names = METRICS["detection"]
    expected = {*names.overall} | {
        f"{metric}[{name}]" for metric in names.per_class for name in CLASSES[:2]
    }
    assert values.keys() == expected
    assert all(value == pytest.approx(1.0) for value in values.values())


def test_average_precision_agrees_with_the_figure_by_hand() -> None:
    """Right, wrong, right: precision 1 up to half of the objects, then 2/3; 101 recalls are read."""
    values = score(
        (
            found((LEFT, 0, 0.9), (FAR, 0, 0.8), (RIGHT, 0, 0.7)),
            there((LEFT, 0), (RIGHT, 0)),
        )
    )
    by_hand = (51 * 1.0 + 50 * 2 / 3) / 101
    assert values["map50"] == pytest.approx(by_hand)
    assert values["map"] == pytest.approx(by_hand)
    assert values["ap50[cell]"] == pytest.approx(by_hand)
    assert values["recall[cell]"] == 0.5
    assert values["recall-at-precision"] == 0.5


def test_loose_boxes_count_at_low_overlaps_only() -> None:
    """70 % shared: right at 50, 55, 60, 65 and 70 % of ten overlaps."""
    values = score((found((CLOSE, 0, 0.9)), there((LEFT, 0))))
    assert values["map50"] == pytest.approx(1.0)
    assert values["map75"] == 0.0
    assert values["map"] == pytest.approx(0.5)


def test_averages_are_over_the_classes_that_occur() -> None:
    values = score(
        (found((LEFT, 0, 0.9), (FAR, 2, 0.9)), there((LEFT, 0), (RIGHT, 1))),
    )
    assert values["map"] == pytest.approx(0.5)
    assert values["ap[platelet]"] == 0.0
    assert "ap[never seen]" not in values


def test_ignored_objects_change_nothing() -> None:
    plain = score((found((LEFT, 0, 0.9)), there((LEFT, 0), (RIGHT, 0))))
    crowded = score(
        (
            found((LEFT, 0, 0.9), (FAR, 0, 0.95)),
            there((LEFT, 0), (RIGHT, 0), (FAR, 0), ignored=(2,)),
        )
    )
    assert crowded == pytest.approx(plain)


def test_nothing_found_scores_zero_and_nothing_to_find_has_no_score() -> None:
    assert set(score((found(), there((LEFT, 0)))).values()) == {0.0}
    assert score((found((LEFT, 0, 0.9)), there())) == {}
    assert score() == {}


def test_curve_counts_boxes_of_equal_score_together() -> None:
    answer = found((LEFT, 0, 0.9), (FAR, 0, 0.5), (RIGHT, 0, 0.5))
    curve = draw_curve([(answer, there((LEFT, 0), (RIGHT, 0)))], 0)
    assert curve.thresholds.tolist() == pytest.approx([0.9, 0.5])
    assert curve.precision.tolist() == pytest.approx([1.0, 2 / 3])
    assert curve.recall.tolist() == pytest.approx([0.5, 1.0])
    assert curve.points() == ((0.5, 1.0), (1.0, 2 / 3))


def test_recall_at_a_precision_is_the_greatest_where_it_holds() -> None:
    answer = found((LEFT, 0, 0.9), (FAR, 0, 0.8), (RIGHT, 0, 0.7))
    truth = there((LEFT, 0), (RIGHT, 0))
    for precision, recall in ((1.0, 0.5), (0.67, 0.5), (0.66, 1.0), (0.1, 1.0)):
        assert score((answer, truth), precision=precision)["recall[cell]"] == recall
    curve = draw_curve([(found((FAR, 0, 0.9)), truth)], 0)
    assert curve.recall_at(0.9) == 0.0


def test_curves_are_kept_short_and_named_after_their_class() -> None:
    scorer = BoxScorer(CLASSES, precision=0.9)
    random = np.random.default_rng(0)
    for _ in range(30):
        objects = [(random.integers(0, 90, 2).tolist(), 0) for _ in range(10)]
        boxes = [([x, y, x + 8, y + 8], label) for (x, y), label in objects]
        answer = found(*((box, 0, float(random.random())) for box, _ in boxes))
        scorer.add(answer, there(*boxes))
    scores = scorer.scores()
    assert scores.samples == 30
    assert scores.confusion == ()
    assert list(scores.curves) == ["precision-recall[cell]"]
    points = scores.curves["precision-recall[cell]"]
    assert 50 <= len(points) <= 100
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in points)


def test_answers_of_another_task_are_refused() -> None:
    scorer = BoxScorer(CLASSES, precision=0.9)
    with pytest.raises(TypeError, match="Detection answers with boxes; got Classification"):
        scorer.add(Classification(CLASSES, np.ones(3, np.float32)), there())
    with pytest.raises(TypeError, match="Detection is judged by boxes; got LabelTruth"):
        scorer.add(found(), LabelTruth(0))
