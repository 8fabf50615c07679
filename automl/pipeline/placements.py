"""What a latency means for a plan: verdicts on each candidate, the best of a device, the cheapest device.

Pure functions on records. A prediction is judged as a measurement is, by its interval, so it says
"unsure" where a measurement would decide; no number changes its source here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from automl.hardware.costs import cost_of, energy_of, frames_per_second, link_time
from automl.records import (
    Architecture,
    DeviceProfile,
    Evidence,
    Forecast,
    Host,
    LatencyBudget,
    Measurement,
    Scope,
    Target,
    Verdict,
    VerdictStatus,
)
from automl.records.planner import (
    CostRules,
    DeviceOutlook,
    NeededBudget,
    Placement,
)
from automl.records.spec import Percentile
from automl.units import format_size

__all__ = ["RANKING", "Looked", "outlook_of", "place"]

RANKING = (
    "expected accuracy: no network was trained, so those with more multiplications an image are "
    "expected to be more accurate, and float32 before int8; a rule of thumb that training decides"
)

_PERCENTILES: tuple[Percentile, ...] = ("p50", "p90", "p95", "p99")
_MEMORY_DOUBT = 1.5
"""A predicted memory counts weights, the largest results and the runtime; how the runtime reuses its
memory is not known before it ran, so up to so many times what the device has stays unsure."""
_ROOM = 1.1
"""A limit that is proposed leaves a tenth of room: the next measurement will not be exactly this one."""


@dataclass(frozen=True)
class Looked:
    """A device that is looked at, and the limits that are asked of it."""

    target: Target
    title: str
    profile: DeviceProfile | None
    host: Host | None
    """``None``: nothing is measured on it."""

    @property
    def is_measured(self) -> bool:
        """Whether candidates run on it, instead of being predicted."""
        return self.host is not None


def place(verdict: Verdict, looked: Looked, *, rules: CostRules, frame_bytes: int) -> Placement:
    """Return what a verdict on a candidate means on its device.

    Args:
        frame_bytes: of the compressed frame, for a device that it is sent to.
    """
    target, known = looked.target, verdict.evidence
    status, reason = verdict.status, verdict.reason
    if known is None:
        return Placement(
            candidate=verdict.candidate,
            device=target.device,
            target=target.name,
            status=status,
            reason=reason,
            source=None,
            basis="",
            latency_ms={},
            memory_bytes=None,
            size_bytes=None,
            frames_per_second=None,
            energy=None,
            cost=None,
            link=None,
        )
    if status.is_feasible:
        status, reason = _judge_memory(known, looked.profile) or (status, reason)
    network = None if looked.profile is None else looked.profile.network
    link = link_time(None if target.scope is Scope.MODEL else network, frame_bytes=frame_bytes)
    compute_ms = known.p50_ms.value - (known.link_ms if isinstance(known, Forecast) else 0.0)
    return Placement(
        candidate=verdict.candidate,
        device=target.device,
        target=target.name,
        status=status,
        reason=reason,
        source="predicted" if isinstance(known, Forecast) else "measured",
        basis=_basis(known),
        latency_ms={name: known.percentile(name) for name in _PERCENTILES},
        memory_bytes=known.memory_bytes,
        size_bytes=known.size_bytes,
        frames_per_second=frames_per_second(compute_ms, link),
        energy=energy_of(
            looked.profile,
            compute_ms,
            images_a_day=rules.images_a_day,
            measured=known.energy if isinstance(known, Measurement) else None,
        ),
        cost=cost_of(looked.profile, compute_ms, rules=rules, link=link),
        link=link,
    )


def outlook_of(
    looked: Looked, placements: Sequence[Placement], macs: Mapping[Architecture, int]
) -> DeviceOutlook:
    """Return what a device means for its limits, from all its placements."""
    profile = looked.profile
    counts = Counter(one.status for one in placements)
    fits, unsure = counts[VerdictStatus.FITS], counts[VerdictStatus.UNSURE]
    best = _most_accurate(placements, macs)
    if best is not None:
        status = best.status
    else:
        status = counts.most_common(1)[0][0] if counts else VerdictStatus.NOT_EXAMINED
    return DeviceOutlook(
        name=looked.target.name,
        target=looked.target,
        title=looked.title,
        kind=None if profile is None else profile.kind,
        profile=profile,
        host=looked.host,
        status=status,
        fits=fits,
        unsure=unsure,
        placements=len(placements),
        best=None if best is None else best.candidate,
        needed=_needed(looked.target, placements),
        proof="" if looked.is_measured else _proof(profile),
        notes=() if profile is None else _notes(profile),
    )


def _judge_memory(
    known: Evidence, profile: DeviceProfile | None
) -> tuple[VerdictStatus, str] | None:
    """Return the verdict by the memory that the device has, or ``None``: it is enough, or not known."""
    needed = known.memory_bytes
    if needed is None or profile is None or needed <= profile.memory_bytes.value:
        return None
    has = profile.memory_bytes.value
    took = "took" if isinstance(known, Measurement) else "would take, by prediction,"
    reason = f"the device has {format_size(has)} of memory: running it {took} {format_size(needed)}"
    is_sure = isinstance(known, Measurement) or needed > has * _MEMORY_DOUBT
    return VerdictStatus.TOO_MUCH_MEMORY if is_sure else VerdictStatus.UNSURE, reason


def _basis(known: Evidence) -> str:
    if isinstance(known, Forecast):
        return known.explanation
    early = ", stopped early since the budget could not be met" if known.stopped_early else ""
    when = known.measured_at[:10]
    return f"{known.runs:,} runs on {known.host.runs_on} on {when}{early}"


def _most_accurate(
    placements: Sequence[Placement], macs: Mapping[Architecture, int]
) -> Placement | None:
    """Return the placement of the candidate that :data:`RANKING` puts first, of those that fit."""
    for status in (VerdictStatus.FITS, VerdictStatus.UNSURE):
        able = [one for one in placements if one.status is status]
        if able:
            return max(
                able,
                key=lambda one: (
                    macs.get(one.candidate.architecture, 0),
                    one.candidate.scheme == "float32",
                    -one.latency_ms["p50"].value,
                ),
            )
    return None


def _needed(target: Target, placements: Sequence[Placement]) -> NeededBudget | None:
    """Return the smallest latency limits that some candidate within all other limits would keep."""
    if not target.latency:
        return None
    other = (VerdictStatus.TOO_LARGE, VerdictStatus.TOO_MUCH_MEMORY, VerdictStatus.FAILED)
    able = [
        one
        for one in placements
        if one.latency_ms
        and one.status not in other
        and (target.size_bytes is None or (one.size_bytes or 0) <= target.size_bytes)
        and (target.memory_bytes is None or (one.memory_bytes or 0) <= target.memory_bytes)
    ]
    if not able:
        return None

    def excess(one: Placement) -> float:
        return max(one.latency_ms[b.percentile].high / b.limit_ms for b in target.latency)

    least = min(able, key=excess)
    return NeededBudget(
        latency=tuple(
            LatencyBudget(b.percentile, _round_up(least.latency_ms[b.percentile].high * _ROOM))
            for b in target.latency
        ),
        candidate=least.candidate,
        is_predicted=least.source == "predicted",
    )


def _round_up(value_ms: float) -> float:
    """Return milliseconds rounded up to two significant digits."""
    step = 10.0 ** (math.floor(math.log10(value_ms)) - 1)
    return float(f"{math.ceil(value_ms / step - 1e-9) * step:.6g}")


def _proof(profile: DeviceProfile | None) -> str:
    if profile is not None and profile.provider is None:
        return (
            "onnxruntime does not run there: convert a model with the maker's tools and time it on "
            "the device"
        )
    return (
        "run 'automl agent' on such a device, and plan again with --device http://ADDRESS:8420 and "
        "the token that it prints in AUTOML_AGENT_TOKEN"
    )


def _notes(profile: DeviceProfile) -> tuple[str, ...]:
    notes = list(profile.notes)
    if profile.network is not None:
        notes.append(f"When the link is down: {profile.network.when_down}")
    return tuple(notes)
