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

_DEPTHS = (2, 3)
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
        best = _one_question(values, labels, asked, truth, classes=classes, seed=data.seed)
        for depth in _DEPTHS:
            tree = fit_tree(values, labels, classes=classes, depth=depth, seed=data.seed)
            score = _balanced(tree, asked, truth)
            if score > best[0] + _WORTH:
                best = score, tree
        return _FittedLimits(data.classes, best[1])


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


def _say(column: int, limit: float | None) -> str:
    measurement = MEASUREMENTS[column]
    return measurement.name if limit is None else measurement.value(limit)


def _one_question(
    values: NDArray[np.float64],
    labels: NDArray[np.int64],
    asked: NDArray[np.float64],
    truth: NDArray[np.int64],
    *,
    classes: int,
    seed: int,
) -> tuple[float, Node]:
    """Return the best limit on one measurement, with its score on the validation images.

    Of measurements that tell the images apart equally well, the one that does so most clearly.
    """
    best: tuple[float, float, float, Node] | None = None
    for column in range(values.shape[1]):
        alone = np.zeros_like(values)
        alone[:, column] = values[:, column]
        tree = fit_tree(alone, labels, classes=classes, depth=1, seed=seed)
        score = _balanced(tree, asked, truth)
        both = round(score + _balanced(tree, values, labels), 3)
        margin = _margin(values[:, column], tree.limit) if tree.column == column else 0.0
        if best is None or (both, margin) > best[:2]:
            best = both, margin, score, tree
    assert best is not None  # there are measurements
    return best[2], best[3]


def _margin(values: NDArray[np.float64], limit: float) -> float:
    """Return how far values keep from a limit, in units of their spread."""
    nearest = np.abs(values - limit).min()
    return float(nearest / max(float(values.std()), 1e-9))


def _balanced(tree: Node, values: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    answers = np.array([tree.find(one).label for one in values])
    return float(np.mean([(answers[truth == one] == one).mean() for one in np.unique(truth)]))
