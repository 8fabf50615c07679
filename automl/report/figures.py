"""The key figures of an answer: score, latencies, size and memory against their limits."""

from __future__ import annotations

from dataclasses import dataclass

from automl.records import (
    Evidence,
    Forecast,
    LatencyBudget,
    RunRecord,
    Target,
    TargetSelection,
)
from automl.report.words import format_optional_size, format_score, metric_words
from automl.units import format_latency, format_size, plural

__all__ = ["Figure", "build_figures"]


@dataclass(frozen=True)
class Figure:
    """A key figure. ``share`` is its part of the limit (1: all of it), ``None`` without one."""

    label: str
    value: str
    note: str
    share: float | None


def build_figures(record: RunRecord, target: Target, chosen: TargetSelection) -> tuple[Figure, ...]:
    """Return the score, every latency that a limit was asked for, the file's size and its memory."""
    objective = record.spec.objective
    scores, winner = chosen.test_scores, chosen.winner
    known: Evidence | None = chosen.measurement or chosen.forecast
    score = None if scores is None else scores.values.get(objective)
    samples = "" if scores is None else f"on {plural(scores.samples, 'test image')}"
    figures = [Figure(metric_words(objective), format_score(score), samples, None)]
    if known is not None:
        figures.extend(_latency_figure(budget, known) for budget in target.latency)
        if not target.latency:
            upper = format_latency(known.p95_ms.high)
            figures.append(Figure(_label("latency p95", known), upper, "no limit asked", None))
    if winner is not None:
        figures.append(_against("file size", winner.size_bytes, target.size_bytes))
    memory = None if known is None else known.memory_bytes
    if memory is not None or target.memory_bytes is not None:
        figures.append(_against(_label("memory", known), memory, target.memory_bytes))
    return tuple(figures)


def _label(what: str, known: Evidence | None) -> str:
    return f"{what}, predicted" if isinstance(known, Forecast) else what


def _latency_figure(budget: LatencyBudget, known: Evidence) -> Figure:
    upper = known.percentile(budget.percentile).high
    return Figure(
        _label(f"latency {budget.percentile}", known),
        format_latency(upper),
        f"of {format_latency(budget.limit_ms)} allowed",
        upper / budget.limit_ms,
    )


def _against(label: str, value: int | None, limit: int | None) -> Figure:
    note = "no limit asked" if limit is None else f"of {format_size(limit)} allowed"
    share = None if limit is None or value is None else value / limit
    return Figure(label, format_optional_size(value), note, share)
