"""What earlier runs leave for later ones: what their data was like, what was trained, what it scored."""

from __future__ import annotations

from dataclasses import dataclass

from automl.records.candidates import Freeze

__all__ = [
    "DataDescription",
    "PastRun",
    "PastTrial",
    "RecalledRun",
    "RecalledScore",
    "Recollection",
]


@dataclass(frozen=True)
class DataDescription:
    """What a set of images is like: enough to tell which earlier one it resembles, too little to know
    a single image, file or class of it."""

    task: str
    objective: str
    """The metric that scores are of."""
    fingerprint: str
    """The dataset's, SHA-256 in hexadecimal."""
    images: int
    classes: int
    height: int
    """Median, pixels."""
    width: int
    balance: float
    """Entropy of the shares of the classes, in [0, 1]: 1 when all have as many training images."""
    look: tuple[float, ...] = ()
    """Mean brightness of red, green and blue, and their spread within an image, each in [0, 1], over a
    few training images; empty when they could not be read."""


@dataclass(frozen=True)
class PastTrial:
    """One training of an earlier run and the score it reached."""

    architecture: str
    """Its key."""
    learning_rate: float
    weight_decay: float
    epochs: int
    batch_size: int
    freeze: Freeze
    label_smoothing: float
    augmentation: str
    """Name of the preset."""
    crop: int | None
    score: float
    """Objective of its best file that may be delivered, on the validation images, in [0, 1]."""


@dataclass(frozen=True)
class PastRun:
    """A run that was finished, as the store keeps it."""

    id: str
    """The same however often the run is remembered: SHA-256 in hexadecimal."""
    name: str
    ended_at: str
    """ISO 8601, UTC."""
    description: DataDescription
    trials: tuple[PastTrial, ...]


@dataclass(frozen=True)
class RecalledRun:
    """An earlier run that was learnt from."""

    name: str
    similarity: float
    """Of its data to today's, in (0, 1]; 1 for the same data."""
    same_data: bool


@dataclass(frozen=True)
class RecalledScore:
    """How an architecture did, against the median of the runs that it was trained in."""

    score: float
    """Difference of the objective, in [-1, 1]."""
    spread: float
    """Standard deviation of what it says of today's data: larger for data less alike."""


@dataclass(frozen=True)
class Recollection:
    """What earlier runs on data like today's suggest. It orders what is tried; it decides nothing."""

    runs: tuple[RecalledRun, ...] = ()
    """The most alike first."""
    trials: tuple[PastTrial, ...] = ()
    """What did best, the most promising first, each architecture once."""
    scores: tuple[tuple[str, RecalledScore], ...] = ()
    """By the key of the architecture."""

    def describe(self) -> str | None:
        """Return in a sentence what the search begins with; ``None``: nothing was learnt from."""
        if not self.trials or not self.runs:
            return None
        nearest = self.runs[0]
        how = "the same images" if nearest.same_data else "images like these"
        count = "1 earlier run" if len(self.runs) == 1 else f"{len(self.runs)} earlier runs"
        return (
            f"The search begins with what worked on {how} in '{nearest.name}' ({count}, "
            f"{len(self.trials)} recipe{'s' if len(self.trials) > 1 else ''}). "
            "They only change what is tried first; 'search: {reuse: false}' does without."
        )
