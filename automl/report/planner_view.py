"""A hardware plan as words and numbers, apart from how it looks: the terminal and the page show the same.

For people who plan machines and know no deep learning. A number that was predicted carries ``~`` wherever
it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType

from automl.records import Source, VerdictStatus
from automl.records.planner import DeviceOutlook, HardwarePlan, LinkTime, Placement
from automl.report.planner_numbers import (
    format_energy,
    format_limits,
    format_rate,
    format_span,
    format_usd,
)
from automl.report.planner_rows import PlacementRow, Tone, energy_mark_of, mark_of, order_of, row_of
from automl.report.planner_scale import Bar, LatencyScale, percentile_shown
from automl.report.words import join_words
from automl.units import format_latency, format_size, plural

__all__ = [
    "DeviceView",
    "PlannerFigure",
    "PlannerView",
    "build_planner_view",
]

_KINDS: Mapping[str | None, str] = MappingProxyType(
    {
        None: "measured, not in the catalogue",
        "cloud": "cloud, rented by the hour",
        "edge-pc": "PC beside the line",
        "arm": "small ARM board",
        "gpu": "graphics processor",
        "npu": "neural processor",
        "fpga": "programmable chip (FPGA)",
        "smart-camera": "camera with its own processor",
    }
)


@dataclass(frozen=True)
class PlannerFigure:
    """One number of a device's best candidate, large, with what it means."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class DeviceView:
    """One device under one target's limits, in words."""

    id: str
    name: str
    title: str
    kind: str
    verdict: str
    tone: Tone
    counts: str
    limits: str
    source: str
    """Whether its numbers were measured or predicted, and from what."""
    figures: tuple[PlannerFigure, ...]
    best: PlacementRow | None
    needed: str
    network: str
    proof: str
    notes: tuple[str, ...]
    rows: tuple[PlacementRow, ...]
    bar: Bar | None
    bar_label: str
    """Whose latency the bar shows."""
    bar_text: str
    """The same in words."""
    sources: tuple[Source, ...]
    """Of the device's figures; addresses are those of the web."""


@dataclass(frozen=True)
class PlannerView:
    """The whole answer in words."""

    plan: HardwarePlan
    headline: str
    tone: Tone
    subject: str
    cheapest: str
    devices: tuple[DeviceView, ...]
    scale: tuple[tuple[float, str], ...]
    """Marks of the common scale of latencies: percent, text."""


def build_planner_view(plan: HardwarePlan) -> PlannerView:
    """Return what a hardware plan says."""
    scale = LatencyScale.of(plan)
    able = [o for o in plan.outlooks if o.fits]
    maybe = [o for o in plan.outlooks if not o.fits and o.unsure]
    expected = sum(_rests_on_prediction(plan, o) for o in able)
    return PlannerView(
        plan=plan,
        headline=_headline(len(able), expected, len(maybe), len(plan.outlooks)),
        tone="good" if able else "warn" if maybe else "bad",
        subject=_subject(plan),
        cheapest="" if plan.cheapest is None else plan.cheapest.sentence,
        devices=tuple(_device(plan, o, i, scale) for i, o in enumerate(plan.outlooks)),
        scale=tuple(scale.marks()),
    )


def _rests_on_prediction(plan: HardwarePlan, outlook: DeviceOutlook) -> bool:
    """Whether nothing that fits on a device was measured there."""
    fitting = [one for one in plan.of(outlook) if one.status is VerdictStatus.FITS]
    return all(one.source == "predicted" for one in fitting)


def _headline(able: int, expected: int, maybe: int, total: int) -> str:
    """Return the answer in one sentence; ``expected`` of those ``able`` are so by prediction alone."""
    count = plural(total, "device")
    if able:
        subject = f"All {total} devices" if able == total else f"{able} of {count}"
        subject = "The device" if total == 1 else subject
        verb = "meets" if able == 1 else "meet"
        which = ", by prediction" if expected == able else f", {expected} of them by prediction"
        more = f"; {plural(maybe, 'more device')} may" if maybe else ""
        return f"{subject} {verb} the limits{which if expected else ''}{more}."
    if maybe:
        subject = "The device" if total == 1 else f"{maybe} of {count}"
        return f"{subject} may meet the limits; only a measurement can tell."
    return "No device meets the limits." if total > 1 else "The device does not meet the limits."


