"""What all charts share: their colours, axes and size, and how their data is packed.

Colours are of middle lightness, with a contrast of at least 3:1 on the page's light and on its dark
ground; lines and text take the page's own colours through CSS, so one chart serves both and print.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from automl.report.candidates import CandidateState
from automl.report.legend import LegendEntry
from automl.report.view import TargetView

__all__ = [
    "BUDGET_COLOUR",
    "GREY",
    "NO_CHARTS",
    "SERIES",
    "SHAPES",
    "STATE_COLOURS",
    "VERDICT_COLOURS",
    "Chart",
    "Charts",
    "LegendEntry",
    "Table",
    "budget_layers",
    "colour",
    "encode_table",
    "finish",
    "latency_axis",
    "latency_tooltip",
    "scheme_shape",
    "shape",
    "share_axis",
]

Cell = str | float | int | None
Table = dict[str, Any]

GREY = "#7a8490"
BUDGET_COLOUR = "#d64545"
STATE_COLOURS = {
    CandidateState.WINNER: "#2e9e5b",
    CandidateState.OUTSCORED: "#3b82c4",
    CandidateState.MISSED: "#d9730d",
    CandidateState.REJECTED: "#8b5fbf",
    CandidateState.UNNEEDED: GREY,
    CandidateState.WAITING: "#1a9aa0",
    CandidateState.UNTRAINED: GREY,
    CandidateState.STOPPED: GREY,
    CandidateState.FAILED: "#d64545",
}
VERDICT_COLOURS = {
    "fits": "#2e9e5b",
    "unsure": "#b5832a",
    "slower than float": "#d9730d",
    "too slow": "#d64545",
    "too large": "#8b5fbf",
    "too much memory": "#c2589b",
}
"""Of the plan's verdicts; all others are grey."""
SERIES = (
    "#3b82c4", "#d9730d", "#2e9e5b", "#8b5fbf", "#1a9aa0", "#b5832a", "#d64545", "#c2589b",
)  # fmt: skip
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_LEAST_SPAN = 0.01
"""Scores closer than one point are shown as if they were one apart, with more digits."""
_EDGE = 0.08
"""Of an axis, left free at each end: points on it are not cut off, and no tick fits in."""
LOG_ABOVE = 12.0
"""A logarithmic axis where the largest latency is more than this many times the smallest."""


@dataclass(frozen=True)
class Chart:
    """One chart: ``spec`` is Vega-Lite without its data, ``tables`` the names of what it draws."""

    id: str
    title: str
    description: str
    height: int
    spec: dict[str, Any]
    tables: tuple[str, ...]
    legend: tuple[LegendEntry, ...] = ()


@dataclass(frozen=True)
class Charts:
    """Charts by id and the data that they name, each table once."""

    charts: dict[str, Chart]
    tables: dict[str, Table]


NO_CHARTS = Charts({}, {})


def colour(index: int) -> str:
    """Return the colour of the n-th series."""
    return SERIES[index % len(SERIES)]


def shape(index: int) -> str:
    """Return the shape of the n-th series."""
    return SHAPES[index % len(SHAPES)]


def budget_layers(
    target: TargetView, latencies: Sequence[float] = (), *, is_labelled: bool = False
) -> list[Any]:
    """Return the line of the latency budget and, if asked, its words; nothing without a budget.

    The words stand on the side of the line where the candidates are not crowded out of the chart.
    """
    import altair as alt

    if target.limit_ms is None:
        return []
    line = alt.Chart(alt.InlineData(values=[{}])).encode(x=alt.datum(target.limit_ms))
    rule = line.mark_rule(color=BUDGET_COLOUR, strokeWidth=1.5)
    is_left = bool(latencies) and target.limit_ms < statistics.median(latencies)
    label = line.mark_text(
        text=f"budget {target.limit_ms:g} ms",
        align="left" if is_left else "right",
        baseline="bottom",
        dx=5 if is_left else -5,
        dy=-3,
        color=BUDGET_COLOUR,
        fontWeight="bold",
    ).encode(y=alt.value("height"))
    return [rule, label] if is_labelled else [rule]


def latency_tooltip(percentile: str, *, words: str = "latency") -> Any:
    """Return the latency as a line of a tooltip."""
    import altair as alt

    return alt.Tooltip("latency:Q", title=f"{words} {percentile} (ms)", format=".3~f")


def scheme_shape(schemes: list[str]) -> Any:
    """Return the shape that stands for each scheme."""
    import altair as alt

    scale = alt.Scale(domain=schemes, range=[shape(i) for i in range(len(schemes))])
    return alt.Shape("scheme:N", scale=scale, legend=None)


def share_axis(values: Sequence[float | None]) -> dict[str, Any]:
    """Return scale and axis for shares: no tick above 100 %, more digits within one point."""
    import altair as alt

    known = [value for value in values if value is not None] or [0.0, 1.0]
    high = max(known)
    low = min(*known, high - _LEAST_SPAN)
    edge = _EDGE * (high - low)
    digits = ".2~%" if max(known) - min(known) < _LEAST_SPAN else ".1~%"
    return {
        # Less than a tick is added, so that the first above 1 would lie outside.
        "scale": alt.Scale(domain=[low - edge, high + edge], nice=False),
        "axis": alt.Axis(format=digits),
    }


def encode_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """Return rows as columns; a column of text becomes ``{"words": [...], "codes": [...]}``.

    Floats keep five significant digits, which is more than a screen shows.
    """
    table: Table = {}
    for index, column in enumerate(columns):
        values = [row[index] for row in rows]
        if any(isinstance(value, str) for value in values):
            words = list(dict.fromkeys(values))
            position = {word: code for code, word in enumerate(words)}
            table[column] = {"words": words, "codes": [position[value] for value in values]}
        else:
            table[column] = [_short(value) for value in values]
    return table


def _short(value: Cell) -> Cell:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def finish(chart: Any, height: int) -> dict[str, Any]:
    """Return the spec of a chart that fills the width of its container, without any address."""
    spec: dict[str, Any] = chart.properties(width="container", height=height).to_dict()
    spec.pop("$schema", None)
    spec.pop("config", None)
    spec["autosize"] = {"type": "fit", "contains": "padding"}
    return spec


def latency_axis(
    values: Sequence[float], limit_ms: float | None, percentile: str, *, words: str = "latency"
) -> Any:
    """Return the horizontal axis for latencies, wide enough for the budget."""
    import altair as alt

    known = [*values, *([] if limit_ms is None else [limit_ms])]
    low, high = min(known), max(known)
    axis = alt.Axis(tickCount=6)
    title = f"{words} {percentile} (ms)"
    if high > LOG_ABOVE * low > 0:
        scale = alt.Scale(type="log", nice=False, domain=[low * 0.85, high * 1.15])
        axis = alt.Axis(tickCount=6, format="~g")
    else:
        scale = alt.Scale(domain=[0, high * 1.06], nice=False)
    return alt.X("latency:Q", title=title, scale=scale, axis=axis)
