"""What the data itself allows: doubtful labels, leaks, more images, plain rules."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from automl.records import RunRecord
from automl.records.quality import CleanScore, DataQuality, LabelErrors, Leakage
from automl.report import render_report, wanted_pictures
from automl.report.charts import build_charts
from automl.report.quality import MAX_SUSPECTS, QualityView, build_quality
from automl.report.view import build_view


def section(record: RunRecord) -> QualityView:
    quality = build_quality(record)
    assert quality is not None
    return quality


def found(tasks: ModuleType, **changes: object) -> RunRecord:
    record: RunRecord = tasks.segmentation()
    quality = replace(tasks.quality("areas"), **changes)
    return replace(record, quality=quality)


def test_run_whose_data_was_not_looked_into_has_no_section(runs: ModuleType) -> None:
    assert build_quality(runs.passing()) is None
    assert 'id="quality"' not in render_report(runs.passing())


def test_doubtful_labels_are_shown_most_doubtful_first(tasks: ModuleType) -> None:
    record = found(tasks)
    quality = section(record)
    assert quality.labels.startswith(
        "20 labels of 1,840 areas may be wrong; about 17 are expected to be."
    )
    assert len(quality.shown) == MAX_SUSPECTS
    assert len(quality.listed) == 20 - MAX_SUSPECTS
    first = quality.shown[0]
    assert first.picture.key == "data:train/0.png@40,30,160,120"
    assert first.picture.place == (40.0, 30.0, 160.0, 120.0)
    keys = [picture.key for picture in wanted_pictures(record)]
    assert keys.index("run:samples/1.jpg") < keys.index(first.picture.key)


def test_labels_without_doubt_are_said_to_be_fine(tasks: ModuleType) -> None:
    clean = LabelErrors("boxes", 900, (), 0.0, 0.99, "By folds.", 2.0)
    quality = section(found(tasks, label_errors=clean))
    assert quality.labels == "None of the labels of 900 boxes looks wrong."


def test_leak_is_told_with_the_score_without_it(tasks: ModuleType) -> None:
    quality = section(found(tasks))
    assert quality.leakage == (
        "1 of 72 test images looks like an image that was learnt or chosen from, or shares a group "
        "with one. There a model may remember instead of recognise. Without them the mean IoU of "
        "the winner is 80.9 % instead of 81.6 % (0.7 points less, on the other 71 test images)."
    )
    assert quality.leaks == (("train/3.png", "test/1.png"),)
    none = Leakage((), (), (), 72)
    assert section(found(tasks, leakage=none)).leakage.startswith("None of the 72 test images")


def test_plain_rule_that_does_as_well_is_said_in_the_answer(tasks: ModuleType) -> None:
    good = tasks.quality("areas", rule_score=0.81)
    record = replace(tasks.segmentation(), quality=good)
    sentence = (
        "A plain rule does as well: you may not need a network. On the test images the rule "
        "'intensity' reaches a mean IoU of 81.0 %, the model 81.6 %."
    )
    assert section(record).rule_sentence == sentence
    assert sentence in build_view(record).targets[0].answer.sentences
    assert section(record).summary == (
        "20 doubtful labels, 1 test image in doubt, a plain rule does as well"
    )


def test_rule_that_no_validation_image_could_choose_is_told_with_that_doubt(
    tasks: ModuleType,
) -> None:
    good = tasks.quality("areas", rule_score=0.81)
    untried = replace(good.rules[0], val_scores=replace(good.rules[0].val_scores, values={}))
    said = section(replace(tasks.segmentation(), quality=replace(good, rules=(untried,))))
    assert said.rule_sentence.startswith("A plain rule does as well: you may not need a network.")
    assert said.rule_sentence.endswith(
        "It was picked by the test images, as no validation image could choose among rules."
    )
    poor = replace(untried, test_scores=replace(untried.test_scores, values={"mean-iou": 0.5}))
    quality = replace(good, rules=(poor,))
    assert section(replace(tasks.segmentation(), quality=quality)).rule_sentence == ""


def test_leak_that_changes_nothing_says_so(tasks: ModuleType) -> None:
    leakage = replace(tasks.quality("areas").leakage, clean=CleanScore(1.0, 1.0, 71))
    quality = section(found(tasks, leakage=leakage))
    assert quality.leakage.endswith("Without them the mean IoU of the winner is the same.")


def test_plain_rule_that_is_worse_stands_below_the_model(tasks: ModuleType) -> None:
    quality = section(found(tasks))
    assert quality.rule_sentence == ""
    assert [(row.name, row.is_model) for row in quality.rules] == [
        ("the model for 'local'", True),
        ("intensity", False),
    ]


def test_learning_curve_is_drawn_with_its_forecasts(tasks: ModuleType) -> None:
    built = build_charts(build_view(found(tasks)))
    table = built.tables["images"]
    assert table["images"] == [25, 50, 100, 200, 400, 800]
    assert table["kind"]["words"] == ["measured", "expected"]
    assert built.tables["images-fit"]["images"][0] == 25
    assert "images" not in build_charts(build_view(found(tasks, learning_curve=None))).charts


def test_section_of_nothing_but_leakage_is_whole(tasks: ModuleType) -> None:
    bare = DataQuality(None, Leakage((), (), (), 9), None, (), ("No time was left.",), 0.1)
    page = render_report(replace(tasks.segmentation(), quality=bare))
    assert "No time was left." in page
    assert "Would a plain rule do?" not in page
    assert "Would more images help?" not in page
