"""The charts of the report: Vega-Lite specs made with Altair, and the data they share, once."""

from __future__ import annotations

from typing import Any

from automl.report.candidates import CandidateRow, CandidateState
from automl.report.chart import (
    GREY,
    NO_CHARTS,
    STATE_COLOURS,
    VERDICT_COLOURS,
    Chart,
    Charts,
    LegendEntry,
    budget_layers,
    encode_table,
    finish,
    latency_axis,
    latency_tooltip,
    scheme_shape,
    shape,
    share_axis,
)
from automl.report.curve_charts import curve_charts
from automl.report.depth_charts import depth_chart
from automl.report.quality_charts import images_chart
from automl.report.result_charts import result_charts
from automl.report.scheme_charts import scheme_chart
from automl.report.view import TargetView, View
from automl.report.words import metric_words
from automl.units import plural

__all__ = ["build_charts"]

_HEIGHT = 360


def build_charts(view: View) -> Charts:
    """Return ``pareto-N``, ``strip-N``, ``depth-N``, ``schemes-N`` and those of the results a target,
    then ``loss``, ``score`` and ``images``.

    A chart that would be empty is absent.
    """
    objective = metric_words(view.record.spec.objective)
    precision = view.record.spec.options.precision
    parts: list[Charts] = []
    for index, target in enumerate(view.targets):
        parts.append(_pareto_chart(target, index, objective))
        parts.append(_strip_chart(target, index))
        parts.append(depth_chart(target, index, objective))
        parts.append(scheme_chart(target, index))
        parts.append(result_charts(target, index, precision=precision))
    parts.append(curve_charts(view, objective))
    parts.append(images_chart(view))
    return Charts(
        {key: chart for part in parts for key, chart in part.charts.items()},
        {key: table for part in parts for key, table in part.tables.items()},
    )


def _pareto_chart(target: TargetView, index: int, objective: str) -> Charts:
    points = [r for r in target.candidates if r.score is not None and r.latency_ms is not None]
    if not points:
        return NO_CHARTS
    # What is drawn last lies on top: a candidate that equals the winner must not hide it.
    points.sort(key=lambda row: row.state is CandidateState.WINNER)
    name, key = f"points-{index}", f"pareto-{index}"
    table = encode_table(
        (
            "trial",
            "network",
            "scheme",
            "score",
            "latency",
            "source",
            "size",
            "state",
            "clause",
            "front",
        ),
        [_point(row) for row in points],
    )
    description = (
        f"{plural(len(points), 'trained candidate')} by latency (left is faster) and {objective} "
        "on validation images (higher is better). The table of candidates holds the same values."
    )
    title = f"{objective} against latency"
    spec = finish(_pareto(name, points, target, objective), _HEIGHT)
    chart = Chart(key, title, description, _HEIGHT, spec, (name,), _legend(points))
    return Charts({key: chart}, {name: table})


def _point(row: CandidateRow) -> tuple[str | float | int | None, ...]:
    size_mb = None if row.size_bytes is None else row.size_bytes / 1e6
    return (
        row.trial,
        row.network,
        row.scheme,
        row.score,
        row.latency_ms,
        row.source,
        size_mb,
        row.state.value,
        row.clause,
        int(row.on_front),
    )


def _states(points: list[CandidateRow]) -> list[CandidateState]:
    return [state for state in CandidateState if any(row.state is state for row in points)]


def _legend(points: list[CandidateRow]) -> tuple[LegendEntry, ...]:
    schemes = dict.fromkeys(row.scheme for row in points)
    return (
        *(LegendEntry(state.value, STATE_COLOURS[state]) for state in _states(points)),
        *(LegendEntry(scheme, shape=shape(i)) for i, scheme in enumerate(schemes)),
    )


