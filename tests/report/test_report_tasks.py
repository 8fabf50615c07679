"""The same report for every task: its words, its sections, and the rate that a spec asks for."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from types import ModuleType

import pytest

from automl.records import Architecture, Claim, RunRecord, Selection, TaskOptions
from automl.report import MAX_IMAGE_BYTES, build_view, render_report, wanted_pictures
from automl.report.answer import Outcome
from automl.report.asked import RateState, build_asked_rate
from automl.report.charts import build_charts
from automl.report.glossary import split_terms, terms_of
from automl.report.tasks import TASK_WORDS, words_of
from automl.spec.metrics import METRICS

TASKS = ("segmentation", "detection", "anomaly")


def text_of(page: str) -> str:
    body = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_every_task_that_a_spec_may_name_has_words() -> None:
    assert set(TASK_WORDS) == set(METRICS)


@pytest.mark.parametrize("name", TASKS)
def test_page_of_every_task_has_its_sections_and_no_dead_link(tasks: ModuleType, name: str) -> None:
    page = render_report(getattr(tasks, name)())
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert {"answer", "depth", "results", "samples", "data", "quality"} <= set(ids)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert TASK_WORDS[name].results in text_of(page)


@pytest.mark.parametrize("name", TASKS)
def test_page_with_every_picture_can_be_sent_by_mail(tasks: ModuleType, name: str) -> None:
    record = getattr(tasks, name)()
    wanted = wanted_pictures(record)
    images = {picture.key: b"\0" * (MAX_IMAGE_BYTES // len(wanted)) for picture in wanted}
    page = render_report(record, images=images)
    assert page.count('<img src="data:image/jpeg;base64,') == len(wanted)
    assert len(page.encode()) < 2_300_000


@pytest.mark.parametrize(
    ("name", "charts"),
    [
        ("segmentation", ["schemes-0", "loss", "score", "images"]),
        ("detection", ["schemes-0", "found-0", "loss", "score", "images"]),
        ("anomaly", ["schemes-0", "histogram-0", "images"]),
    ],
)
def test_charts_follow_what_the_records_hold(
    tasks: ModuleType, name: str, charts: list[str]
) -> None:
    built = build_charts(build_view(getattr(tasks, name)()))
    assert list(built.charts) == ["pareto-0", "strip-0", "depth-0", *charts]
    for chart in built.charts.values():
        assert set(chart.tables) <= set(built.tables)


def test_training_says_what_has_no_curve_and_which_crops_were_taken(tasks: ModuleType) -> None:
    fitted = text_of(render_report(tasks.anomaly()))
    assert "Each network was fitted in one pass over the images" in fitted
    assert "Batch Crop" not in fitted
    assert "Batch Crop Frozen" in text_of(render_report(tasks.segmentation()))


def test_histogram_draws_shares_around_the_middles_of_its_columns(tasks: ModuleType) -> None:
    built = build_charts(build_view(tasks.anomaly()))
    table = built.tables["histogram-0"]
    assert table["name"]["words"] == ["good", "defect"]
    widths = [b - a for a, b in zip(table["from"], table["to"], strict=True)]
    assert widths == pytest.approx([0.2] * len(widths), abs=1e-4)
    assert sum(table["share"]) == pytest.approx(2.0, abs=1e-3)
    layers = built.charts["histogram-0"].spec["layer"]
    assert [layer["mark"]["type"] for layer in layers] == ["rect", "rule", "text"]
    assert [layer["encoding"]["x"]["datum"] for layer in layers[1:]] == [1.0, 1.0]


def test_found_chart_marks_the_precision_that_is_asked(tasks: ModuleType) -> None:
    record = tasks.detection()
    record = replace(record, spec=replace(record.spec, options=TaskOptions(precision=0.75)))
    spec = build_charts(build_view(record)).charts["found-0"].spec
    labels = [layer["mark"].get("text") for layer in spec["layer"]]
    assert "precision asked: 75 %" in labels


def test_found_chart_of_many_classes_draws_the_worst(tasks: ModuleType) -> None:
    record = tasks.detection()
    chosen = record.selection.targets[0]
    curves = {
        f"precision-recall[c{i}]": ((0.1, 1.0), (0.1 + i / 20, 0.9)) for i in range(12, 0, -1)
    }
    scores = replace(chosen.test_scores, curves=curves)
    record = replace(record, selection=Selection((replace(chosen, test_scores=scores),)))
    built = build_charts(build_view(record))
    assert built.tables["found-0"]["name"]["words"] == [f"c{i}" for i in range(1, 9)]
    assert built.charts["found-0"].title.endswith(": the 8 worst of 12 classes")


def test_answer_of_masks_counts_pixels_and_gives_no_interval(tasks: ModuleType) -> None:
    view = build_view(tasks.segmentation())
    assert view.targets[0].answer.sentences[1:3] == (
        "Of the pixels of images that it has never seen, 95.9 % are given the right class.",
        "Its mean IoU on the test images is 81.6 % (overlap of answer and truth (intersection over "
        "union) of each class, averaged over the classes).",
    )
    assert view.targets[0].answer.steps[0].text == "Mark the areas in an image:"


def test_answer_of_boxes_tells_the_objective_alone(tasks: ModuleType) -> None:
    sentences = build_view(tasks.detection()).targets[0].answer.sentences
    assert sentences[0] == (
        "The best for 'local' is the network tf_efficientnet_lite0 (3 pyramid levels, fcos of 64 "
        "channels, on images of 320 x 320 pixels), with its numbers stored as int8-static."
    )
    assert sentences[1].startswith("Its mAP on the test images is 58.1 % (mean average precision")
    assert sentences[2].startswith("It answers within 25.2 ms for 95 of 100 runs")


def test_every_latency_budget_is_a_figure(tasks: ModuleType) -> None:
    figures = build_view(tasks.segmentation()).targets[0].answer.figures
    assert [(f.label, f.note) for f in figures][1:3] == [
        ("latency p95", "of 60.0 ms allowed"),
        ("latency p99", "of 80.0 ms allowed"),
    ]


@pytest.mark.parametrize(
    ("task", "architecture", "words"),
    [
        (
            "classification",
            Architecture("f", "net", None, 224),
            "net (whole, on images of 224 x 224 pixels)",
        ),
        (
            "segmentation",
            Architecture("f", "net", 4, 512, "unet", None),
            "net (encoder depth 4, unet, on images of 512 x 512 pixels)",
        ),
        (
            "anomaly",
            Architecture("f", "net", 3, 128, "padim", 64),
            "net (features up to stage 3, padim of 64 remembered features, on images of 128 x 128 "
            "pixels)",
        ),
    ],
)
def test_network_is_said_in_words(task: str, architecture: Architecture, words: str) -> None:
    assert words_of(task).network(architecture) == words


@pytest.mark.parametrize(
    ("false_alarms", "good", "state"),
    [(0, 60, RateState.HELD), (2, 60, RateState.UNCLEAR), (9, 60, RateState.EXCEEDED)],
)
def test_rate_asked_is_held_exceeded_or_cannot_be_told(
    tasks: ModuleType, false_alarms: int, good: int, state: RateState
) -> None:
    record = tasks.anomaly(false_alarms=false_alarms, good=good)
    rate = build_view(record).targets[0].rate
    assert rate is not None
    assert rate.state is state


def test_rate_says_how_many_images_would_tell(tasks: ModuleType) -> None:
    rate = build_view(tasks.anomaly()).targets[0].rate
    assert rate is not None
    assert rate.sentence == (
        "2 of 60 good test images were called defective (3.3 %; at most 1 % was asked). With so "
        "many images, the true rate is very likely between 0.9 % and 11.4 %. To judge a rate of "
        "1 %, at least 300 images are needed."
    )
    assert (rate.asked, rate.got) == ("at most 1 %", "3.3 % (2 of 60)")


def test_rate_that_is_exceeded_is_a_requirement_that_does_not_hold(tasks: ModuleType) -> None:
    view = build_view(tasks.anomaly(false_alarms=9))
    assert view.outcome is Outcome.PARTLY
    assert view.headline == "A model was chosen, but 1 of 3 requirements does not hold."
    assert "Not held: false alarms (max_false_alarm) (got 15.0 % (9 of 60))." in (
        view.targets[0].answer.sentences
    )


def test_rate_that_is_required_as_a_metric_is_told_once(tasks: ModuleType) -> None:
    record: RunRecord = tasks.anomaly()
    assert record.selection is not None
    chosen = record.selection.targets[0]
    claim = Claim("false-alarm-rate <= 0.05", "at most 5 %", "3.3 %", "", True)
    claimed = replace(chosen, claims=(*chosen.claims, claim))
    record = replace(record, selection=Selection((claimed,)))
    assert build_view(record).targets[0].rate is None
    assert build_asked_rate(TASK_WORDS["anomaly"].rate, record.spec, None) is None
    assert build_view(tasks.detection()).targets[0].rate is None


@pytest.mark.parametrize("task", [*TASKS, "classification"])
def test_terms_of_a_task_are_found_and_those_of_others_are_not(task: str) -> None:
    text = "Its mean IoU, its mAP, its AUPRO and its accuracy at p95."
    found = [piece for piece, term in split_terms(text, task) if term is not None]
    assert (
        found
        == {
            "segmentation": ["mean IoU", "p95"],
            "detection": ["mean IoU", "mAP", "p95"],
            "anomaly": ["AUPRO", "p95"],
            "classification": ["accuracy", "p95"],
        }[task]
    )
    names = [term.name.casefold() for term in terms_of(task)]
    assert names == sorted(names)
