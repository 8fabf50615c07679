"""Classification: the metrics against values worked out by hand, the loss, what is delivered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from task_makers import classification, score_labels

from automl.data.truth import LabelTruth
from automl.records import dump_record
from automl.spec.metrics import METRICS
from automl.tasks.classification import Probabilities

CLASSES = ("a", "b", "c")
TASK = classification(*CLASSES)


def answers(*predicted: int, classes: int = 3, confidence: float = 0.8) -> np.ndarray:
    rest = (1 - confidence) / (classes - 1)
    rows = np.full((len(predicted), classes), rest, np.float32)
    rows[np.arange(len(predicted)), list(predicted)] = confidence
    return rows


TRUTH = np.array([0, 0, 0, 0, 1, 1, 2, 2])


def test_scores_are_those_worked_out_by_hand() -> None:
    said = (0, 0, 0, 1, 1, 2, 0, 2)
    scores = score_labels(answers(*said), TRUTH, CLASSES)
    assert scores.samples == 8
    assert scores.confusion == ((3, 1, 0), (0, 1, 1), (1, 0, 1))
    expected = {
        "accuracy": 5 / 8,
        "balanced-accuracy": (3 / 4 + 1 / 2 + 1 / 2) / 3,
        "recall-macro": (3 / 4 + 1 / 2 + 1 / 2) / 3,
        "precision-macro": (3 / 4 + 1 / 2 + 1 / 2) / 3,
        "f1-macro": (3 / 4 + 1 / 2 + 1 / 2) / 3,
        "recall[a]": 3 / 4,
        "recall[b]": 1 / 2,
        "recall[c]": 1 / 2,
        "precision[a]": 3 / 4,
        "precision[b]": 1 / 2,
        "precision[c]": 1 / 2,
        "f1[a]": 3 / 4,
        "f1[b]": 1 / 2,
        "f1[c]": 1 / 2,
    }
    assert {key: scores.values[key] for key in expected} == pytest.approx(expected)


def test_recall_and_precision_are_not_mixed_up() -> None:
    truth = np.array([0] * 6 + [1] * 2)
    scores = score_labels(answers(0, 0, 0, 1, 1, 1, 1, 1, classes=2), truth, ("bad", "good"))
    assert scores.values["recall[bad]"] == pytest.approx(3 / 6)
    assert scores.values["precision[bad]"] == pytest.approx(1.0)
    assert scores.values["recall[good]"] == pytest.approx(1.0)
    assert scores.values["precision[good]"] == pytest.approx(2 / 5)
    assert scores.values["f1[bad]"] == pytest.approx(2 * 0.5 / 1.5)
    assert scores.values["balanced-accuracy"] == pytest.approx(0.75)
    assert scores.values["accuracy"] == pytest.approx(5 / 8)
    assert scores.confusion == ((3, 3), (0, 2))


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    good = np.array([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], np.float32)
    truth = np.array([1, 1, 1, 0, 0, 0])
    outputs = np.stack([1 - good, good], axis=1)
    scores = score_labels(outputs, truth, ("bad", "good"))
    assert scores.values["auroc"] == pytest.approx(8 / 9)


def test_a_class_without_images_does_not_count_in_averages() -> None:
    truth = np.array([0, 0, 1, 1])
    scores = score_labels(answers(0, 0, 1, 0), truth, CLASSES)
    assert scores.values["balanced-accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert scores.values["precision-macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores.values["recall[c]"] == 0.0
    assert scores.confusion[2] == (0, 0, 0)
    dump_record(scores)


def test_every_metric_that_a_spec_may_name_has_a_value() -> None:
    scores = score_labels(answers(0, 0, 1, 1, 1, 2, 0, 2), TRUTH, CLASSES)
    known = METRICS["classification"]
    named = {f"{metric}[{name}]" for metric in known.per_class for name in CLASSES}
    assert set(scores.values) == set(known.overall) | named
    assert all(0.0 <= value <= 1.0 for value in scores.values.values())
    assert known.default == TASK.default_objective


def test_the_area_under_the_curve_leaves_out_a_class_without_images() -> None:
    truth = np.array([0, 0, 1, 1])
    outputs = np.array(
        [[0.6, 0.2, 0.2], [0.4, 0.3, 0.3], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1]], np.float32
    )
    scores = score_labels(outputs, truth, CLASSES)
    assert scores.values["auroc"] == pytest.approx((3 / 4 + 1.0) / 2)


def test_one_class_alone_has_no_area_under_a_curve() -> None:
    scores = score_labels(answers(0, 1, classes=2), np.array([1, 1]), ("a", "b"))
    assert "auroc" not in scores.values
    assert scores.values["balanced-accuracy"] == 0.5


def test_the_loss_weighs_rare_classes_as_much_as_common_ones() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    loss = classification("a", "b").loss([LabelTruth(int(n)) for n in labels], label_smoothing=0.0)
    assert loss.weight.tolist() == pytest.approx([100 / 180, 100 / 20])
    blind = torch.zeros(100, 2)
    assert float(loss(blind, torch.from_numpy(labels))) == pytest.approx(np.log(2))
    always_common = torch.tensor([[5.0, -5.0]]).repeat(100, 1)
    always_rare = torch.tensor([[-5.0, 5.0]]).repeat(100, 1)
    truth = torch.from_numpy(labels)
    assert float(loss(always_common, truth)) == pytest.approx(float(loss(always_rare, truth)))


def test_the_loss_survives_a_class_without_images() -> None:
    loss = TASK.loss([LabelTruth(n) for n in (0, 0, 1)], label_smoothing=0.1)
    assert torch.isfinite(loss.weight).all()
    assert torch.isfinite(loss(torch.randn(3, 3), torch.tensor([0, 0, 1])))


def test_what_is_delivered_are_probabilities() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]])
    delivered = Probabilities()(logits, 8, 8).numpy()
    assert delivered.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert delivered[1].tolist() == [1.0, 0.0, 0.0]
