"""What was measured, where, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from automl.records.spec import Percentile, Scope

__all__ = ["Host", "Interval", "MeasuredEnergy", "Measurement", "runs_for_bound"]

_DISTURBED_RATIO = 1.15
"""On a quiet machine the wall time of a single thread is within a few percent of its processor time."""

_PROCESSOR = "CPUExecutionProvider"

_SHARES: dict[Percentile, float] = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
_TAIL = 0.025
"""What a 95 % interval leaves above its upper end."""


def runs_for_bound(percentile: Percentile) -> int:
    """Return the fewest runs with which a 95 % interval of a percentile has an upper end.

    The largest of n runs lies above the percentile with probability ``1 - share ** n`` (order
    statistics; David & Nagaraja 2003, section 7.1): 72 runs for p95, 368 for p99.
    """
    return math.ceil(math.log(_TAIL) / math.log(_SHARES[percentile]))


@dataclass(frozen=True)
class Host:
    """The machine a number comes from."""

    device: str
    cpu: str
    cores: int
    memory_bytes: int
    instruction_sets: tuple[str, ...]
    """Those that matter here, lower case: ``avx2``, ``avx512f``, ``avx512_vnni``, ``avx_vnni``,
    ``amx_int8``, ``neon``, ``asimddp``."""
    system: str
    python: str
    onnxruntime: str
    provider: str
    """Execution provider of onnxruntime that runs the models."""
    accelerator: str | None = None
    """What that provider runs on; ``None``: the processor."""

    @property
    def key(self) -> str:
        """What a cached measurement must agree on: processor, instruction sets, runtime, provider and
        what that runs on."""
        parts = [
            self.device,
            self.cpu,
            str(self.cores),
            ",".join(self.instruction_sets),
            self.onnxruntime,
            self.provider,
        ]
        return "|".join(parts if self.accelerator is None else [*parts, self.accelerator])

    @property
    def runs_on(self) -> str:
        """The hardware that runs the models, for people: the accelerator, or the processor."""
        return self.accelerator or self.cpu


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % confidence interval, in milliseconds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MeasuredEnergy:
    """What one inference took, by the machine's own counters."""

    joules: float
    """Of one inference: the power drawn beyond the idle power, times the time that it takes."""
    load_w: float
    """Drawn while the model ran, one inference after the other."""
    idle_w: float
    """Drawn before, with nothing loaded."""
    seconds: float
    """For which the counters were read under load."""
    source: str
    """Which counters: ``RAPL: package-0, dram``."""


@dataclass(frozen=True)
class Measurement:
    """Latency (and memory, when asked) of one file on one device. Batch 1."""

    source: str
    """``measured``; later also ``predicted``."""
    artifact_sha256: str
    host: Host
    threads: int
    scope: Scope
    frame_size: tuple[int, int]
    """(height, width) of the frame that was timed."""
    runs: int
    seconds: float
    p50_ms: Interval
    p90_ms: Interval
    p95_ms: Interval
    p99_ms: Interval
    mean_ms: float
    cpu_ms: float
    """Processor time a run, all threads together."""
    load: float
    """One-minute load average of the host when the measurement began."""
    memory_bytes: int | None
    """Peak resident set of the fresh process minus that of the bare interpreter."""
    size_bytes: int
    fresh_process: bool
    stopped_early: bool
    """True when measuring ended because the budget could no longer be met."""
    measured_at: str
    """ISO 8601, UTC."""
    energy: MeasuredEnergy | None = None
    """``None``: the machine does not tell."""

    @property
    def is_disturbed(self) -> bool:
        """Whether other work on the machine was counted in: one thread that waited for its core.

        With several threads, or while an accelerator works, processor time and wall time cannot be
        compared like this.
        """
        if self.threads != 1 or self.host.provider != _PROCESSOR:
            return False
        return self.mean_ms > _DISTURBED_RATIO * self.cpu_ms

    def has_bound(self, name: Percentile) -> bool:
        """Whether there are enough runs for the upper end of a percentile's interval to be one."""
        return self.runs >= runs_for_bound(name)

    def percentile(self, name: Percentile) -> Interval:
        """The interval of ``p50``, ``p90``, ``p95`` or ``p99``."""
        interval: Interval = getattr(self, f"{name}_ms")
        return interval
