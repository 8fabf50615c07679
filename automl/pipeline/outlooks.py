"""From a plan's verdicts to what a planner asks: where would it run, for how much, and from when does it pay?

Reads records and device files, measures nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from automl.data.source import read_source
from automl.hardware.costs import assumptions_of, break_even
from automl.pipeline.placements import RANKING, Looked, outlook_of, place
from automl.records import (
    Dataset,
    DeviceProfile,
    Host,
    Plan,
    Spec,
    Target,
    VerdictStatus,
    split_device,
)
from automl.records.planner import (
    BreakEven,
    Cheapest,
    CostRules,
    DeviceOutlook,
    HardwarePlan,
    Network,
    Placement,
)
from automl.spec.devices import default_name, form_of
from automl.units import format_size

__all__ = ["build_hardware_plan", "profile_of", "with_devices"]

_IMAGES_WEIGHED = 50
"""Files whose median size stands for the compressed frame."""


def with_devices(spec: Spec, devices: Sequence[str]) -> Spec:
    """Return a spec with the limits of its targets applied to other devices, in addition.

    With several targets of different limits each device gets one target for each of them.
    """
    targets = list(spec.targets)
    asked = {_limits(target): target for target in reversed(spec.targets)}
    for device in dict.fromkeys(devices):
        for limits, like in reversed(asked.items()):
            if any(t.device == device and _limits(t) == limits for t in targets):
                continue
            name = default_name(device)
            name = name if len(asked) == 1 else f"{like.name}-{name}"
            targets.append(replace(like, device=device, name=_free(name, targets)))
    return replace(spec, targets=tuple(targets))


def profile_of(device: str) -> DeviceProfile | None:
    """Return what the catalogue says of a device; ``None``: this machine, an agent, or unknown there.

    Raises:
        SpecError: when its file is no device.
    """
    from automl.hardware.catalogue import device_names, load_device

    form = form_of(device)
    if form == "address" or (form == "name" and device not in device_names()):
        return None
    return load_device(device)


def build_hardware_plan(
    plan: Plan, *, spec: Spec, dataset: Dataset, rules: CostRules
) -> HardwarePlan:
    """Return the whole answer.

    Args:
        plan: made for this very spec.
        dataset: what was planned for; a stand-in where there are no images yet.
    """
    frame_bytes, frame_basis = _frame(spec, dataset)
    macs = {network.architecture: network.macs for network in plan.architectures}
    placements: list[Placement] = []
    outlooks: list[DeviceOutlook] = []
    for target in spec.targets:
        looked = _looked(target, plan.hosts)
        own = [
            place(verdict, looked, rules=rules, frame_bytes=frame_bytes)
            for verdict in plan.verdicts
            if verdict.target == target.name
        ]
        placements += own
        outlooks.append(outlook_of(looked, own, macs))
    cheapest = _cheapest(outlooks, placements, rules)
    return HardwarePlan(
        spec_name=spec.name,
        spec_sha256=spec.sha256,
        task=spec.task,
        space=plan.space,
        classes=len(dataset.classes),
        frame_size=dataset.typical_frame,
        frame_bytes=frame_bytes,
        frame_basis=frame_basis,
        rules=rules,
        assumptions=assumptions_of(rules),
        networks=tuple(
            Network(one.architecture, one.parameters, one.macs) for one in plan.architectures
        ),
        outlooks=tuple(outlooks),
        placements=tuple(placements),
        ranking=RANKING,
        cheapest=cheapest,
        break_evens=tuple(_break_evens(outlooks, placements, rules)),
        notes=plan.notes,
        measured=plan.measured,
        predicted=plan.predicted,
        cached=plan.cached,
        seconds=plan.seconds,
    )


def _limits(target: Target) -> Target:
    """Return a target as its limits alone."""
    return replace(target, name="", device="")


def _free(name: str, targets: Sequence[Target]) -> str:
    taken = {target.name.lower() for target in targets}
    free, number = name, 1
    while free.lower() in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _looked(target: Target, hosts: Mapping[str, Host]) -> Looked:
    host, profile = hosts.get(target.device), profile_of(target.device)
    if profile is not None:
        title = profile.title
    elif host is not None:
        is_here = split_device(target.device)[0] == "local"
        title = f"this machine ({host.runs_on})" if is_here else host.runs_on
    else:
        title = target.device
    return Looked(target, title, profile, host)


def _frame(spec: Spec, dataset: Dataset) -> tuple[int, str]:
    """Return the bytes of the compressed frame, and where they come from."""
    height, width = dataset.typical_frame
    size = f"{width} x {height} pixels"
    root, samples = Path(dataset.root), dataset.samples[:_IMAGES_WEIGHED]
    weighed = round(statistics.median(len(read_source(root, one.path)) for one in samples))
    if spec.expected is not None:
        what = (
            f"{size}, as the spec says; {format_size(weighed)} as JPEG, a made frame of quality 90"
        )
        return weighed, what
    return weighed, f"{size}, {format_size(weighed)} as your images lie on the disk (median)"


def _cheapest(
    outlooks: Sequence[DeviceOutlook], placements: Sequence[Placement], rules: CostRules
) -> Cheapest | None:
    """Return the device that costs least a day, of those where something fits, else may fit."""
    best = _best_placements(outlooks, placements)
    for status in (VerdictStatus.FITS, VerdictStatus.UNSURE):
        able = [
            (one.cost.usd_a_day, outlook, one)
            for outlook, one in best
            if one.status is status and one.cost is not None
        ]
        if not able:
            continue
        usd, outlook, one = min(able, key=lambda entry: entry[0])
        is_sure = status is VerdictStatus.FITS
        verb = "meets" if is_sure else "may meet"
        unpriced = [o.title for o, p in best if p.status is status and p.cost is None]
        left = f" Not compared, as no price is known: {', '.join(unpriced)}." if unpriced else ""
        how = ", by prediction" if one.source == "predicted" else ""
        machines = "" if one.cost is None or one.cost.machines == 1 else f"{one.cost.machines} x "
        return Cheapest(
            outlook=outlook.name,
            candidate=one.candidate,
            usd_a_day=usd,
            is_sure=is_sure,
            sentence=f"{machines}{outlook.title} {verb} the limits for the least: "
            f"{usd:.2g} USD a day for {rules.images_a_day:,} images, with {one.candidate.key}{how}.{left}",
        )
    return None


def _break_evens(
    outlooks: Sequence[DeviceOutlook], placements: Sequence[Placement], rules: CostRules
) -> Iterator[BreakEven]:
    """Yield each rented machine against each bought one that is held to the same limits."""
    best = [(o, p) for o, p in _best_placements(outlooks, placements) if o.profile is not None]
    for (cloud, far), (edge, near) in product(best, best):
        if cloud.profile is None or edge.profile is None:
            continue
        if cloud.profile.price_usd_hour is None or edge.profile.price_usd_hour is not None:
            continue
        if _limits(cloud.target) != _limits(edge.target):
            continue
        found = break_even(
            cloud.profile,
            _compute_ms(far),
            edge.profile,
            _compute_ms(near),
            rules=rules,
            cloud_link=far.link,
        )
        if found is not None:
            yield found


def _compute_ms(placement: Placement) -> float:
    link_ms = 0.0 if placement.link is None else placement.link.p50_ms
    return placement.latency_ms["p50"].value - link_ms


def _best_placements(
    outlooks: Sequence[DeviceOutlook], placements: Sequence[Placement]
) -> list[tuple[DeviceOutlook, Placement]]:
    by_key = {(one.target, one.candidate): one for one in placements}
    return [
        (outlook, by_key[outlook.name, outlook.best])
        for outlook in outlooks
        if outlook.best is not None
    ]
