"""One candidate on one device as a row of words and numbers, in fixed units so that rows can be sorted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from automl.records import VerdictStatus
from automl.records.planner import DeviceOutlook, Placement
from automl.report.planner_numbers import format_fraction, format_rate, format_span
from automl.report.planner_scale import percentile_shown
from automl.units import format_latency

__all__ = ["PlacementRow", "Tone", "mark_of", "order_of", "row_of"]

Tone = Literal["good", "warn", "bad"]

_VERDICTS: Mapping[VerdictStatus, str] = MappingProxyType(
    {
        VerdictStatus.FITS: "fits",
        VerdictStatus.UNSURE: "unsure",
        VerdictStatus.AFTER_TRAINING: "later",
        VerdictStatus.TOO_SLOW: "too slow",
        VerdictStatus.TOO_LARGE: "too large",
        VerdictStatus.TOO_MUCH_MEMORY: "too much memory",
        VerdictStatus.IMPLIED: "not looked at",
        VerdictStatus.SLOWER_THAN_FLOAT: "no gain",
        VerdictStatus.NOT_EXAMINED: "not looked at",
        VerdictStatus.FAILED: "cannot run",
    }
)
_OPEN = (VerdictStatus.UNSURE, VerdictStatus.AFTER_TRAINING)


@dataclass(frozen=True)
class PlacementRow:
    """One candidate on one device, in words."""

    network: str
    scheme: str
    verdict: str
    tone: Tone
    latency: str
    """``~5.10 to 6.20 ms``: p50 to p95."""
    limited: str
    """``~10.1 ms``: the percentile that is limited."""
    interval: str
    """Of the percentile that is limited: ``2.80 to 13.6 ms``."""
    memory: str
    """Megabytes."""
    size: str
    """Megabytes."""
    energy: str
    """Millijoules an image; ``~12.5`` where it is estimated."""
    cost: str
    """Dollars a million images."""
    day: str
    """Dollars a day."""
    frames: str
    """Images a second."""
    why: str
    placement: Placement


def order_of(placement: Placement) -> tuple[int, float]:
    """Return what placements are shown by: those that fit first, the faster before the slower."""
    rank = 0 if placement.status is VerdictStatus.FITS else 1 if placement.status in _OPEN else 2
    known = placement.latency_ms.get("p50")
    return rank, math.inf if known is None else known.value


def row_of(one: Placement, outlook: DeviceOutlook) -> PlacementRow:
    """Return the row of a placement under its outlook's limits."""
    mark, name = mark_of(one), percentile_shown(outlook)
    limited = one.latency_ms.get(name)
    tone: Tone = "bad"
    if one.status is VerdictStatus.FITS:
        tone = "good"
    elif one.status in _OPEN:
        tone = "warn"
    return PlacementRow(
        network=one.candidate.architecture.key,
        scheme=one.candidate.scheme,
        verdict=_VERDICTS[one.status],
        tone=tone,
        latency=f"{mark}{_from_to(one)}" if one.latency_ms else "–",
        limited="–" if limited is None else f"{mark}{format_latency(limited.value)}",
        interval="–" if limited is None else format_span(limited.low, limited.high),
        memory=_number(one.memory_bytes, 1e6, mark),
        size=_number(one.size_bytes, 1e6),
        energy=_number(
            None if one.energy is None else one.energy.joules, 1e-3, energy_mark_of(one)
        ),
        cost=_number(None if one.cost is None else one.cost.usd_per_million, 1, mark),
        day=_number(None if one.cost is None else one.cost.usd_a_day, 1, mark),
        frames="–"
        if one.frames_per_second is None
        else f"{mark}{format_rate(one.frames_per_second)}",
        why=one.reason,
        placement=one,
    )


def _number(value: float | None, unit: float, mark: str = "") -> str:
    return "–" if value is None else f"{mark}{format_fraction(value / unit)}"


def _from_to(one: Placement) -> str:
    low, high = one.latency_ms["p50"].value, one.latency_ms["p95"].value
    return f"{format_latency(low).removesuffix(' ms')} to {format_latency(high)}"


def energy_mark_of(one: Placement) -> str:
    """Return the mark of an energy that no counter measured, also where the latency was."""
    return "" if one.energy is None or one.energy.source == "measured" else "~"


def mark_of(one: Placement) -> str:
    """Return the mark of numbers that rest on a prediction."""
    return "~" if one.source == "predicted" else ""