def _subject(plan: HardwarePlan) -> str:
    height, width = plan.frame_size
    space = PurePath(plan.space).name
    return (
        f"{plan.task} of frames of {width} x {height} pixels, "
        f"{plural(plan.classes, 'class', 'classes')}, search space '{space}' with "
        f"{plural(len(plan.networks), 'network')}"
    )


def _device(
    plan: HardwarePlan, outlook: DeviceOutlook, index: int, scale: LatencyScale
) -> DeviceView:
    placements = sorted(plan.of(outlook), key=order_of)
    best = next((p for p in placements if p.candidate == outlook.best), None)
    shown = best or next((p for p in placements if p.latency_ms), None)
    tone: Tone = "good" if outlook.fits else "warn" if outlook.unsure else "bad"
    words = {"good": "fits", "warn": "may fit", "bad": "does not fit"}
    link = next((p.link for p in placements if p.link is not None), None)
    return DeviceView(
        id=f"d{index}",
        name=outlook.name,
        title=outlook.title,
        kind=_KINDS[outlook.kind],
        verdict=words[tone],
        tone=tone,
        counts=_counts(outlook),
        limits=format_limits(outlook.target),
        source="" if shown is None else f"{shown.source}, {shown.basis}",
        figures=() if best is None else tuple(_figures(best, outlook)),
        best=None if best is None else row_of(best, outlook),
        needed=_needed(outlook),
        network="" if link is None else _network(link),
        proof=outlook.proof,
        notes=outlook.notes,
        rows=tuple(row_of(one, outlook) for one in placements),
        bar=None if shown is None else scale.bar(shown, outlook),
        bar_label="" if shown is None else shown.candidate.key,
        bar_text="" if shown is None else _bar_text(shown, outlook),
        sources=() if outlook.profile is None else tuple(outlook.profile.sources.values()),
    )


def _bar_text(shown: Placement, outlook: DeviceOutlook) -> str:
    name = percentile_shown(outlook)
    found = shown.latency_ms[name]
    span = format_span(found.low, found.high)
    return f"{name} {format_latency(found.value)} ({span}), {outlook.target.name}"


def _counts(outlook: DeviceOutlook) -> str:
    parts = [f"{outlook.fits} of {plural(outlook.placements, 'candidate')} fit"]
    if outlook.unsure:
        parts.append(f"{outlook.unsure} unsure")
    return ", ".join(parts)


def _figures(best: Placement, outlook: DeviceOutlook) -> Iterator[PlannerFigure]:
    name = percentile_shown(outlook)
    found, mark = best.latency_ms[name], mark_of(best)
    span = format_span(found.low, found.high)
    meaning = {"p50": "half", "p90": "90 of 100", "p95": "95 of 100", "p99": "99 of 100"}[name]
    yield PlannerFigure(
        f"latency {name}",
        f"{mark}{format_latency(found.value)}",
        f"{meaning} of all answers come within it; true value between {span}",
    )
    if best.frames_per_second is not None:
        yield PlannerFigure(
            "frames a second", f"{mark}{format_rate(best.frames_per_second)}", "one after the other"
        )
    if best.energy is not None:
        waiting = best.energy.idle_joules
        more = "" if waiting is None else f"; {format_energy(waiting)} more for waiting in between"
        yield PlannerFigure(
            "energy an image",
            f"{energy_mark_of(best)}{format_energy(best.energy.joules)}",
            f"{best.energy.source}: {best.energy.how}{more}",
        )
    if best.cost is not None:
        yield PlannerFigure(
            "a million images",
            f"{mark}{format_usd(best.cost.usd_per_million)}",
            f"on a machine kept busy: {best.cost.how}",
        )
        machines = plural(best.cost.machines, "machine")
        yield PlannerFigure(
            "a day", f"{mark}{format_usd(best.cost.usd_a_day)}", f"{machines}, around the clock"
        )


def _needed(outlook: DeviceOutlook) -> str:
    needed = outlook.needed
    if needed is None:
        return ""
    limits = join_words([f"{b.percentile} {b.limit_ms:g} ms" for b in needed.latency])
    how = "by prediction" if needed.is_predicted else "as measured"
    return f"The smallest latency limit that something keeps here: {limits}, {how} ({needed.candidate.key})."


def _network(link: LinkTime) -> str:
    return (
        f"Of this the network takes {format_latency(link.p50_ms)} (95 of 100 times at most "
        f"{format_latency(link.p95_ms)}): {format_size(link.frame_bytes)} are sent in "
        f"{format_latency(link.upload_ms)}, the rest is the way there and back."
    )
