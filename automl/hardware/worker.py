"""The process that measures: a job on stdin, JSON lines on stdout.

It depends on onnxruntime, numpy and Pillow only, so that an agent on another machine can run it as
it is, with ``python -m automl.hardware.worker``. The models take turns in short blocks, so that a
slow spell of the machine hits all alike. Each block begins with one untimed run: the caches then
hold this model, not the one before.

Lines: ``{"at": index}`` before anything is done with a model, so that a crash can be attributed;
``{"done": index, "times_ns": [...], "cpu_ns": ..., "frame_size": [h, w], "stopped_early": ...,
"energy": {...} or null}``;
``{"failed": index, "error": "..."}``.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from automl.hardware.energy import EnergyLog, NoEnergyError, PowerMeter, open_meter
from automl.hardware.inputs import Job, build_call
from automl.hardware.statistics import cannot_fit

__all__ = ["main"]

BLOCK_RUNS = 8
BLOCK_S = 0.025
"""A block has at least this many runs and this length, so that fast models do not switch all the
time."""
BLOCK_MAX_S = 0.5
"""A block of a slow model ends here."""
_BLOCK_REFRESHES = 5
"""Where energy is counted a block is so many refreshes of the counters long, so that the power that a
model draws can be told from that of the one before."""
_SETTLE_STEP_S = 0.002
_SETTLE_STEPS = 100
_SETTLE_QUIET_STEPS = 3
"""On a busy machine a spinning thread may not get the processor for a moment."""
WARM_RUNS = 5
WARM_S = 0.1
WARM_MAX_S = 1.0


@dataclass
class _Subject:
    """One model being measured."""

    job: Job
    call: Callable[[], object]
    frame_size: tuple[int, int]
    times_ns: list[int] = field(default_factory=list)
    cpu_ns: int = 0
    spent_s: float = 0.0
    stopped_early: bool = False
    energy: EnergyLog = field(default_factory=EnergyLog)

    def warm_up(self) -> None:
        """Run untimed until memory is allocated and the processor is at speed."""
        start = time.perf_counter()
        for number in range(1, 10**9):
            self.call()
            passed = time.perf_counter() - start
            if passed >= WARM_MAX_S or (number >= WARM_RUNS and passed >= WARM_S):
                break
        self.spent_s += time.perf_counter() - start

    def run_block(self, *, is_shared: bool, power: _Power | None = None) -> None:
        """Time a few runs in a row; ``is_shared`` when models with several threads take turns."""
        if is_shared:
            _settle()
        begin = time.perf_counter()
        self.call()
        if power is None:
            self._time_runs(BLOCK_S)
        else:
            joules, since = power.meter.at_refresh(self.call)
            self._time_runs(max(BLOCK_S, _BLOCK_REFRESHES * power.meter.step_s))
            joules_now, now = power.meter.at_refresh(self.call)
            self.energy.joules += joules_now - joules
            self.energy.seconds += now - since
        self.spent_s += time.perf_counter() - begin

    def _time_runs(self, least_s: float) -> None:
        cpu_begin = time.process_time_ns()
        start = time.perf_counter()
        runs, passed = 0, 0.0
        while (runs < BLOCK_RUNS or passed < least_s) and passed < BLOCK_MAX_S:
            tick = time.perf_counter_ns()
            self.call()
            self.times_ns.append(time.perf_counter_ns() - tick)
            runs += 1
            passed = time.perf_counter() - start
        self.cpu_ns += time.process_time_ns() - cpu_begin

    def is_finished(self) -> bool:
        """Whether enough is known of this model."""
        job = self.job
        if job["budgets"] and cannot_fit([t / 1e6 for t in self.times_ns], job["budgets"]):
            self.stopped_early = True
            return True
        enough = len(self.times_ns) >= job["min_runs"]
        return (enough and sum(self.times_ns) / 1e9 >= job["min_seconds"]) or (
            self.spent_s >= job["max_seconds"]
        )

    def result(self, power: _Power | None) -> dict[str, object]:
        return {
            "done": self.job["index"],
            "times_ns": self.times_ns,
            "cpu_ns": self.cpu_ns,
            "frame_size": self.frame_size,
            "stopped_early": self.stopped_early,
            "energy": None if power is None else power.of(self.energy),
        }


@dataclass(frozen=True)
class _Power:
    """The machine's energy counters, and what it drew before anything was loaded."""

    meter: PowerMeter
    idle_w: float

    def of(self, log: EnergyLog) -> dict[str, object] | None:
        """Return what was counted while a model ran; ``None`` when that says nothing."""
        if log.above(self.idle_w) is None:
            return None
        return {
            "load_w": log.joules / log.seconds,
            "idle_w": self.idle_w,
            "seconds": log.seconds,
            "source": self.meter.source,
        }


def main() -> int:
    """Measure the jobs on stdin and write the results to stdout; 0 when all were tried."""
    jobs: list[Job] = json.load(sys.stdin)
    channel = _own_channel()
    power = _open_power(jobs)
    subjects = [subject for job in jobs if (subject := _load(job, channel)) is not None]
    gc.collect()
    gc.freeze()
    gc.disable()
    while subjects:
        is_shared = len(subjects) > 1 and any(s.job["threads"] > 1 for s in subjects)
        subjects = [s for s in subjects if _continues(s, channel, power, is_shared=is_shared)]
    return 0


def _open_power(jobs: list[Job]) -> _Power | None:
    """Return the counters of the machine, or ``None`` where it does not tell."""
    if not jobs:
        return None
    try:
        meter = open_meter(jobs[0]["provider"], powercap=Path(jobs[0]["powercap"]))
        return _Power(meter, meter.idle_watts())
    except NoEnergyError:
        return None


def _settle() -> None:
    """Wait until the threads of other models sleep.

    Between runs the helper threads of onnxruntime spin, 47 ms as measured with two threads on two
    busy cores, and would take the processor from the model whose turn it is.
    """
    quiet = 0
    for _ in range(_SETTLE_STEPS):
        begin = time.process_time_ns()
        time.sleep(_SETTLE_STEP_S)
        used_s = (time.process_time_ns() - begin) / 1e9
        quiet = quiet + 1 if used_s < _SETTLE_STEP_S / 4 else 0
        if quiet == _SETTLE_QUIET_STEPS:
            return


def _own_channel() -> TextIO:
    """Keep stdout for results: what a native library prints goes to stderr."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


def _load(job: Job, channel: TextIO) -> _Subject | None:
    _write(channel, {"at": job["index"]})
    try:
        subject = _Subject(job, *build_call(job))
        subject.warm_up()
    except Exception as error:  # noqa: BLE001 - recorded as this model's failure
        _write(channel, _failure(job, error))
        return None
    return subject


def _continues(
    subject: _Subject, channel: TextIO, power: _Power | None, *, is_shared: bool
) -> bool:
    """Run one block; report and return ``False`` when the model needs no more."""
    _write(channel, {"at": subject.job["index"]})
    try:
        subject.run_block(is_shared=is_shared, power=power)
    except Exception as error:  # noqa: BLE001 - recorded as this model's failure
        _write(channel, _failure(subject.job, error))
        return False
    if not subject.is_finished():
        return True
    _write(channel, subject.result(power))
    return False


def _failure(job: Job, error: Exception) -> dict[str, object]:
    return {"failed": job["index"], "error": f"{type(error).__name__}: {error}"}


def _write(channel: TextIO, line: dict[str, object]) -> None:
    channel.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
