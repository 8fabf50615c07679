"""The learning curves: loss and score on validation images by epoch, one line a trial."""

from __future__ import annotations

from typing import Any

from automl.report.candidates import CandidateState
from automl.report.chart import (
    GREY,
    NO_CHARTS,
    SERIES,
    STATE_COLOURS,
    Chart,
    Charts,
    LegendEntry,
    colour,
    encode_table,
    finish,
)
from automl.report.view import View
from automl.units import plural

__all__ = ["curve_charts"]

CHOSEN = STATE_COLOURS[CandidateState.WINNER]
_HEIGHT = 260


def curve_charts(view: View, objective: str) -> Charts:
    """Return the charts ``loss`` and ``score``, which share one table; absent without any value."""
    if not view.curves:
        return NO_CHARTS
    winners = {target.winner_trial for target in view.targets}
    names = {trial.number: f"#{trial.number} {trial.architecture.key}" for trial in view.trials}
    trials = list(dict.fromkeys(names[point.trial] for point in view.curves))
    table = encode_table(
        ("trial", "name", "epoch", "train", "val", "score", "chosen"),
        [
            (p.trial, names[p.trial], p.epoch, p.train_loss, p.val_loss, p.score,
             int(p.trial in winners))
            for p in view.curves
        ],
    )  # fmt: skip
    charts: dict[str, Chart] = {}
    for key, field, title in (
        ("loss", "val", "loss on validation images"),
        ("score", "score", f"{objective} on validation images"),
    ):
        if any(value is not None for value in table[field]):
            description = f"{title} by epoch, one line a trial ({plural(len(trials), 'trial')})."
            spec = finish(_curve(field, title, trials), _HEIGHT)
            chart = Chart(key, title, description, _HEIGHT, spec, ("curves",), _legend(trials))
            charts[key] = chart
    return Charts(charts, {"curves": table}) if charts else NO_CHARTS


def _legend(trials: list[str]) -> tuple[LegendEntry, ...]:
    """Return what the lines are, or nothing when there are more lines than colours."""
    if len(trials) > len(SERIES):
        return ()
    return tuple(LegendEntry(name, colour(i)) for i, name in enumerate(trials))


def _curve(field: str, title: str, trials: list[str]) -> Any:
    import altair as alt

    x = alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False))
    y = alt.Y(f"{field}:Q", title=None, scale=alt.Scale(zero=False))
    base = alt.Chart(alt.NamedData("curves")).encode(x=x, y=y)
    is_few = len(trials) <= len(SERIES)
    scale = alt.Scale(domain=trials, range=[colour(i) for i in range(len(trials))])
    by_trial = alt.Color("name:N", scale=scale, legend=None)
    by_choice = alt.condition("datum.chosen == 1", alt.value(CHOSEN), alt.value(GREY))
    opacity = 0.9 if is_few else 0.55
    lines = base.mark_line(point=alt.OverlayMarkDef(size=28), opacity=opacity)
    return lines.encode(
        color=by_trial if is_few else by_choice,
        detail="trial:Q",
        strokeWidth=alt.condition("datum.chosen == 1", alt.value(3.5), alt.value(1.4)),
        tooltip=[
            alt.Tooltip("name:N", title="trial"),
            alt.Tooltip("epoch:Q"),
            alt.Tooltip(f"{field}:Q", title=title, format=".4f"),
            alt.Tooltip("train:Q", title="loss on training images", format=".4f"),
        ],
    )
