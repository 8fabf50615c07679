"""Numbers as words."""

from __future__ import annotations

import pytest

from automl.report.glossary import split_terms
from automl.report.terms import TERMS
from automl.report.words import (
    format_interval,
    format_score,
    isolate,
    join_words,
    metric_words,
    of_hundred,
    wilson_interval,
)
from automl.spec.metrics import METRICS
from automl.units import plural


@pytest.mark.parametrize(
    ("right", "total", "words"),
    [
        (188, 192, "about 98 of 100"),
        (192, 192, "all 192"),
        (1999, 2000, "more than 99 of 100"),
        (1, 1000, "fewer than 1 of 100"),
        (0, 50, "about 0 of 100"),
        (2, 3, "about 67 of 100"),
    ],
)
def test_of_hundred_never_rounds_up_to_all(right: int, total: int, words: str) -> None:
    assert of_hundred(right, total) == words


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # R. G. Newcombe, 1998, Statistics in Medicine 17:857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_agrees_with_published_values(
    right: int, total: int, low: float, high: float
) -> None:
    assert wilson_interval(right, total) == pytest.approx((low, high), abs=5.1e-5)


def test_wilson_interval_refuses_to_judge_nothing() -> None:
    with pytest.raises(ValueError, match=r"^an interval needs at least one sample; got 0$"):
        wilson_interval(0, 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9784, "97.8 %"), (1.0, "100.0 %"), (2.345, "2.35"), (None, "–"), (float("nan"), "–")],
)
def test_scores_are_percentages_where_they_can_be(value: float | None, text: str) -> None:
    assert format_score(value) == text


def test_small_words_read_well() -> None:
    assert plural(1, "image") == "1 image"
    assert plural(1204, "image") == "1,204 images"
    assert plural(2, "class", "classes") == "2 classes"
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b", "c"]) == "a, b and c"
    assert format_interval(3.05, 2.98, 3.12) == "3.05 ms (2.98 to 3.12)"


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("accuracy", "accuracy"),
        ("balanced-accuracy", "balanced accuracy"),
        ("f1-macro", "F1 score, averaged over the classes"),
        ("precision-macro", "precision, averaged over the classes"),
        ("recall-macro", "recall, averaged over the classes"),
        ("auroc", "area under the ROC curve"),
        ("f1[fail]", "F1 score of 'fail'"),
        ("recall[a-b_c]", "recall of 'a-b_c'"),
    ],
)
def test_metrics_are_said_in_words(metric: str, words: str) -> None:
    assert metric_words(metric) == words


def test_every_metric_that_a_spec_may_name_has_words() -> None:
    for task in METRICS.values():
        assert not [name for name in (*task.overall, *task.per_class) if "-" in metric_words(name)]


def test_names_in_sentences_cannot_turn_the_text_or_flood_it() -> None:
    assert isolate("pass") == "pass"
    assert isolate("\u202efdp") == "\u2068\u202efdp\u2069"
    assert isolate("x" * 300) == f"\u2068{'x' * 59}…\u2069"


def test_terms_are_marked_once_and_nothing_is_lost() -> None:
    text = "The p95 of int8-static; p99, latency[p95] and recall[fail] too, <b>int8</b>."
    pieces = list(split_terms(text, "classification"))
    assert "".join(piece for piece, _ in pieces) == text
    marked = [piece for piece, term in pieces if term is not None]
    assert marked == ["p95", "int8-static", "latency", "recall"]


def test_glossary_has_no_double_entry() -> None:
    assert len({term.slug for term in TERMS}) == len(TERMS)
    spellings = [spelling for term in TERMS for spelling in term.spellings]
    assert len(set(spellings)) == len(spellings)
    assert all(spelling == spelling.lower() for spelling in spellings)
