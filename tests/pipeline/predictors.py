"""Predictors for tests: frozen dataclasses, as the real one is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from record_makers import forecast

from automl.pipeline.devices import Predictor
from automl.records import Forecast, Interval, Scope


@dataclass(frozen=True)
class Table:
    """Knows the p95 of files by what their path ends with."""

    p95_ms: dict[str, float]
    spread: float = 0.05

    def forecast(
        self,
        path: str,
        sha256: str,
        *,
        scope: Scope,
        frame_size: tuple[int, int],
        frame_bytes: int | None = None,
    ) -> Forecast:
        found = next(ms for end, ms in self.p95_ms.items() if path.endswith(end))
        return forecast(found, spread=self.spread, sha256=sha256)


@dataclass(frozen=True)
class Optimist:
    """Says of every file that it is faster than another predictor says."""

    inner: Predictor
    factor: float

    def forecast(
        self,
        path: str,
        sha256: str,
        *,
        scope: Scope,
        frame_size: tuple[int, int],
        frame_bytes: int | None = None,
    ) -> Forecast:
        found = self.inner.forecast(
            path, sha256, scope=scope, frame_size=frame_size, frame_bytes=frame_bytes
        )
        return replace(
            found,
            p50_ms=self._faster(found.p50_ms),
            p90_ms=self._faster(found.p90_ms),
            p95_ms=self._faster(found.p95_ms),
            p99_ms=self._faster(found.p99_ms),
        )

    def _faster(self, one: Interval) -> Interval:
        return Interval(one.value * self.factor, one.low * self.factor, one.high * self.factor)
