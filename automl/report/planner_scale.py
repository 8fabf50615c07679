"""Where latencies of very different devices lie on one scale, for bars that can be compared."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from automl.records.planner import DeviceOutlook, HardwarePlan, Placement
from automl.records.spec import Percentile

__all__ = ["Bar", "LatencyScale", "percentile_shown"]


@dataclass(frozen=True)
class Bar:
    """Where a latency lies on a common logarithmic scale, all in percent of its width."""

    left: float
    width: float
    mark: float
    """The value itself."""
    limit: float | None


def percentile_shown(outlook: DeviceOutlook) -> Percentile:
    """Return the highest percentile that is limited: the one that a reader compares."""
    return outlook.target.latency[-1].percentile if outlook.target.latency else "p95"


@dataclass(frozen=True)
class LatencyScale:
    """A logarithmic scale that every bar of a page shares."""

    low: float
    high: float

    @classmethod
    def of(cls, plan: HardwarePlan) -> LatencyScale:
        """Return the scale that holds every latency and limit of a plan."""
        values = [i.low for p in plan.placements for i in p.latency_ms.values() if i.low > 0]
        values += [i.high for p in plan.placements for i in p.latency_ms.values()]
        values += [b.limit_ms for o in plan.outlooks for b in o.target.latency]
        return cls(min(values, default=1.0) / 1.2, max(values, default=10.0) * 1.2)

    def at(self, value_ms: float) -> float:
        """Return the place of a latency, in percent; beyond the ends it is the end."""
        inside = min(max(value_ms, self.low), self.high)
        return 100 * math.log(inside / self.low) / math.log(self.high / self.low)

    def bar(self, one: Placement, outlook: DeviceOutlook) -> Bar:
        """Return the bar of a placement that has a latency, from end to end of its interval."""
        name = percentile_shown(outlook)
        found = one.latency_ms[name]
        limits = [b.limit_ms for b in outlook.target.latency if b.percentile == name]
        left = self.at(found.low)
        return Bar(
            left=left,
            width=max(0.6, self.at(found.high) - left),
            mark=self.at(found.value),
            limit=self.at(limits[0]) if limits else None,
        )

    def marks(self) -> Iterator[tuple[float, str]]:
        """Yield the place and the text of every power of ten."""
        for power in range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1):
            value = 10.0**power
            yield self.at(value), f"{value:g} ms" if value < 1e3 else f"{value / 1e3:g} s"
