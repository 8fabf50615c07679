"""What the data itself allows: doubtful labels, leaks between splits, what more images would bring, and
how far a plain rule comes.

Estimates of labels and of learning curves come from a linear model on features of a frozen network, not
from the network that is delivered: they say where to look and what to expect, and prove nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from automl.records.trial import Scores

__all__ = [
    "CleanScore",
    "CurvePoint",
    "DataQuality",
    "FewExamples",
    "LabelErrors",
    "LabelSuspect",
    "Leakage",
    "LearningCurve",
    "PowerLaw",
    "RuleBaseline",
]

Place = tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelSuspect:
    """A label that is probably wrong. ``path`` is relative to the data's root."""

    path: str
    given: str
    suggested: str
    doubt: float
    """Probability that the given label is wrong, in [0, 1]."""
    place: Place | None
    """Left, top, right, bottom in pixels of the image; ``None``: the whole image."""


@dataclass(frozen=True)
class LabelErrors:
    """What looking for wrong labels found."""

    unit: str
    """What has a label, in the plural: ``images``, ``boxes``, ``areas``."""
    checked: int
    suspects: tuple[LabelSuspect, ...]
    """The most doubtful first."""
    expected: float
    """Estimated number of wrong labels among those checked; some cannot be told by sight."""
    agreement: float
    """Share of the labels that a model which had not seen them gave too, in [0, 1]."""
    method: str
    """One sentence: how it was done, and what was not."""
    seconds: float


@dataclass(frozen=True)
class CleanScore:
    """Score of the winner on the test split, and without the images that leak."""

    everything: float
    without: float
    images: int
    """Test images that are left."""


@dataclass(frozen=True)
class Leakage:
    """What the test split shares with the images that were learnt or chosen from."""

    pairs: tuple[tuple[str, str], ...]
    """Paths of images in different splits that are the same or look the same; of a pair that
    touches the test split its image there comes second."""
    groups: tuple[str, ...]
    """Groups that lie in more than one split."""
    paths: tuple[str, ...]
    """Test images concerned: copies of images of another split, and those of divided groups."""
    test_images: int
    clean: CleanScore | None = None
    """Known once there is a winner; ``None`` also when nothing leaks or all does."""

    @property
    def affected(self) -> int:
        """How many test images are concerned."""
        return len(self.paths)


@dataclass(frozen=True)
class CurvePoint:
    """Score at a number of training images; ``low`` to ``high`` is a 95 % interval of ``mean``."""

    images: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PowerLaw:
    """``error = scale * images ** -exponent + floor`` (Hestness et al. 2017)."""

    scale: float
    exponent: float
    floor: float

    def score(self, images: float) -> float:
        """Return the score (1 - error) expected with so many training images."""
        return 1.0 - self.scale * math.pow(images, -self.exponent) - self.floor


@dataclass(frozen=True)
class FewExamples:
    """A class of which there are too few examples, with the reason in words."""

    class_name: str
    examples: int
    reason: str


@dataclass(frozen=True)
class LearningCurve:
    """How the score grows with the training images, and what more of them would bring."""

    unit: str
    """What is counted on the x axis: ``images``, whatever the task."""
    metric: str
    """In words, of the model that was used for it."""
    points: tuple[CurvePoint, ...]
    """Ascending; the last is all that there is now."""
    fitted: PowerLaw | None
    """``None``: the points follow no power law."""
    forecasts: tuple[CurvePoint, ...]
    """Expected with two and four times as many images."""
    needed: int | None
    """Images more that are expected to add one point (0.01); ``None``: no number would, as far as
    can be told."""
    advice: str
    """Whether more images would help and how many, in words."""
    per_class_few: tuple[FewExamples, ...]
    seconds: float


@dataclass(frozen=True)
class RuleBaseline:
    """A rule that needs no network, fitted on the training images and judged as a model is."""

    name: str
    rule: str
    """In words, complete: someone could apply it by hand. No full stop at the end."""
    val_scores: Scores
    test_scores: Scores
    seconds: float


@dataclass(frozen=True)
class DataQuality:
    """All of it."""

    label_errors: LabelErrors | None
    leakage: Leakage
    learning_curve: LearningCurve | None
    rules: tuple[RuleBaseline, ...]
    notes: tuple[str, ...]
    """What was not done or done with less, and why, a sentence each."""
    seconds: float

    def best_rule(self, metric: str) -> RuleBaseline | None:
        """Return the rule with the best score on the validation images, if any has such a score."""
        scored = [rule for rule in self.rules if metric in rule.val_scores.values]
        return max(scored, key=lambda rule: rule.val_scores.values[metric], default=None)

    def sufficient_rule(self, metric: str, score: float) -> RuleBaseline | None:
        """Return the best rule if on the test split it comes within a point (0.01) of a score."""
        best = self.best_rule(metric)
        if best is None or metric not in best.test_scores.values:
            return None
        return best if best.test_scores.values[metric] >= score - WITHIN else None


WITHIN = 0.01
"""One point: a difference that is not worth a network."""
