"""The charts of the test: curves that a task's scores hold, drawn by what their names say they show."""

from __future__ import annotations

import itertools
from typing import Any

from automl.report.chart import (
    BUDGET_COLOUR,
    NO_CHARTS,
    SERIES,
    Chart,
    Charts,
    LegendEntry,
    colour,
    encode_table,
    finish,
)
from automl.report.view import Points, TargetView
from automl.spec.metrics import split_key
from automl.units import plural

__all__ = ["result_charts"]

_HEIGHT = 300
_MAX_POINTS = 200
"""Points of one line; a screen shows no more."""
_THRESHOLD = 1.0
"""Scores of anomaly detectors are in units of their threshold (automl.predictor.Anomaly)."""
_LONG_TAIL = 6.0
"""A histogram that ends beyond so many thresholds is drawn on a logarithmic axis."""

_LONG_TICKS = (0, 0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


def result_charts(target: TargetView, index: int, *, precision: float) -> Charts:
    """Return ``found-N`` (precision against recall) and ``histogram-N`` (scores by true class).

    Args:
        target: whose curves are drawn.
        index: N.
        precision: share of the finds that the spec asks to be right.
    """
    found = _named(target, "precision-recall")
    histogram = _named(target, "scores")
    parts = [
        _found_chart(found, f"found-{index}", precision) if found else NO_CHARTS,
        _histogram_chart(histogram, f"histogram-{index}") if histogram else NO_CHARTS,
    ]
    return Charts(
        {key: chart for part in parts for key, chart in part.charts.items()},
        {key: table for part in parts for key, table in part.tables.items()},
    )


def _named(target: TargetView, kind: str) -> dict[str, Points]:
    """Return the curves of one kind by what they are of: ``precision-recall[RBC]`` by ``RBC``."""
    pairs = ((split_key(key), points) for key, points in target.results.curves.items())
    return {of: points for (name, of), points in pairs if name == kind and of and points}


def _found_chart(curves: dict[str, Points], key: str, precision: float) -> Charts:
    names = _worst(curves)
    rows = [(name, x, y) for name in names for x, y in _thin(curves[name])]
    table = encode_table(("name", "recall", "precision"), rows)
    description = (
        f"Precision against recall of {plural(len(names), 'class', 'classes')}. The table of classes "
        "holds the average of each line."
    )
    legend = tuple(LegendEntry(name, colour(i)) for i, name in enumerate(names))
    title = "how many are found (recall), and how many finds are right (precision)"
    if len(names) < len(curves):
        title += f": the {len(names)} worst of {len(curves)} classes"
    spec = finish(_found(key, names, precision), _HEIGHT)
    return Charts(
        {key: Chart(key, title, description, _HEIGHT, spec, (key,), legend)}, {key: table}
    )


def _worst(curves: dict[str, Points]) -> list[str]:
    """Return all classes, or, when there are more than colours, those with the least area below."""
    if len(curves) <= len(SERIES):
        return list(curves)
    area = {
        name: sum((x2 - x1) * y2 for (x1, _), (x2, y2) in itertools.pairwise(((0.0, 1.0), *points)))
        for name, points in curves.items()
    }
    return sorted(curves, key=lambda name: area[name])[: len(SERIES)]


def _thin(points: Points) -> Points:
    step = -(-len(points) // _MAX_POINTS)
    return points if step <= 1 else (*points[:-1:step], points[-1])


def _found(name: str, names: list[str], precision: float) -> Any:
    import altair as alt

    share = alt.Scale(domain=[0, 1.03], nice=False)
    scale = alt.Scale(domain=names, range=[colour(i) for i in range(len(names))])
    lines = (
        alt.Chart(alt.NamedData(name))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("recall:Q", title="recall", scale=share, axis=alt.Axis(format="%")),
            y=alt.Y("precision:Q", title="precision", scale=share, axis=alt.Axis(format="%")),
            color=alt.Color("name:N", scale=scale, legend=None),
            order=alt.Order("recall:Q"),
            tooltip=[
                alt.Tooltip("name:N", title="class"),
                alt.Tooltip("recall:Q", format=".1%"),
                alt.Tooltip("precision:Q", format=".1%"),
            ],
        )
    )
    asked = alt.Chart(alt.InlineData(values=[{}])).encode(y=alt.datum(precision))
    rule = asked.mark_rule(color=BUDGET_COLOUR, strokeDash=[4, 3])
    label = asked.mark_text(
        text=f"precision asked: {precision * 100:g} %",
        align="left",
        baseline="top",
        dx=6,
        dy=4,
        color=BUDGET_COLOUR,
        fontWeight="bold",
    ).encode(x=alt.value(0))
    return alt.layer(rule, lines, label)


def _histogram_chart(curves: dict[str, Points], key: str) -> Charts:
    names = list(curves)
    edges = sorted({x for points in curves.values() for x, _ in points})
    width = min((b - a for a, b in itertools.pairwise(edges)), default=0.05)
    rows = []
    for name, points in curves.items():
        total = sum(count for _, count in points) or 1.0
        rows += [
            (name, x - width / 2, x + width / 2, count / total) for x, count in points if count
        ]
    table = encode_table(("name", "from", "to", "share"), rows)
    description = (
        "Scores of the test images in units of the threshold, by what the images show. From 1 on an "
        "image is called defective."
    )
    legend = tuple(LegendEntry(name, _tone(i), "square") for i, name in enumerate(names))
    highest = max((row[2] for row in rows), default=_THRESHOLD)
    spec = finish(_histogram(key, names, highest), _HEIGHT)
    title = "scores of the test images"
    return Charts(
        {key: Chart(key, title, description, _HEIGHT, spec, (key,), legend)}, {key: table}
    )


def _tone(index: int) -> str:
    """Return green for the first (good), orange for the second, then the other colours."""
    order = (2, 1, 0)
    return colour(order[index] if index < len(order) else index)


def _histogram(name: str, names: list[str], highest: float) -> Any:
    import altair as alt

    scale = alt.Scale(domain=names, range=[_tone(i) for i in range(len(names))])
    is_long = highest > _LONG_TAIL
    x_scale = alt.Scale(type="symlog", constant=1) if is_long else alt.Scale(zero=True)
    ticks = [tick for tick in _LONG_TICKS if tick <= highest]
    axis = alt.Axis(values=ticks, format="~g") if is_long else alt.Axis()
    bars = (
        alt.Chart(alt.NamedData(name))
        .mark_rect(opacity=0.6)
        .encode(
            x=alt.X("from:Q", title="score (1 is the threshold)", scale=x_scale, axis=axis),
            x2=alt.X2("to:Q"),
            y=alt.Y("share:Q", title="share of these images", axis=alt.Axis(format="%")),
            y2=alt.datum(0),
            color=alt.Color("name:N", scale=scale, legend=None),
            tooltip=[
                alt.Tooltip("name:N", title="shows"),
                alt.Tooltip("share:Q", title="share of them", format=".1%"),
                alt.Tooltip("from:Q", title="score from", format=".3~f"),
                alt.Tooltip("to:Q", format=".3~f"),
            ],
        )
    )
    threshold = alt.Chart(alt.InlineData(values=[{}])).encode(x=alt.datum(_THRESHOLD))
    rule = threshold.mark_rule(color=BUDGET_COLOUR, strokeWidth=1.5)
    label = threshold.mark_text(
        text="threshold",
        align="left",
        baseline="top",
        dx=5,
        dy=2,
        color=BUDGET_COLOUR,
        fontWeight="bold",
    ).encode(y=alt.value(0))
    return alt.layer(bars, rule, label)
