"""The charts' specs and how their data is packed."""

from __future__ import annotations

import json
import math
from types import ModuleType
from typing import Any

import pytest

from automl.report.chart import (
    BUDGET_COLOUR,
    GREY,
    SERIES,
    STATE_COLOURS,
    VERDICT_COLOURS,
    encode_table,
    share_axis,
)
from automl.report.charts import build_charts
from automl.report.scheme_charts import MAX_NETWORKS
from automl.report.view import build_view

LIGHT, DARK = "#ffffff", "#181f28"
"""The ground of a card in reports/report.css."""


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    "colour",
    sorted({*SERIES, *STATE_COLOURS.values(), *VERDICT_COLOURS.values(), BUDGET_COLOUR, GREY}),
)
def test_colours_can_be_told_from_both_grounds(colour: str) -> None:
    assert contrast(colour, LIGHT) >= 3
    assert contrast(colour, DARK) >= 3


def test_tables_are_packed_by_column_with_words_once() -> None:
    rows = [("a", 1.23456789, None), ("b", 2.0, 3), ("a", 4.0, 5)]
    assert encode_table(("word", "value", "maybe"), rows) == {
        "word": {"words": ["a", "b"], "codes": [0, 1, 0]},
        "value": [1.2346, 2.0, 4.0],
        "maybe": [None, 3, 5],
    }


@pytest.mark.parametrize(
    ("name", "charts"),
    [
        ("passing", ["pareto-0", "strip-0", "schemes-0", "loss", "score"]),
        ("nothing_fits", ["strip-0", "schemes-0"]),
        ("interrupted", ["pareto-0", "strip-0", "schemes-0", "loss", "score"]),
        ("before_training", ["strip-0", "schemes-0"]),
    ],
)
def test_charts_that_would_be_empty_are_absent(
    runs: ModuleType, name: str, charts: list[str]
) -> None:
    assert list(build_charts(build_view(getattr(runs, name)())).charts) == charts


def test_charts_of_two_targets_share_no_name(runs: ModuleType) -> None:
    built = build_charts(build_view(runs.two_targets()))
    assert {"pareto-0", "pareto-1", "schemes-0", "schemes-1"} <= set(built.charts)
    for chart in built.charts.values():
        assert set(chart.tables) <= set(built.tables)


def test_specs_hold_no_address_and_no_rows(runs: ModuleType) -> None:
    for chart in build_charts(build_view(runs.passing())).charts.values():
        text = json.dumps(chart.spec)
        assert "http" not in text
        assert len(text) < 5000


def test_pareto_chart_shows_every_trained_point_the_budget_and_the_winner(
    runs: ModuleType,
) -> None:
    built = build_charts(build_view(runs.passing()))
    points = built.tables["points-0"]
    assert len(points["score"]) == 10
    # drawn last, so that it lies on top of those that equal it
    drawn = [points["state"]["words"][code] for code in points["state"]["codes"]]
    assert (drawn[-1], drawn.count("winner")) == ("winner", 1)
    layers: list[dict[str, Any]] = built.charts["pareto-0"].spec["layer"]
    assert [layer["mark"]["type"] for layer in layers] == ["rule", "text", "line", "point", "point"]
    assert layers[1]["mark"]["text"] == "budget 10 ms"


def test_scheme_chart_draws_only_so_many_networks(runs: ModuleType) -> None:
    built = build_charts(build_view(runs.passing()))
    assert len(built.tables["schemes-0"]["network"]["words"]) == 8
    assert MAX_NETWORKS == 40


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return where Vega draws about so many ticks: at multiples of 1, 2 or 5 times a power of ten."""
    step = (high - low) / count
    power = 10.0 ** math.floor(math.log10(step))
    over = step / power
    step = power * (10 if over >= 50**0.5 else 5 if over >= 10**0.5 else 2 if over >= 2**0.5 else 1)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [number * step for number in range(first, last + 1)]


@pytest.mark.parametrize("count", [4, 5, 7, 10])
@pytest.mark.parametrize(
    "scores", [[1.0], [0.9931, 1.0], [0.5, 0.99, None], [0.9999, 1.0], [0.0, 1.0], [0.31, 0.9987]]
)
def test_an_axis_of_shares_shows_all_scores_and_nothing_above_all(
    scores: list[float | None], count: int
) -> None:
    low, high = share_axis(scores)["scale"].to_dict()["domain"]
    known = [score for score in scores if score is not None]
    assert low < min(known)
    assert high > max(known)
    shown = ticks(low, high, count)
    assert len(shown) >= 2
    assert max(shown) <= 1.0 + 1e-9


def test_scores_within_one_point_are_told_apart_by_more_digits() -> None:
    assert share_axis([0.9931, 1.0])["axis"].to_dict()["format"] == ".2~%"
    assert share_axis([0.9, 1.0])["axis"].to_dict()["format"] == ".1~%"
