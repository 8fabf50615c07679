"""How a run ended: the winner a target, why the others lost, and all the report needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from automl.records.candidates import Candidate
from automl.records.dataset import PreparedData
from automl.records.forecast import Forecast
from automl.records.ladder import Probe
from automl.records.measurement import Measurement
from automl.records.plan import Plan
from automl.records.quality import DataQuality
from automl.records.spec import Spec, Target
from automl.records.trial import Artifact, Scores, TrialResult

__all__ = [
    "Claim",
    "Prediction",
    "Reason",
    "RunRecord",
    "Selection",
    "StageTime",
    "TargetSelection",
]


@dataclass(frozen=True)
class Claim:
    """One requirement, what was got, and how it was measured: a row of the report."""

    requirement: str
    """As the spec says it: ``latency p95 <= 10 ms``, ``recall[fail] >= 0.95``."""
    asked: str
    got: str
    how: str
    """Device, runs, process, split."""
    holds: bool
    proven: bool = True
    """``False`` for what was only predicted; ``how`` then says what would prove it."""


@dataclass(frozen=True)
class Reason:
    """Why a candidate of the search did not win, naming the clause of the spec that it failed."""

    candidate: Candidate
    trial_id: str | None
    stage: Literal["plan", "training", "quantization", "selection"]
    clause: str
    """``latency p95 <= 10 ms``, ``size <= 8 MB``, ``objective`` …"""
    text: str
    """One sentence with the numbers."""
    score: float | None
    """Objective on the validation split, if it got that far."""
    latency_ms: float | None


@dataclass(frozen=True)
class Prediction:
    """The artifact's answer for one test image, for the report's samples."""

    path: str
    label: str
    """What is true, in a few words."""
    predicted: str
    """What was answered, in a few words."""
    confidence: float
    """Of the answer, in [0, 1]; for tasks that give none, its quality."""
    quality: float = 1.0
    """How good the answer is, in [0, 1]: 1 for right and 0 for wrong where there is nothing between."""
    picture: str | None = None
    """File with answer and truth drawn on the image, relative to the run folder; ``None``: the image
    itself shows all there is to see."""


@dataclass(frozen=True)
class TargetSelection:
    """What was chosen for one target.

    ``winner`` is ``None`` when nothing fits; then ``best_reached``, ``binding`` and ``relaxation`` say
    how close it came and the smallest change of the spec that would work.
    """

    target: Target
    winner: Artifact | None
    trial_id: str | None
    candidate: Candidate | None
    measurement: Measurement | None
    """The winner's, in a fresh process."""
    test_scores: Scores | None
    claims: tuple[Claim, ...]
    reasons: tuple[Reason, ...]
    runners_up: tuple[tuple[Candidate, Measurement], ...]
    """Others measured again in a fresh process, best score first."""
    predictions: tuple[Prediction, ...]
    best_reached: str | None
    binding: str | None
    relaxation: str | None
    without_leaks: Scores | None = None
    """On the test images that have no copy among those learnt from; ``None`` when all have none."""
    forecast: Forecast | None = None
    """Of the winner, on a device that could not be measured; then ``measurement`` is ``None``."""
    lost: str | None = None
    """Why the device could not be asked at the end, though it was there before; resuming asks again."""

    @property
    def proven(self) -> bool:
        """Whether every claim was measured; one that was predicted is not proven."""
        return all(claim.proven for claim in self.claims)


@dataclass(frozen=True)
class Selection:
    """The outcome for every target."""

    targets: tuple[TargetSelection, ...]


@dataclass(frozen=True)
class StageTime:
    """Wall time of one stage of the run."""

    stage: str
    seconds: float


@dataclass(frozen=True)
class RunRecord:
    """A whole run, as the report reads it."""

    name: str
    folder: str
    spec: Spec
    data: PreparedData
    plan: Plan
    trials: tuple[TrialResult, ...]
    selection: Selection | None
    """``None`` while the run goes on or was interrupted."""
    stages: tuple[StageTime, ...]
    first_deployable_s: float | None
    """Seconds from the start of the run to the first exported artifact that may be delivered."""
    seconds: float
    versions: dict[str, str]
    started_at: str
    resumed: int
    quality: DataQuality | None = None
    """What the data itself allows; ``None`` where it was not looked into."""
    probes: tuple[Probe, ...] = ()
    """What frozen features told before anything was trained."""
