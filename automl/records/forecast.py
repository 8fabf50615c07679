"""What is expected of a file on a device where nobody measured it. It prunes and plans; it proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from automl.records.measurement import Interval
from automl.records.spec import Percentile, Scope

__all__ = ["Forecast"]


@dataclass(frozen=True)
class Forecast:
    """Predicted latency of one file on one device, batch 1, with everything that its scope counts."""

    device: str
    """Name in the catalogue, or address."""
    basis: Literal["calibration", "catalogue"]
    """``calibration``: fitted on networks that were measured on the device itself. ``catalogue``:
    from its published figures alone."""
    explanation: str
    """What stands behind it, in one sentence: how many networks, when and how far left-out ones were
    off; or that it rests on published figures, and the factor."""
    artifact_sha256: str
    threads: int
    scope: Scope
    frame_size: tuple[int, int]
    """(height, width)."""
    p50_ms: Interval
    """Milliseconds. By ``calibration`` a 95 % interval, learnt from how far networks that were left out
    of the fit were off. By ``catalogue`` nothing is learnt: the network's part lies within a fixed factor
    either way, ``CATALOGUE_FACTOR`` of ``automl.hardware.prediction.forecaster``, which is a judgement."""
    p90_ms: Interval
    p95_ms: Interval
    p99_ms: Interval
    link_ms: float
    """Part of ``p50_ms`` for sending the frame and getting the answer; 0 on the spot."""
    memory_bytes: int | None
    size_bytes: int

    source: Literal["predicted"] = "predicted"

    def percentile(self, name: Percentile) -> Interval:
        """Return the interval of ``p50``, ``p90``, ``p95`` or ``p99``."""
        interval: Interval = getattr(self, f"{name}_ms")
        return interval
