"""What is known of a kind of machine before anything was measured on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["DeviceKind", "DeviceProfile", "Figure", "NetworkLink", "Source"]

DeviceKind = Literal["cloud", "edge-pc", "arm", "gpu", "npu", "fpga", "smart-camera"]


@dataclass(frozen=True)
class Source:
    """Where a figure comes from, so that a reader can look it up."""

    title: str
    url: str | None
    read: str
    """ISO 8601 date on which it was read."""


@dataclass(frozen=True)
class Figure:
    """A number with its source. Estimates say how they were made."""

    value: float
    source: str
    """Key in :attr:`DeviceProfile.sources`."""
    estimated: str | None = None
    """How the value was derived, when the source does not state it; ``None``: stated there."""


@dataclass(frozen=True)
class NetworkLink:
    """The way from a camera to a machine elsewhere."""

    round_trip_p50_ms: Figure
    round_trip_p95_ms: Figure
    uplink_bits_s: Figure
    when_down: str
    """What happens to the images when the link is down, in one sentence."""


@dataclass(frozen=True)
class DeviceProfile:
    """One device of the catalogue. ``None`` or a missing key: not published."""

    name: str
    """Kebab-case, as a spec names it: ``raspberry-pi-5``."""
    title: str
    kind: DeviceKind
    description: str
    """What it is used for, in one sentence."""
    processor: str
    architecture: str
    """``x86_64``, ``aarch64``, ``cuda``, ``npu``, ``vpu`` or ``fpga``: what the peak rates belong to."""
    instruction_sets: tuple[str, ...]
    """Those that matter, as in :class:`automl.records.Host`."""
    provider: str | None
    """Execution provider of onnxruntime that runs models there, or ``None``: not with onnxruntime."""
    precisions: tuple[str, ...]
    """``float32``, ``float16``, ``int8``: what it calculates with at a rate of its own."""
    unsupported_operators: tuple[str, ...]
    """ONNX operators that it cannot run."""
    cores: Figure
    """Those that work at once: physical cores, or a GPU's multiprocessors."""
    memory_bytes: Figure
    bandwidth_bytes_s: Figure
    """To main memory, all cores together."""
    peak_flops: dict[str, Figure]
    """Operations a second of the whole device by precision, a multiply-accumulate counted as two."""
    idle_w: Figure | None
    load_w: Figure | None
    """Of the whole device while a network runs on it."""
    price_usd: Figure | None
    """To buy one, once."""
    price_usd_hour: Figure | None
    """To rent one, on demand."""
    network: NetworkLink | None
    """For kind ``cloud``."""
    efficiency: dict[str, Figure] = field(default_factory=dict)
    """Share of the peak rate, in (0, 1], that a class of operators reaches with batch 1:
    ``dense`` (convolutions and matrix products), ``depthwise``, ``int8-dense``, ``int8-depthwise``;
    and ``memory``: share of the bandwidth that element-wise operators reach."""
    operator_cost_us: Figure | None = None
    """Fixed cost of one operator, microseconds."""
    sources: dict[str, Source] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What else a planner should know of it, each one a sentence."""
