"""Whether a trained network can still win: only then are its files worth making.

Decides by what is delivered already. Exporting and quantizing takes as long as several epochs; a network
whose score in PyTorch is clearly below what three finished files reach, on every target that it could serve,
would only be listed among the losers. Three, because the proof measures so many again before it chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from automl.pipeline.folder import RunFolder
from automl.records import (
    Architecture,
    Candidate,
    Plan,
    Requirement,
    Spec,
    TrialResult,
    VerdictStatus,
)
from automl.search.selection import choosing_requirements, requirement_missed

__all__ = ["outclassed"]

_BETTER_TRIALS = 3
_CLEARLY = 0.01
"""More than quantization was ever seen to add to a score."""


def outclassed(
    folder: Path, spec: Spec, architecture: Architecture, score: float, *, by: int = _BETTER_TRIALS
) -> str | None:
    """Return why a trained network cannot win, or ``None`` when it may.

    Args:
        folder: of the run.
        spec: of the run.
        architecture: that was trained.
        score: of the PyTorch network on the validation images.
        by: so many finished networks must be better on each of its targets.
    """
    run = RunFolder(folder)
    plan = run.read_plan()
    if plan is None:
        return None
    trials = run.read_trials()
    targets = [
        v.target
        for v in plan.verdicts
        if v.candidate.architecture == architecture and v.status.is_feasible
    ]
    better = [
        _better(plan, trials, target, spec.objective, spec.requirements, score)
        for target in dict.fromkeys(targets)
    ]
    if not better or min(len(scores) for scores in better) < by:
        return None
    reached = min(sorted(scores, reverse=True)[by - 1] for scores in better)
    others = "a finished one that fits scores" if by == 1 else f"{by} finished ones that fit score"
    return (
        f"the trained network scores {score:.4f}, and {others} "
        f"{reached:.4f} or more: its files could not win and were not made"
    )


def _better(
    plan: Plan,
    trials: Sequence[TrialResult],
    target: str,
    objective: str,
    requirements: Sequence[Requirement],
    score: float,
) -> list[float]:
    """Return the best scores of trials with a file that surely fits a target and is clearly better."""
    fitting = {
        v.candidate for v in plan.verdicts if v.target == target and v.status is VerdictStatus.FITS
    }
    found = []
    for trial in trials:
        scores = [
            a.scores.values[objective]
            for a in trial.artifacts
            if a.rejected is None
            and Candidate(trial.architecture, a.scheme) in fitting
            and requirement_missed(choosing_requirements(requirements, a.scores), a.scores.values)
            is None
        ]
        if scores and max(scores) > score + _CLEARLY:
            found.append(max(scores))
    return found
