"""The chart of what each quantization scheme did to the latency of each network."""

from __future__ import annotations

from typing import Any

from automl.report.chart import (
    GREY,
    NO_CHARTS,
    Chart,
    Charts,
    LegendEntry,
    budget_layers,
    colour,
    encode_table,
    finish,
    latency_axis,
    latency_tooltip,
    scheme_shape,
    shape,
)
from automl.report.schemes import SchemeRow
from automl.report.view import TargetView
from automl.units import plural

__all__ = ["MAX_NETWORKS", "scheme_chart"]

MAX_NETWORKS = 40
"""Networks drawn, the fastest ones; the table below the chart holds all."""


def scheme_chart(target: TargetView, index: int) -> Charts:
    """Draw each network's latency under each scheme on one line, fastest network first."""
    fastest: dict[str, float] = {}
    for row in target.schemes.rows:
        if row.latency_ms is not None:
            known = fastest.get(row.network, float("inf"))
            fastest[row.network] = min(known, row.latency_ms)
    networks = sorted(fastest, key=lambda network: fastest[network])[:MAX_NETWORKS]
    shown = set(networks)
    rows = [r for r in target.schemes.rows if r.network in shown and r.latency_ms is not None]
    schemes = list(dict.fromkeys(row.scheme for row in rows))
    if len(schemes) < 2:
        return NO_CHARTS
    key = f"schemes-{index}"
    table = encode_table(
        ("network", "scheme", "latency"), [(r.network, r.scheme, r.latency_ms) for r in rows]
    )
    height = 50 + 20 * len(networks)
    description = f"Latency of {plural(len(networks), 'network')} under {len(schemes)} schemes."
    spec = finish(_schemes(key, rows, networks, schemes, target), height)
    legend = tuple(LegendEntry(s, colour(i), shape(i)) for i, s in enumerate(schemes))
    title = f"{target.latency_words.capitalize()} under each scheme"
    chart = Chart(key, title, description, height, spec, (key,), legend)
    return Charts({key: chart}, {key: table})


def _schemes(
    name: str, rows: list[SchemeRow], networks: list[str], schemes: list[str], target: TargetView
) -> Any:
    import altair as alt

    latencies = [row.latency_ms for row in rows if row.latency_ms is not None]
    x = latency_axis(latencies, target.limit_ms, target.percentile, words=target.latency_words)
    y = alt.Y("network:N", title=None, sort=networks, axis=alt.Axis(grid=True))
    scale = alt.Scale(domain=schemes, range=[colour(i) for i in range(len(schemes))])
    base = alt.Chart(alt.NamedData(name)).encode(x=x, y=y)
    lines = base.mark_line(color=GREY, strokeWidth=1.5).encode(detail="network:N")
    dots = base.mark_point(filled=True, size=75, opacity=1).encode(
        color=alt.Color("scheme:N", scale=scale, legend=None),
        shape=scheme_shape(schemes),
        tooltip=[
            "network:N",
            "scheme:N",
            latency_tooltip(target.percentile, words=target.latency_words),
        ],
    )
    return alt.layer(*budget_layers(target), lines, dots)
