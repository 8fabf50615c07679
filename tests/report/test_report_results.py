"""What the test images show: confusions of images and of pixels, classes, metrics, samples."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from automl.records import Prediction, Scores
from automl.report.candidates import CandidateState
from automl.report.results import build_confusion
from automl.report.samples import MAX_BEST, MAX_WORST, build_samples, order_predictions
from automl.report.tasks import words_of
from automl.report.view import build_view
from automl.report.words import first_upper, format_count, format_points

PIXELS = words_of("segmentation")


def test_pixels_are_confused_in_shares_and_counted_in_millions() -> None:
    scores = Scores({}, ((1_900_000, 100_000), (30, 999_970)), 4)
    view = build_confusion(scores, ("background", "crack"), words=PIXELS)
    assert view is not None
    assert [[cell.text for cell in row] for row in view.matrix] == [
        ["95.0 %", "5.0 %"],
        ["< 0.1 %", "100.0 %"],
    ]
    assert view.matrix[0][1].title == "100,000 of 2.00 million pixels"
    assert view.summary == "96.7 % of the pixels right"
    assert view.sentences == ("5.0 % of the pixels of 'background' were taken for 'crack'.",)


def test_rare_class_leads_the_mistakes_among_pixels() -> None:
    scores = Scores({}, ((990_000, 10_000), (400, 600)), 4)
    view = build_confusion(scores, ("background", "crack"), words=PIXELS)
    assert view is not None
    assert [mistake.true for mistake in view.mistakes] == ["crack", "background"]


def test_class_without_a_pixel_has_no_share() -> None:
    view = build_confusion(Scores({}, ((10, 0), (0, 0)), 1), ("a", "b"), words=PIXELS)
    assert view is not None
    assert view.found == (1.0, None)
    assert [cell.text for cell in view.matrix[1]] == ["–", "–"]


def test_classes_are_told_with_what_there_is_of_them(tasks: ModuleType) -> None:
    table = build_view(tasks.detection()).targets[0].results.classes
    assert table is not None
    assert table.metrics == ("ap", "ap50", "recall")
    assert table.objects == "boxes"
    assert [(r.name, r.images, r.objects, r.values) for r in table.rows][1] == (
        "RBC",
        70,
        873,
        (0.571, 0.842, 0.66),
    )


def test_objective_leads_the_metrics_and_less_is_better_is_said(tasks: ModuleType) -> None:
    rows = build_view(tasks.anomaly()).targets[0].results.metrics
    assert rows[0].name == "image-auroc"
    assert [row.name for row in rows if row.is_lower_better] == ["false-alarm-rate"]


def test_detection_has_results_without_a_matrix(tasks: ModuleType) -> None:
    results = build_view(tasks.detection()).targets[0].results
    assert results.confusion is None
    assert results.has_scores


def test_legend_names_the_coloured_classes(tasks: ModuleType) -> None:
    results = build_view(tasks.segmentation()).targets[0].results
    assert [entry.label for entry in results.legend] == ["oxide", "crack"]
    assert build_view(tasks.detection()).targets[0].results.legend == ()


def graded(*qualities: float) -> tuple[Prediction, ...]:
    return tuple(
        Prediction(f"{i}.png", "a 1", "a 2", q, q, f"samples/{i}.jpg")
        for i, q in enumerate(qualities)
    )


def test_worst_answers_come_first_and_the_best_last_group_begins_with_the_best() -> None:
    many = graded(*[i / 40 for i in range(40)])
    worst, best = build_samples(many[::-1], words=words_of("detection"))
    assert (worst.title, best.title) == ("The worst", "The best")
    assert [sample.path for sample in worst.samples] == [f"{i}.png" for i in range(MAX_WORST)]
    assert [sample.path for sample in best.samples] == [
        f"{i}.png" for i in range(39, 39 - MAX_BEST, -1)
    ]


def test_few_answers_are_one_group_without_a_title() -> None:
    (group,) = build_samples(graded(0.9, 0.2), words=words_of("segmentation"))
    assert group.title == ""
    first = group.samples[0]
    assert (first.verdict, first.share) == ("20 % overlap with the truth", 0.2)
    assert (first.picture.key, first.picture.in_run) == ("run:samples/1.jpg", True)
    assert build_samples((), words=words_of("segmentation")) == ()


@pytest.mark.parametrize(
    ("task", "quality", "verdict"),
    [
        ("classification", 0.0, "✗ wrong, 70 % sure"),
        ("classification", 1.0, "✓ right, 70 % sure"),
        ("anomaly", 0.4, "✗ wrong"),
        ("anomaly", 0.6, "✓ right"),
        ("detection", 0.6, "60 % found and right (F1)"),
    ],
)
def test_verdict_has_the_words_of_its_task(task: str, quality: float, verdict: str) -> None:
    said = "x" if quality > 0.5 else "y"
    predictions = (Prediction("a.png", "x", said, 0.7, quality),)
    (group,) = build_samples(predictions, words=words_of(task))
    assert group.samples[0].verdict == verdict
    assert group.samples[0].picture.key == "data:a.png"


def test_equally_bad_answers_begin_with_the_surest() -> None:
    order = order_predictions(
        (
            Prediction("unsure", "a", "b", 0.5, 0.0),
            Prediction("sure", "a", "b", 0.9, 0.0),
            Prediction("half", "a", "b", 0.9, 0.3),
        ),
        words=words_of("classification"),
    )
    assert [one.path for one in order] == ["sure", "unsure", "half"]


def test_right_label_with_less_than_half_the_probability_is_right() -> None:
    predictions = (
        Prediction("right", "a", "a", 0.4, 0.4),
        Prediction("wrong", "a", "b", 0.5, 0.45),
    )
    (group,) = build_samples(predictions, words=words_of("classification"))
    assert [(one.path, one.verdict) for one in group.samples] == [
        ("wrong", "✗ wrong, 50 % sure"),
        ("right", "✓ right, 40 % sure"),
    ]


def test_scheme_that_was_not_needed_is_no_failure(tasks: ModuleType) -> None:
    rows = build_view(tasks.detection()).targets[0].candidates
    mixed = [row for row in rows if row.scheme == "int8-mixed" and row.trial]
    assert {row.state for row in mixed} == {CandidateState.UNNEEDED}
    assert mixed[0].text == "not needed: int8-static loses 0.0040, within 0.01"


def test_scheme_that_could_not_be_made_is_a_failure(tasks: ModuleType) -> None:
    record = tasks.detection()
    chosen = record.selection.targets[0]
    reasons = tuple(replace(r, text="could not be made (ValueError: x)") for r in chosen.reasons)
    record = replace(
        record, selection=replace(record.selection, targets=(replace(chosen, reasons=reasons),))
    )
    rows = build_view(record).targets[0].candidates
    failed = {row.scheme for row in rows if row.state is CandidateState.FAILED}
    assert failed == {"int8-mixed"}


def test_data_counts_images_once_and_boxes_all(tasks: ModuleType) -> None:
    images, boxes = build_view(tasks.detection()).audit.counts
    assert (images.counted, boxes.counted) == ("images that show it", "boxes")
    assert images.rows[1].counts == (198, 84, 70)
    assert images.totals == (205, 87, 72)
    assert boxes.totals == (2769, 1092, 1027)
    assert boxes.is_shared


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999_000, "999,000"),
        (999_600, "1.00 million"),
        (12_345_678, "12.3 million"),
        (2_100_000_000, "2.10 billion"),
    ],
)
def test_large_counts_are_shortened(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.031, "3.1 points"), (-0.01, "1.0 point"), (0.0004, "0.04 points"), (0.0, "0.0 points")],
)
def test_differences_are_points(difference: float, text: str) -> None:
    assert format_points(difference) == text


def test_first_letter_is_a_capital_unless_the_word_has_its_own() -> None:
    assert first_upper("outline match") == "Outline match"
    assert first_upper("mAP at 50 % overlap") == "mAP at 50 % overlap"
