"""A batch as one HTML page that works offline, in the style of a run's report: read at 08:00, in a minute."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from automl.records.batch import Batch, BatchEntry, BatchStatus
from automl.report.render import page_environment, page_policy, ready_markup
from automl.resources import shipped
from automl.units import format_duration

__all__ = ["BatchRow", "batch_cost", "batch_headline", "batch_rows", "render_batch"]

_TONES = {
    BatchStatus.FITS: "good",
    BatchStatus.MISSES: "bad",
    BatchStatus.FAILED: "bad",
    BatchStatus.WAITING: "warn",
}


@dataclass(frozen=True)
class BatchRow:
    """One target of one spec, in words; a spec without a result has one row."""

    number: int
    name: str
    target: str
    status: str
    tone: str
    candidate: str
    score: str
    metric: str
    """What the score is; empty where there is none."""
    latency: str
    limit: str
    time: str
    allowed: str
    """What the spec's time allows; empty where nothing ran."""
    cost: str
    problem: str
    report: str | None
    """Address of the run's report, relative to the page."""
    is_first: bool
    """Whether it is the first row of its spec."""


def batch_rows(batch: Batch) -> tuple[BatchRow, ...]:
    """Return the table of a batch, specs in their order and each with its targets."""
    return tuple(row for entry in batch.entries for row in _rows(entry, batch))


def batch_headline(batch: Batch) -> str:
    """Return the outcome in a sentence: ``3 of 5 specs fit; 1 does not, 1 failed.``"""
    total = len(batch.entries)
    words = [
        (batch.count(BatchStatus.MISSES), "does not", "do not"),
        (batch.count(BatchStatus.FAILED), "failed", "failed"),
        (batch.count(BatchStatus.WAITING), "did not run", "did not run"),
    ]
    rest = [f"{count} {one if count == 1 else many}" for count, one, many in words if count]
    fits = batch.count(BatchStatus.FITS)
    if not rest:
        return "The spec fits." if total == 1 else f"All {total} specs fit."
    if total == 1:
        return f"The spec {rest[0].removeprefix('1 ').replace('does not', 'does not fit')}."
    verb = "fits" if fits == 1 else "fit"
    return f"{fits} of {total} specs {verb}; {', '.join(rest)}."


def batch_cost(batch: Batch) -> str:
    """Return what a batch took: time, and what that costs where the price is known."""
    hours = _core_hours(batch.entries)
    parts = [f"{format_duration(batch.seconds)} in all", f"{hours:.1f} core hours"]
    if batch.price_usd_hour is not None:
        parts.append(f"{_usd(batch.seconds, batch.price_usd_hour)}")
    return ", ".join(parts)


def render_batch(batch: Batch) -> str:
    """Return a batch as one HTML text, encodable as UTF-8, that asks no other machine."""
    script = shipped("reports", "report.js").read_text("utf-8")
    rows = batch_rows(batch)
    page = (
        page_environment("classification")  # the page uses no word of a task
        .get_template("batch.html.j2")
        .render(
            batch=batch,
            headline=batch_headline(batch),
            cost=batch_cost(batch),
            outcome=_outcome(batch),
            rows=rows,
            problems=[row for row in rows if row.problem and row.is_first],
            css=ready_markup(shipped("reports", "report.css").read_text("utf-8")),
            script=ready_markup(script),
            policy=page_policy(script),
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def _outcome(batch: Batch) -> str:
    if batch.exit_code == 0:
        return "fits"
    return "partly" if batch.count(BatchStatus.FITS) else "nothing"


def _rows(entry: BatchEntry, batch: Batch) -> tuple[BatchRow, ...]:
    empty = (entry.status.value, _TONES[entry.status], "–", "–", "", "–", "")
    found = [
        (
            target.name,
            "fits" if target.fits else "does not fit",
            "good" if target.fits else "bad",
            target.candidate or "nothing fits",
            "–" if target.score is None else f"{target.score:.4f}",
            "" if target.score is None else entry.objective,
            (target.got or "–") + ("" if target.proven or not target.got else " (predicted)"),
            target.limit.removeprefix("latency "),
        )
        for target in entry.targets
    ]
    report = f"{quote(entry.folder)}/report.html" if entry.status.is_final else None
    return tuple(
        BatchRow(
            entry.number,
            entry.name,
            *words,
            time=format_duration(entry.seconds) if entry.seconds else "–",
            allowed=f"of {format_duration(entry.allowed_s)}" if entry.seconds else "",
            cost=_cost(entry, batch.price_usd_hour) if entry.seconds else "–",
            problem=entry.problem or "",
            report=report,
            is_first=place == 0,
        )
        for place, words in enumerate(found or [("–", *empty)])
    )


def _cost(entry: BatchEntry, price_usd_hour: float | None) -> str:
    if price_usd_hour is None:
        return f"{_core_hours((entry,)):.2f} core hours"
    return _usd(entry.seconds, price_usd_hour)


def _usd(seconds: float, price_usd_hour: float) -> str:
    return f"{seconds / 3600 * price_usd_hour:.2f} USD"


def _core_hours(entries: tuple[BatchEntry, ...]) -> float:
    return sum(entry.seconds * entry.cores for entry in entries) / 3600
