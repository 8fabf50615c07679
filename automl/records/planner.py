"""Where a model could run, how fast, and for how much: what a planner asks before there is a model.

Nothing in here proves anything: a placement whose latency was predicted says so, and says what to run
to prove it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from automl.records.candidates import Architecture, Candidate
from automl.records.device import DeviceKind, DeviceProfile
from automl.records.measurement import Host, Interval
from automl.records.plan import VerdictStatus
from automl.records.spec import LatencyBudget, Percentile, Target

__all__ = [
    "Assumption",
    "BreakEven",
    "Cheapest",
    "Cost",
    "CostRules",
    "DeviceOutlook",
    "Energy",
    "HardwarePlan",
    "LinkTime",
    "NeededBudget",
    "Network",
    "Placement",
]


@dataclass(frozen=True)
class CostRules:
    """What costs are counted by. The defaults and their reasons are in :mod:`automl.hardware.costs`."""

    life_years: float
    """How long a machine that was bought is used."""
    electricity_usd_kwh: float
    images_a_day: int
    """Images that arrive, evenly over 24 hours."""


@dataclass(frozen=True)
class Assumption:
    """Something that no spec says and no data sheet states, with why it was taken."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class LinkTime:
    """The way of one image to a machine elsewhere and of its answer back."""

    frame_bytes: int
    """Of the compressed image that is sent."""
    upload_ms: float
    """``frame_bytes`` over the uplink."""
    p50_ms: float
    """Upload and the round trip of half of all times."""
    p95_ms: float
    when_down: str
    """What happens to the images when the link is down."""


@dataclass(frozen=True)
class Energy:
    """What one image takes, in joules."""

    joules: float
    """While it is worked on."""
    idle_joules: float | None
    """Its share of the waiting for the next image, at :attr:`CostRules.images_a_day`; ``None``: the idle
    power is not known."""
    source: Literal["measured", "estimated"]
    how: str
    """In one sentence."""


@dataclass(frozen=True)
class Cost:
    """What answers cost on one kind of machine."""

    usd_per_million: float
    """A million images on a machine that is kept busy: rent, or price over its life and electricity."""
    usd_a_day: float
    """At :attr:`CostRules.images_a_day`, machines on around the clock."""
    machines: int
    """As many as those images need."""
    how: str
    """In one sentence."""


@dataclass(frozen=True)
class Placement:
    """One candidate on one device, held against one target's limits."""

    candidate: Candidate
    device: str
    """Name in the catalogue, ``local``, or address."""
    target: str
    """Name of the :class:`DeviceOutlook` that it belongs to."""
    status: VerdictStatus
    reason: str
    """Of the verdict, one sentence with numbers."""
    source: Literal["measured", "predicted"] | None
    """Of the latency; ``None``: there is none."""
    basis: str
    """What stands behind the latency, in one sentence."""
    latency_ms: dict[Percentile, Interval]
    """With all that the scope counts; empty: neither measured nor predicted."""
    memory_bytes: int | None
    size_bytes: int | None
    frames_per_second: float | None
    """One image after the other; for a machine elsewhere also what the uplink carries."""
    energy: Energy | None
    cost: Cost | None
    link: LinkTime | None
    """Part of the latency; ``None``: the camera is on the spot."""


@dataclass(frozen=True)
class NeededBudget:
    """The smallest latency limits that something keeps on a device."""

    latency: tuple[LatencyBudget, ...]
    candidate: Candidate
    is_predicted: bool


@dataclass(frozen=True)
class DeviceOutlook:
    """What a device means for one target's limits."""

    name: str
    """Of the target: the spec's, or the device's when the limits of the spec were applied to it."""
    target: Target
    title: str
    """Of the device, for people."""
    kind: DeviceKind | None
    """``None`` for a device that the catalogue does not describe."""
    profile: DeviceProfile | None
    host: Host | None
    """Where it was measured."""
    status: VerdictStatus
    """``FITS``, ``UNSURE``, or the commonest reason why nothing does."""
    fits: int
    unsure: int
    placements: int
    best: Candidate | None
    """Of those that fit (else may fit) the one that is expected to be the most accurate."""
    needed: NeededBudget | None
    proof: str
    """What to run to know instead of to expect; empty: it was measured."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Cheapest:
    """The device that meets the limits for the least money."""

    outlook: str
    candidate: Candidate
    usd_a_day: float
    is_sure: bool
    """False when the limits lie within the interval of its latency."""
    sentence: str


@dataclass(frozen=True)
class BreakEven:
    """From how many images a day on a machine that is bought is cheaper than one that is rented."""

    cloud: str
    edge: str
    images_a_day: float | None
    """Where the rent is paid only for the time that is worked; ``None``: never, or beyond one machine."""
    hours_a_day: float
    """Rented for longer than that each day, whatever it does, the cloud machine is the dearer one."""
    sentence: str


@dataclass(frozen=True)
class Network:
    """One architecture of the space, exported untrained."""

    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-accumulates of one frame."""


@dataclass(frozen=True)
class HardwarePlan:
    """The whole answer: candidates x devices, and what follows from them."""

    spec_name: str
    spec_sha256: str
    task: str
    space: str
    classes: int
    frame_size: tuple[int, int]
    """(height, width)."""
    frame_bytes: int
    frame_basis: str
    """Where the frame's size and its bytes come from, in one sentence."""
    rules: CostRules
    assumptions: tuple[Assumption, ...]
    networks: tuple[Network, ...]
    outlooks: tuple[DeviceOutlook, ...]
    placements: tuple[Placement, ...]
    """In the order of the outlooks, then of the search space."""
    ranking: str
    """By what the expected accuracy of candidates was told apart."""
    cheapest: Cheapest | None
    break_evens: tuple[BreakEven, ...]
    notes: tuple[str, ...]
    measured: int
    predicted: int
    cached: int
    """Files known from before, counted once for each way that a target runs them."""
    seconds: float

    def of(self, outlook: DeviceOutlook) -> tuple[Placement, ...]:
        """Return the placements of one outlook."""
        return tuple(one for one in self.placements if one.target == outlook.name)

    def is_attainable(self) -> bool:
        """Whether anything fits, or may fit, anywhere."""
        return any(outlook.fits or outlook.unsure for outlook in self.outlooks)
