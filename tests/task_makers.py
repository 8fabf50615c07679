"""Tasks and their scores for tests that speak of classification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from automl.data.truth import LabelTruth
from automl.export.deployed import Deployed
from automl.predictor import Classification, Model
from automl.records import Scores, TaskOptions
from automl.tasks.classification import ClassificationTask, Probabilities


def classification(*classes: str) -> ClassificationTask:
    return ClassificationTask(classes, TaskOptions())


def score_labels(
    outputs: NDArray[np.float32], labels: Sequence[int] | NDArray[np.int64], classes: Sequence[str]
) -> Scores:
    """Return the scores of probabilities ``(N, classes)`` against labels ``(N,)``."""
    scorer = classification(*classes).scorer()
    for row, label in zip(outputs, labels, strict=True):
        scorer.add(Classification(tuple(classes), row), LabelTruth(int(label)))
    return scorer.scores()


def deployed_classifier(network: nn.Module, *, side: int) -> Deployed:
    """Return a classifier as it is exported, with plain statistics."""
    return Deployed(
        network,
        image_size=side,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        postprocess=Probabilities(),
        outputs=("probabilities",),
    ).eval()


def probabilities_of(path: Path, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return the probabilities ``(N, classes)`` of an ONNX file."""
    model = Model(path)
    return np.stack([model.predict(frame).probabilities for frame in frames])
