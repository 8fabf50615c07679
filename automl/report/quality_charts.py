"""The chart of how much data: score against the number of training images, and what is expected."""

from __future__ import annotations

from typing import Any

from automl.records.quality import LearningCurve
from automl.report.chart import (
    GREY,
    NO_CHARTS,
    Chart,
    Charts,
    LegendEntry,
    encode_table,
    finish,
    share_axis,
)
from automl.report.view import View
from automl.units import plural

__all__ = ["images_chart"]

_HEIGHT = 280
_MEASURED, _EXPECTED = "#3b82c4", "#d9730d"
_FITTED_POINTS = 40


def images_chart(view: View) -> Charts:
    """Return ``images``: points with their intervals, the fitted line and the forecasts."""
    curve = None if view.quality is None else view.quality.curve
    if curve is None or not curve.points:
        return NO_CHARTS
    rows = [("measured", p.images, p.mean, p.low, p.high) for p in curve.points]
    rows += [("expected", p.images, p.mean, p.low, p.high) for p in curve.forecasts]
    tables = {
        "images": encode_table(("kind", "images", "score", "low", "high"), rows),
        "images-fit": encode_table(("images", "score"), _fitted(curve)),
    }
    description = (
        f"{curve.metric} against the number of training {curve.unit}: "
        f"{plural(len(curve.points), 'point')} measured, {len(curve.forecasts)} expected, with 95 % "
        "intervals."
    )
    legend = [LegendEntry("measured", _MEASURED)]
    if curve.forecasts:
        legend.append(LegendEntry("expected with more images", _EXPECTED))
    spec = finish(_images(curve), _HEIGHT)
    title = f"{curve.metric} by number of training {curve.unit}"
    names = tuple(tables)
    chart = Chart("images", title, description, _HEIGHT, spec, names, tuple(legend))
    return Charts({"images": chart}, tables)


def _fitted(curve: LearningCurve) -> list[tuple[float, float]]:
    """Return points of the fitted line, evenly spaced on a logarithmic axis."""
    if curve.fitted is None:
        return []
    known = [p.images for p in (*curve.points, *curve.forecasts)]
    low, high = min(known), max(known)
    steps = [low * (high / low) ** (i / (_FITTED_POINTS - 1)) for i in range(_FITTED_POINTS)]
    return [(images, curve.fitted.score(images)) for images in steps]


def _images(curve: LearningCurve) -> Any:
    import altair as alt

    colours = alt.Scale(domain=["measured", "expected"], range=[_MEASURED, _EXPECTED])
    ticks = [p.images for p in (*curve.points, *curve.forecasts)]
    x = alt.X(
        "images:Q",
        title=f"training {curve.unit}",
        scale=alt.Scale(type="log", nice=False, padding=18),
        axis=alt.Axis(values=ticks, format=",d"),
    )
    shown = (*curve.points, *curve.forecasts)
    y = share_axis([end for p in shown for end in (p.low, p.mean, p.high)])
    base = alt.Chart(alt.NamedData("images")).encode(
        x=x, color=alt.Color("kind:N", scale=colours, legend=None)
    )
    bars = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=None, **y), y2=alt.Y2("high:Q")
    )
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=alt.Y("score:Q", **y),
        tooltip=[
            alt.Tooltip("kind:N"),
            alt.Tooltip("images:Q", title=curve.unit),
            alt.Tooltip("score:Q", title=curve.metric, format=".1%"),
            alt.Tooltip("low:Q", format=".1%"),
            alt.Tooltip("high:Q", format=".1%"),
        ],
    )
    line = (
        alt.Chart(alt.NamedData("images-fit"))
        .mark_line(color=GREY, strokeDash=[4, 3], strokeWidth=1.5)
        .encode(x=x, y=alt.Y("score:Q", **y))
    )
    return alt.layer(line, bars, dots)
