"""What an operator is expected to take from a device's published figures alone: a roofline.

An operator takes at least the time of its multiplications at the rate that its kind reaches, and at least
the time of moving its numbers; batch 1 leaves little to overlap, so both are added. Source: Williams,
Waterman & Patterson, "Roofline: an insightful visual performance model", CACM 52(4), 2009.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from automl.hardware.prediction.kinds import OperatorKind
from automl.hardware.prediction.operators import Operator

__all__ = ["DESKTOP", "GENERIC", "Effort", "Prices", "Rates", "expected_us", "prices"]


@dataclass(frozen=True)
class Effort:
    """What operators of a kind cost beside their multiplications, as multiples of what is usual."""

    frame_bytes: float = 1.0
    """Of a byte that comes from other operators or goes to them."""
    weight_bytes: float = 1.0
    fixed: float = 1.0


_USUAL = Effort()


@dataclass(frozen=True)
class Rates:
    """How fast a device does what operators ask for. Only ratios matter once it was measured."""

    dense_macs_us: float
    """Multiply-accumulates a microsecond of convolutions and matrix products, float32."""
    int8_gain: float
    """How many times faster with 8-bit numbers."""
    depthwise_share: float
    """Rate of depthwise convolutions as a share of the dense one."""
    grouped_share: float
    bytes_us: float
    """Bytes a microsecond that operators without multiplications read and write."""
    operator_us: float
    """Fixed cost of one operator."""
    efforts: Mapping[OperatorKind, Effort] = field(default_factory=dict, hash=False)
    """Of the kinds that are not usual."""


GENERIC = Rates(
    dense_macs_us=2_000.0,
    int8_gain=2.0,
    depthwise_share=0.25,
    grouped_share=0.7,
    bytes_us=6_000.0,
    operator_us=30.0,
)
"""A small ARM processor, one thread: the measured latencies set the scale."""

DESKTOP = Rates(
    dense_macs_us=50_000.0,
    int8_gain=3.0,
    depthwise_share=0.2,
    grouped_share=0.6,
    bytes_us=12_000.0,
    operator_us=2.0,
)
"""One core of a desktop or server processor with wide vectors."""


@dataclass(frozen=True)
class Prices:
    """Microseconds that operators of a kind and precision take for each part of their work."""

    mac: float
    frame_byte: float
    weight_byte: float
    operator: float


def prices(kind: OperatorKind, rates: Rates, *, is_int8: bool) -> Prices:
    """Return what operators of a kind take for each multiplication, byte, and at all."""
    share = {"depthwise": rates.depthwise_share, "grouped": rates.grouped_share}.get(kind, 1.0)
    gain = rates.int8_gain if is_int8 else 1.0
    effort = rates.efforts.get(kind, _USUAL)
    return Prices(
        mac=1.0 / (rates.dense_macs_us * share * gain),
        frame_byte=effort.frame_bytes / rates.bytes_us,
        weight_byte=effort.weight_bytes / rates.bytes_us,
        operator=effort.fixed * rates.operator_us,
    )


def expected_us(operator: Operator, rates: Rates) -> float:
    """Return the microseconds that an operator is expected to take."""
    price = prices(operator.kind, rates, is_int8=operator.is_int8)
    return (
        operator.macs * price.mac
        + (operator.read_bytes + operator.written_bytes) * price.frame_byte
        + operator.weight_bytes * price.weight_byte
        + price.operator
    )
