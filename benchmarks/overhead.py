"""Which share of a run's wall time went into something else than its purpose.

    overhead = 1 - (decoding + planning + trials + proof) / wall

- decoding: ``seconds`` of the audit: reading, hashing, decoding and judging the images;
- planning: ``seconds`` of the plan: exporting, quantizing and measuring untrained networks;
- trials: the time in which at least one trial trained, exported, quantized or scored. The stage
  ``setup`` of a trial (importing torch, building the network, reading weights and images) is not
  counted: it is overhead. Trials that ran at once are counted once;
- proof: measuring in a fresh process, testing, and writing the bundle;
- wall: of the whole command, start-up included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from automl.records import RunRecord, TrialResult

__all__ = ["TimeSpent", "time_spent"]

_WORK = ("train", "validate", "export", "quantize", "evaluate")


@dataclass(frozen=True)
class TimeSpent:
    """Where the wall time of a run went, in seconds."""

    decoding_s: float
    planning_s: float
    trials_s: float
    proof_s: float
    wall_s: float

    @property
    def overhead(self) -> float:
        """The share that is left, in [0, 1]."""
        useful = self.decoding_s + self.planning_s + self.trials_s + self.proof_s
        return max(0.0, 1 - useful / self.wall_s)

    def text(self) -> str:
        """Return the parts, for people."""
        return (
            f"decoding {self.decoding_s:.1f} s, planning {self.planning_s:.1f} s, trials "
            f"{self.trials_s:.1f} s, proof {self.proof_s:.1f} s of {self.wall_s:.1f} s"
        )


def time_spent(record: RunRecord, *, wall_s: float) -> TimeSpent:
    """Return where the time of a run went. ``wall_s`` is that of the command."""
    stages = {stage.stage: stage.seconds for stage in record.stages}
    return TimeSpent(
        decoding_s=record.data.audit.seconds,
        planning_s=record.plan.seconds,
        trials_s=_covered(_interval(trial) for trial in record.trials),
        proof_s=stages.get("proof", 0.0),
        wall_s=wall_s,
    )


def _interval(trial: TrialResult) -> tuple[float, float]:
    """Return when a trial worked, in seconds since the run began; its work counts as one piece."""
    work = sum(trial.seconds.get(stage, 0.0) for stage in _WORK)
    return trial.finished_after_s - work, trial.finished_after_s


def _covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return how much time is covered by at least one of the intervals."""
    covered, until = 0.0, float("-inf")
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered
