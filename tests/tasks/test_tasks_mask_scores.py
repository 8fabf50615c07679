"""The metrics of masks against values worked out by hand and against slow, plain definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.data.truth import IGNORED, MaskTruth
from automl.predictor import Segmentation
from automl.records import Scores, dump_record, load_record
from automl.spec.metrics import METRICS
from automl.tasks.mask_scores import MaskScorer, outline

CLASSES = ("a", "b", "c")


def scored(*pairs: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> Scores:
    """Return the scores of (answered, true) masks."""
    scorer = MaskScorer(CLASSES)
    for answered, true in pairs:
        scorer.add(Segmentation(CLASSES, answered), MaskTruth(true))
    return scorer.scores()


def flat(*values: int) -> NDArray[np.uint8]:
    return np.array([values], np.uint8)


def test_overlaps_are_those_worked_out_by_hand() -> None:
    scores = scored(
        (flat(0, 0, 1, 1), flat(0, 0, 0, 1)), (flat(0, 1, 2, 0), flat(0, 1, 2, IGNORED))
    )
    assert scores.samples == 2
    assert scores.confusion == ((3, 1, 0), (0, 2, 0), (0, 0, 1))
    expected = {
        "iou[a]": 3 / 4,
        "iou[b]": 2 / 3,
        "iou[c]": 1.0,
        "mean-iou": (3 / 4 + 2 / 3 + 1) / 3,
        "dice[a]": 6 / 7,
        "dice[b]": 4 / 5,
        "dice[c]": 1.0,
        "mean-dice": (6 / 7 + 4 / 5 + 1) / 3,
        "pixel-accuracy": 6 / 7,
    }
    assert {key: scores.values[key] for key in expected} == pytest.approx(expected)


def test_every_metric_that_a_spec_may_ask_for_is_given() -> None:
    known = METRICS["segmentation"]
    scores = scored((flat(0, 1, 2, 0), flat(0, 1, 1, 2)))
    expected = set(known.overall) | {f"{name}[{c}]" for name in known.per_class for c in CLASSES}
    assert set(scores.values) == expected
    assert all(0 <= value <= 1 for value in scores.values.values())
    assert load_record(Scores, dump_record(scores)) == scores


def test_means_are_over_the_classes_that_occur_in_the_truth() -> None:
    absent = scored((flat(0, 0, 1, 1), flat(0, 0, 1, 1)))
    assert absent.values["mean-iou"] == 1.0
    assert "iou[c]" not in absent.values
    invented = scored((flat(0, 2, 1, 1), flat(0, 0, 1, 1)))
    assert invented.values["iou[c]"] == 0.0
    assert invented.values["mean-iou"] == pytest.approx((1 / 2 + 1) / 2)


def test_no_known_pixel_gives_zeros_not_errors() -> None:
    scores = scored((flat(0, 1), flat(IGNORED, IGNORED)))
    assert scores.values["mean-iou"] == 0.0
    assert scores.values["pixel-accuracy"] == 0.0


def test_image_by_image_is_the_same_as_all_at_once() -> None:
    generator = np.random.default_rng(0)
    pairs = [generator.integers(0, 3, (2, 30, 40)).astype(np.uint8) for _ in range(4)]
    apart = scored(*[(p[0], p[1]) for p in pairs])
    together = np.concatenate(pairs, axis=2)
    joined = scored((together[0], together[1]))
    assert apart.confusion == joined.confusion
    assert apart.values["mean-iou"] == pytest.approx(joined.values["mean-iou"])


def square(top: int, left: int, *, side: int = 30, size: int = 100) -> NDArray[np.uint8]:
    pixels = np.zeros((size, size), np.uint8)
    pixels[top : top + side, left : left + side] = 1
    return pixels


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (0, 1.0),
        (1, 1.0),  # within 0.75 % of the diagonal: 1.06 pixels
        (2, None),
        (40, 0.0),
    ],
)
def test_outlines_may_be_off_by_a_little(shift: int, expected: float | None) -> None:
    scores = scored((square(20, 20 + shift), square(20, 20)))
    value = scores.values["boundary-f1[b]"]
    if expected is None:
        assert 0.3 < value < 0.7  # the sides lie apart, top and bottom still match
    else:
        assert value == expected


def test_outlines_match_a_plain_count_of_distances() -> None:
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 3, (2, 12, 16))
    answered, true = (np.kron(m, np.ones((20, 20))).astype(np.uint8) for m in coarse)
    tolerance = 0.0075 * math.hypot(*true.shape)
    assert tolerance > 2
    values = scored((answered, true)).values
    for index, name in enumerate(CLASSES):
        ours, theirs = (np.argwhere(outline(m == index)) for m in (answered, true))
        apart = np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(-1))
        precision = (apart.min(1) <= tolerance).mean()
        recall = (apart.min(0) <= tolerance).mean()
        expected = 2 * precision * recall / (precision + recall)
        assert values[f"boundary-f1[{name}]"] == pytest.approx(expected)


def test_outline_is_the_rim_within_the_area_but_not_at_the_border() -> None:
    area = np.zeros((5, 5), np.bool_)
    area[1:4, 0:3] = True
    assert outline(area).astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    assert not outline(np.ones((4, 4), np.bool_)).any()


def test_border_to_unknown_pixels_is_no_outline() -> None:
    true = square(20, 20)
    true[:, 50:] = IGNORED
    answered = square(20, 20)
    answered[20:50, 50:60] = 1  # where nobody knows
    scores = scored((answered, true)).values
    assert scores["iou[b]"] == 1.0
    assert scores["boundary-f1[b]"] == 1.0
