"""Which share of a run's wall time went into something else than its purpose.

    orchestration = 1 - (decoding + judging + planning + trials + proof) / wall
    overhead = orchestration + judging / wall

- decoding: ``seconds`` of the audit: reading, hashing, decoding and checking the images;
- judging: looking for wrong labels, leaks and plain rules in the data, with a network's features. It makes no
  model, so that a run without it would have come to the same one: the stricter figure counts it in;
- planning: ``seconds`` of the plan: exporting, quantizing and measuring untrained networks;
- trials: the time in which at least one trial or probe computed features, fitted, trained, exported,
  quantized or scored. The stage ``setup`` (importing torch, building the network, reading weights and images)
  is not counted: it is overhead. What ran at once is counted once;
- proof: measuring in a fresh process, testing, and writing the bundle;
- wall: of the whole command, start-up included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from automl.pipeline.folder import RunFolder
from automl.records import RunRecord

__all__ = ["TimeSpent", "time_spent"]

_WORK = ("features", "heads", "train", "validate", "export", "quantize", "evaluate")


@dataclass(frozen=True)
class TimeSpent:
    """Where the wall time of a run went, in seconds."""

    decoding_s: float
    judging_s: float
    planning_s: float
    trials_s: float
    proof_s: float
    wall_s: float

    @property
    def orchestration(self) -> float:
        """The share that went into nothing of this, in [0, 1]."""
        useful = self.decoding_s + self.judging_s + self.planning_s + self.trials_s + self.proof_s
        return max(0.0, 1 - useful / self.wall_s)

    @property
    def overhead(self) -> float:
        """The same with looking into the data's quality, in [0, 1]."""
        return min(1.0, self.orchestration + self.judging_s / self.wall_s)

    def text(self) -> str:
        """Return the parts, for people."""
        return (
            f"decoding {self.decoding_s:.1f} s, judging the data {self.judging_s:.1f} s, planning "
            f"{self.planning_s:.1f} s, trials {self.trials_s:.1f} s, proof {self.proof_s:.1f} s of "
            f"{self.wall_s:.1f} s"
        )


def time_spent(record: RunRecord, *, wall_s: float) -> TimeSpent:
    """Return where the time of a run went, whose folder is there. ``wall_s`` is that of the command."""
    stages = {stage.stage: stage.seconds for stage in record.stages}
    judged_s = 0.0 if record.quality is None else record.quality.seconds
    probes = RunFolder(Path(record.folder)).read_probes()
    pieces = [_interval(t.finished_after_s, t.seconds) for t in record.trials]
    pieces += [_interval(probe.finished_after_s, probe.seconds) for probe in probes]
    return TimeSpent(
        decoding_s=record.data.audit.seconds,
        judging_s=min(judged_s, stages.get("quality", 0.0)),  # it may be known from an earlier run
        planning_s=record.plan.seconds,
        trials_s=_covered(pieces),
        proof_s=stages.get("proof", 0.0),
        wall_s=wall_s,
    )


def _interval(finished_after_s: float, seconds: Mapping[str, float]) -> tuple[float, float]:
    """Return when a trial worked, in seconds since the run began; its work counts as one piece."""
    work = sum(seconds.get(stage, 0.0) for stage in _WORK)
    return finished_after_s - work, finished_after_s


def _covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return how much time is covered by at least one of the intervals."""
    covered, until = 0.0, float("-inf")
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered
