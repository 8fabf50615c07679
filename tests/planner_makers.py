"""Devices and placements for tests of planning: round figures, so that answers can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from record_makers import architecture

from automl.records import (
    Candidate,
    DeviceProfile,
    Figure,
    Forecast,
    Interval,
    LatencyBudget,
    NetworkLink,
    Scope,
    Source,
    Target,
)

SOURCE = Source("Maker's data sheet", "https://example.com/sheet.pdf", "2026-11-22")
DOWN = "Images wait on the camera."


def figure(value: float, *, estimated: str | None = None) -> Figure:
    return Figure(value, "sheet", estimated)


BOARD = DeviceProfile(
    name="board",
    title="Little Board",
    kind="arm",
    description="A board.",
    processor="4x Core",
    architecture="aarch64",
    instruction_sets=("neon",),
    provider="CPUExecutionProvider",
    precisions=("float32", "int8"),
    unsupported_operators=(),
    cores=figure(4),
    memory_bytes=figure(2e9),
    bandwidth_bytes_s=figure(1e10),
    peak_flops={"float32": figure(1e11), "int8": figure(4e11)},
    idle_w=figure(2.0),
    load_w=figure(10.0),
    price_usd=figure(73.05),
    price_usd_hour=None,
    network=None,
    sources={"sheet": SOURCE},
    notes=("Gets warm.",),
)
"""73.05 USD over two years of 365.25 days are 0.1 USD a day."""

CLOUD = replace(
    BOARD,
    name="cloud",
    title="Far Machine",
    kind="cloud",
    idle_w=None,
    load_w=None,
    price_usd=None,
    price_usd_hour=figure(0.36),
    network=NetworkLink(figure(20.0), figure(45.0), figure(40e6), DOWN),
)
"""0.36 USD an hour are 0.0001 USD a second."""


def forecast(p50_ms: float, *, device: str = "board", link_ms: float = 0.0) -> Forecast:
    """Return a forecast: p95 is 1.2 times p50, and the truth within a factor of two."""

    def around(value: float) -> Interval:
        return Interval(value, value / 2, value * 2)

    return Forecast(
        device=device,
        basis="catalogue",
        explanation="from the published figures",
        artifact_sha256="0" * 64,
        threads=1,
        scope=Scope.FRAME,
        frame_size=(480, 640),
        p50_ms=around(p50_ms),
        p90_ms=around(p50_ms * 1.1),
        p95_ms=around(p50_ms * 1.2),
        p99_ms=around(p50_ms * 1.4),
        link_ms=link_ms,
        memory_bytes=60_000_000,
        size_bytes=5_000_000,
    )


def target_on(device: str, *, p95_ms: float = 30.0, name: str = "") -> Target:
    budget = LatencyBudget("p95", p95_ms)
    return Target(name or device, device, 1, (budget,), Scope.FRAME, None, None)


def candidate(backbone: str = "net_a", scheme: str = "float32") -> Candidate:
    return Candidate(architecture(backbone), scheme)