def _pareto(name: str, points: list[CandidateRow], target: TargetView, objective: str) -> Any:
    import altair as alt

    latencies = [row.latency_ms for row in points if row.latency_ms is not None]
    is_share = all(row.score is not None and 0 <= row.score <= 1 for row in points)
    plain = {"scale": alt.Scale(zero=False, padding=12), "axis": alt.Axis(format="~g")}
    axis = share_axis([row.score for row in points]) if is_share else plain
    y = alt.Y("score:Q", title=objective, **axis)
    x = latency_axis(latencies, target.limit_ms, target.percentile, words=target.latency_words)
    base = alt.Chart(alt.NamedData(name)).encode(x=x, y=y)
    front = base.transform_filter("datum.front == 1").mark_line(
        interpolate="step-after", color=GREY, strokeDash=[3, 3], strokeWidth=1.5
    )
    dots = base.mark_point(filled=True, size=75, opacity=1).encode(
        color=_state_colour(points),
        shape=scheme_shape(list(dict.fromkeys(row.scheme for row in points))),
        tooltip=[
            alt.Tooltip("network:N"),
            alt.Tooltip("scheme:N"),
            alt.Tooltip("trial:Q"),
            alt.Tooltip("score:Q", title=objective, format=".2%" if is_share else ".4g"),
            latency_tooltip(target.percentile, words=target.latency_words),
            alt.Tooltip("source:N", title="latency is"),
            alt.Tooltip("size:Q", title="size (MB)", format=".3~f"),
            alt.Tooltip("state:N", title="ended as"),
            alt.Tooltip("clause:N"),
        ],
    )
    budget = budget_layers(target, latencies, is_labelled=True)
    if CandidateState.WINNER not in _states(points):
        return alt.layer(*budget, front, dots)
    ring = base.transform_filter("datum.state == 'winner'").mark_point(
        size=320, strokeWidth=2.5, color=STATE_COLOURS[CandidateState.WINNER], filled=False
    )
    return alt.layer(*budget, front, ring, dots)


def _state_colour(points: list[CandidateRow]) -> Any:
    import altair as alt

    states = _states(points)
    scale = alt.Scale(
        domain=[state.value for state in states], range=[STATE_COLOURS[state] for state in states]
    )
    return alt.Color("state:N", scale=scale, legend=None)


def _strip_chart(target: TargetView, index: int) -> Charts:
    """Draw those set aside before training that were measured, as ticks, one line a scheme."""
    rows = [
        row
        for row in target.candidates
        if row.state is CandidateState.UNTRAINED and row.latency_ms is not None
    ]
    if not rows:
        return NO_CHARTS
    name, key = f"untrained-{index}", f"strip-{index}"
    table = encode_table(
        ("network", "scheme", "latency", "source", "verdict"),
        [(row.network, row.scheme, row.latency_ms, row.source, _verdict(row)) for row in rows],
    )
    verdicts = list(dict.fromkeys(_verdict(row) for row in rows))
    height = 50 + 26 * len({row.scheme for row in rows})
    spec = finish(_strip(name, rows, verdicts, target), height)
    how = "predicted" if target.is_predicted else "measured"
    description = f"{plural(len(rows), 'candidate')} {how}, not trained, by latency."
    legend = tuple(LegendEntry(v, VERDICT_COLOURS.get(v, GREY), "square") for v in verdicts)
    title = f"{how.capitalize()}, but not trained"
    chart = Chart(key, title, description, height, spec, (name,), legend)
    return Charts({key: chart}, {name: table})


def _verdict(row: CandidateRow) -> str:
    return (row.status or row.clause).replace("-", " ")


def _strip(name: str, rows: list[CandidateRow], verdicts: list[str], target: TargetView) -> Any:
    import altair as alt

    latencies = [row.latency_ms for row in rows if row.latency_ms is not None]
    scale = alt.Scale(domain=verdicts, range=[VERDICT_COLOURS.get(v, GREY) for v in verdicts])
    ticks = (
        alt.Chart(alt.NamedData(name))
        .mark_tick(thickness=3, size=16, opacity=1)
        .encode(
            x=latency_axis(
                latencies, target.limit_ms, target.percentile, words=target.latency_words
            ),
            y=alt.Y("scheme:N", title=None),
            color=alt.Color("verdict:N", scale=scale, legend=None),
            tooltip=[
                "network:N",
                "scheme:N",
                latency_tooltip(target.percentile, words=target.latency_words),
                alt.Tooltip("source:N", title="latency is"),
                "verdict:N",
            ],
        )
    )
    return alt.layer(*budget_layers(target), ticks)
