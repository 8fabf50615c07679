"""What one training gave: epochs, artifacts, scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from automl.records.candidates import Architecture, Recipe
from automl.records.ladder import Rung

__all__ = ["Artifact", "Epoch", "Parity", "Scores", "TrialResult", "TrialStatus"]


@dataclass(frozen=True)
class Scores:
    """Metrics of one artifact on one split. ``recall[fail]`` style keys for metrics per class."""

    values: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true class; columns: predicted class. Images, or pixels; empty for objects."""
    samples: int
    """Images."""
    curves: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """Points (x, y) by the name of what they show: ``precision-recall[RBC]``, ``scores[good]``."""
    synthetic: tuple[str, ...] = ()
    """Metrics that rest on images made for want of real ones: they rank candidates, prove nothing, and
    are held against no requirement."""


@dataclass(frozen=True)
class Parity:
    """How far the ONNX file is from the PyTorch model on real validation images."""

    images: int
    max_difference: float
    """Largest difference of an answer, in the task's own unit (a class probability, a share of the
    pixels, the score of an object)."""
    agreement: float
    """Share of images with the same answer, in [0, 1]."""


@dataclass(frozen=True)
class Artifact:
    """One ONNX file. ``path`` is relative to the run folder."""

    scheme: str
    path: str
    sha256: str
    size_bytes: int
    scores: Scores
    """On the validation split, by this very file."""
    parity: Parity
    drop: float
    """Objective of the float32 artifact minus this one's; negative: better than float."""
    rejected: str | None
    """Why quantization rejected it (with the numbers), or ``None``."""
    details: dict[str, str]
    """What the scheme decided, for the report: calibration method, nodes kept float, …"""


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images."""

    number: int
    train_loss: float
    val_loss: float
    val_score: float
    """Objective of the PyTorch model on the validation split."""
    seconds: float
    is_early: bool = False
    """Whether it looked at smaller images, or fewer, than the epochs that are compared."""


class TrialStatus(StrEnum):
    """How a trial ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    """Ended early by the scheduler: others were better at the same epoch."""
    FAILED = "failed"


@dataclass(frozen=True)
class TrialResult:
    """One training and all that came of it; the content of ``trials/<id>/result.json``."""

    id: str
    number: int
    architecture: Architecture
    recipe: Recipe
    status: TrialStatus
    weights: str | None
    """Source of the pretrained weights, or ``None`` when trained from scratch."""
    epochs: tuple[Epoch, ...]
    artifacts: tuple[Artifact, ...]
    objective: float | None
    """Score of the best feasible artifact; for a stopped trial, of the PyTorch model."""
    error: str | None
    seconds: dict[str, float]
    """Wall time by stage: ``setup``, ``train``, ``validate``, ``export``, ``quantize``, ``evaluate``."""
    finished_after_s: float
    """Seconds since the run began."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Feasible schemes of which there is no file, and why, a sentence each."""
    rung: Rung = "train"
    """How much was spent: ``probe`` has no epochs, ``glance`` one and no files."""
