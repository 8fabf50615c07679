"""The chart of what depth bought: score against latency, one line for networks that differ in depth."""

from __future__ import annotations

from typing import Any

from automl.report.candidates import CandidateState
from automl.report.chart import (
    NO_CHARTS,
    SERIES,
    STATE_COLOURS,
    Chart,
    Charts,
    LegendEntry,
    colour,
    encode_table,
    finish,
    latency_axis,
    latency_tooltip,
    share_axis,
)
from automl.report.depth import DepthRow
from automl.report.view import TargetView
from automl.units import plural

__all__ = ["depth_chart"]

_HEIGHT = 300


def depth_chart(target: TargetView, index: int, objective: str) -> Charts:
    """Return ``depth-N``: groups with a score at two depths at least, as many as there are colours."""
    if target.depth is None:
        return NO_CHARTS
    known: dict[str, list[DepthRow]] = {}
    for row in target.depth.rows:
        if row.score is not None and row.latency_ms is not None:
            known.setdefault(row.group, []).append(row)
    groups = {name: rows for name, rows in known.items() if len(rows) > 1}
    shown = list(groups)[: len(SERIES)]
    if not shown:
        return NO_CHARTS
    key = f"depth-{index}"
    rows = [row for name in shown for row in groups[name]]
    table = encode_table(
        ("group", "depth", "score", "latency", "chosen"),
        [(r.group, r.depth, r.score, r.latency_ms, int(r.is_winner)) for r in rows],
    )
    description = (
        f"{objective} against latency of {plural(len(shown), 'line')} of networks that differ in "
        f"their {target.depth.name} alone; each point is labelled with it. The table holds the same."
    )
    title = f"{objective} against latency, by {target.depth.name}"
    legend = tuple(LegendEntry(name, colour(i)) for i, name in enumerate(shown))
    spec = finish(_depth(key, rows, shown, target, objective), _HEIGHT)
    chart = Chart(key, title, description, _HEIGHT, spec, (key,), legend)
    return Charts({key: chart}, {key: table})


def _depth(
    name: str, rows: list[DepthRow], groups: list[str], target: TargetView, objective: str
) -> Any:
    import altair as alt

    latencies = [row.latency_ms for row in rows if row.latency_ms is not None]
    depth_name = "depth" if target.depth is None else target.depth.name
    scale = alt.Scale(domain=groups, range=[colour(i) for i in range(len(groups))])
    base = alt.Chart(alt.NamedData(name)).encode(
        x=latency_axis(latencies, None, "p50", words=target.latency_words),
        y=alt.Y("score:Q", title=objective, **share_axis([row.score for row in rows])),
        color=alt.Color("group:N", scale=scale, legend=None),
    )
    lines = base.mark_line(strokeWidth=1.5).encode(order=alt.Order("latency:Q"))
    dots = base.mark_point(filled=True, size=75, opacity=1).encode(
        tooltip=[
            alt.Tooltip("group:N", title="network"),
            alt.Tooltip("depth:N", title=depth_name),
            alt.Tooltip("score:Q", title=objective, format=".2%"),
            latency_tooltip("p50", words=target.latency_words),
        ]
    )
    labels = base.mark_text(align="left", dx=9, dy=-11, fontWeight="bold").encode(text="depth:N")
    ring = base.transform_filter("datum.chosen == 1").mark_point(
        size=320, strokeWidth=2.5, filled=False
    )
    ring = ring.encode(color=alt.value(STATE_COLOURS[CandidateState.WINNER]))
    return alt.layer(lines, ring, dots, labels)
