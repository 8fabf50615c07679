"""Classification by limits on simple measurements: one to three questions on a whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor import Classification
from automl.quality.rules.base import RuleData
from automl.quality.rules.measurements import MEASUREMENTS, measure, measure_all
from automl.quality.rules.trees import Node, fit_tree, tree_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MeasurementLimits"]

_DEPTHS = (1, 2, 3)
_WORTH = 0.005
"""What one more question must bring on the validation images."""


class MeasurementLimits:
    """The decision tree of one to three questions that does best on the validation images."""

    name = "measurement-limits"
    side = 128
    most_train = 2_000

    def fit(self, data: RuleData) -> _FittedLimits | None:
        """Learn the limits from the training images."""
        labels, truth = data.train.labels(), data.val.labels()
        values = measure_all(image for image, _ in data.train)
        asked = measure_all(image for image, _ in data.val)
        classes = len(data.classes)
        best: tuple[float, Node] | None = None
        for depth in _DEPTHS:
            tree = fit_tree(values, labels, classes=classes, depth=depth, seed=data.seed)
            answers = np.array([tree.find(one).label for one in asked])
            score = _balanced(answers, truth)
            if best is None or score > best[0] + _WORTH:
                best = score, tree
        return None if best is None else _FittedLimits(data.classes, best[1])


@dataclass(frozen=True)
class _FittedLimits:
    classes: tuple[str, ...]
    tree: Node

    @property
    def text(self) -> str:
        """The questions in words."""
        return tree_words(self.tree, self.classes, _say, subject="an image")

    def answer(self, image: NDArray[np.uint8]) -> Classification:
        """Return the shares of the classes among the training images of the same leaf."""
        leaf = self.tree.find(measure(image))
        return Classification(self.classes, np.array(leaf.shares, np.float32))


def _say(column: int, relation: str, limit: float) -> str:
    measurement = MEASUREMENTS[column]
    return f"{measurement.name} is {relation} {measurement.value(limit)}"


def _balanced(answers: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(np.mean([(answers[truth == one] == one).mean() for one in np.unique(truth)]))
