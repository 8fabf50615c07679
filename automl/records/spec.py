"""What the user asked for, validated: the inside of a spec file."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from automl.errors import SpecError

__all__ = [
    "ComputeSpec",
    "DataSpec",
    "ExpectedImages",
    "LatencyBudget",
    "QuantizationSpec",
    "Requirement",
    "Scope",
    "SearchSpec",
    "Spec",
    "SplitSpec",
    "Target",
    "TaskOptions",
]

Percentile = Literal["p50", "p90", "p95", "p99"]


class Scope(StrEnum):
    """What a latency covers.

    ``model``: the runtime's call on a prepared input tensor. ``frame``: a decoded uint8 image in memory
    to the result. ``file``: encoded bytes in memory to the result, so decoding is counted too.
    """

    MODEL = "model"
    FRAME = "frame"
    FILE = "file"


@dataclass(frozen=True)
class LatencyBudget:
    """An upper limit for one percentile of the latency, in milliseconds."""

    percentile: Percentile
    limit_ms: float


@dataclass(frozen=True)
class Target:
    """One device, and what the model may cost there. ``None`` or empty means: no limit asked."""

    name: str
    device: str
    threads: int
    latency: tuple[LatencyBudget, ...]
    scope: Scope
    memory_bytes: int | None
    size_bytes: int | None


@dataclass(frozen=True)
class Requirement:
    """A bound on a metric of the test split, e.g. ``recall[fail] >= 0.95``."""

    metric: str
    class_name: str | None
    relation: Literal[">=", "<=", ">", "<"]
    bound: float

    @property
    def key(self) -> str:
        """The metric as the spec writes it: ``recall[fail]`` or ``accuracy``."""
        return self.metric if self.class_name is None else f"{self.metric}[{self.class_name}]"

    def is_met_by(self, value: float) -> bool:
        """Whether a measured value meets the bound."""
        return {
            ">=": value >= self.bound,
            "<=": value <= self.bound,
            ">": value > self.bound,
            "<": value < self.bound,
        }[self.relation]


@dataclass(frozen=True)
class SplitSpec:
    """How images are divided. Fractions of the whole; ``group`` is a regular expression."""

    val: float
    test: float
    group: str | None
    seed: int


@dataclass(frozen=True)
class DataSpec:
    """Where the images are. ``path`` is absolute; ``classes`` is empty when all found are used."""

    path: str
    format: str
    classes: tuple[str, ...]
    split: SplitSpec
    cache_bytes: int
    """Decoded images are cached up to this size; a larger set is decoded again at every use."""
    unannotated: Literal["leave-out", "background"] = "leave-out"
    """What an image is that no annotation speaks of."""
    foreground: Literal["auto", "white", "black"] = "auto"
    """Which pixels of a black-and-white mask are the object."""
    colors: dict[str, str] = field(default_factory=dict)
    """Colour masks: class to colour (``#rrggbb``)."""


@dataclass(frozen=True)
class ExpectedImages:
    """What is known of images that are not there yet: enough to plan, too little to train."""

    classes: tuple[str, ...]
    frame_size: tuple[int, int]
    """(height, width)."""


@dataclass(frozen=True)
class TaskOptions:
    """What a spec asks of one task alone; the others pay no heed to it."""

    max_false_alarm: float = 0.01
    """Anomaly: largest share of good images that may be called defective, in (0, 1)."""
    input: Literal["whole", "tiles"] = "whole"
    """Segmentation: whether a frame is resized to the network's image size, or cut into tiles of
    that size without being resized."""
    precision: float = 0.9
    """Detection: share of the objects found that must be right where recall is read off, and where
    the delivered threshold is set."""


@dataclass(frozen=True)
class ComputeSpec:
    """What the search may use. ``None`` means: all that is there."""

    cpus: int | None
    gpus: float
    address: str | None
    gpus_per_trial: float | None = None
    """At most ``gpus``; ``None``: one, or all of ``gpus`` where that is less."""


@dataclass(frozen=True)
class SearchSpec:
    """Where and for how long to search. ``space`` is a shipped name or an absolute path."""

    space: str
    time_s: float
    trials: int | None
    seed: int
    compute: ComputeSpec
    trial_time_s: float | None = None
    """What one trial may take; ``None``: as long as there is time."""
    reuse: bool = True
    """Whether to begin with what worked in earlier runs, and to leave something for later ones."""


@dataclass(frozen=True)
class QuantizationSpec:
    """Which schemes may be used (empty: those of the search space) and the drop allowed."""

    schemes: tuple[str, ...]
    max_drop: float
    """Largest loss of the objective against the float32 artifact, absolute (0.01 = one point)."""
    calibration_images: int


@dataclass(frozen=True)
class Spec:
    """A whole spec. ``text`` is the file as the user wrote it, ``sha256`` its hash."""

    version: int
    name: str
    task: str
    data: DataSpec | None
    """``None``: there are no images yet, and ``expected`` stands in for them."""
    targets: tuple[Target, ...]
    objective: str
    requirements: tuple[Requirement, ...]
    search: SearchSpec
    weights: str
    quantization: QuantizationSpec
    augmentation: str | None
    """Name of an augmentation preset that overrides the search space's choice."""
    output: str
    source: str
    text: str
    sha256: str
    options: TaskOptions = TaskOptions()
    expected: ExpectedImages | None = None

    def require_data(self) -> DataSpec:
        """Return where the images are.

        Raises:
            SpecError: when the spec names none, so that it can be planned and nothing else.
        """
        if self.data is None:
            raise SpecError(
                f"{self.source!a} names no images, so it can be planned ('automl plan') and nothing "
                "else. To go on, add 'data: ./images' in place of 'classes' and 'image_size'."
            )
        return self.data
