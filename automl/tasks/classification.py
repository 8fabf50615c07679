"""Classification: one label an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from automl.models.backbones import build_classifier
from automl.models.weights import weight_source
from automl.records import Architecture, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.models.backbones import Network

__all__ = ["ClassificationTask"]


class ClassificationTask:
    """One of two or more classes for each image; judged by balanced accuracy unless the spec says else."""

    name = "classification"
    default_objective = "balanced-accuracy"

    def build(self, architecture: Architecture, *, classes: int, weights: str | None) -> Network:
        """Return a backbone with a linear head."""
        source = None if weights is None else weight_source(weights)
        return build_classifier(architecture, classes=classes, weights=source)

    def loss(self, labels: NDArray[np.int64], *, classes: int, label_smoothing: float) -> nn.Module:
        """Return cross-entropy, each class weighted by the inverse of its share of the images."""
        counts = np.bincount(labels, minlength=classes).astype(np.float32)
        weight = counts.sum() / (classes * np.maximum(counts, 1.0))
        return nn.CrossEntropyLoss(torch.from_numpy(weight), label_smoothing=label_smoothing)

    def postprocess(self) -> nn.Module:
        """Return softmax over the classes."""
        return nn.Softmax(dim=-1)

    def outputs(self, logits: Tensor) -> NDArray[np.float32]:
        """Return probabilities ``(B, classes)`` of logits ``(B, classes)``."""
        probabilities: NDArray[np.float32] = logits.float().softmax(dim=-1).cpu().numpy()
        return probabilities

    def score(
        self, outputs: NDArray[np.float32], labels: NDArray[np.int64], *, classes: Sequence[str]
    ) -> Scores:
        """Return accuracy, balanced accuracy, macro averages, AUROC and per-class metrics.

        Averages are over the classes that occur; balanced accuracy is the mean recall (Brodersen et
        al. 2010, "The balanced accuracy and its posterior distribution"). AUROC compares each class
        with the rest, so there is none when only one class occurs. All by torchmetrics.
        """
        from torchmetrics.functional.classification import (
            multiclass_confusion_matrix,
            multiclass_f1_score,
            multiclass_precision,
            multiclass_recall,
        )

        count = len(classes)
        probabilities = torch.from_numpy(np.ascontiguousarray(outputs))
        truth = torch.from_numpy(np.ascontiguousarray(labels))
        answers = probabilities.argmax(dim=1)
        present = torch.bincount(truth, minlength=count) > 0
        recall = multiclass_recall(answers, truth, count, average=None)
        precision = multiclass_precision(answers, truth, count, average=None)
        f1 = multiclass_f1_score(answers, truth, count, average=None)
        values = {
            "accuracy": float((answers == truth).float().mean()),
            "balanced-accuracy": float(recall[present].mean()),
            "recall-macro": float(recall[present].mean()),
            "precision-macro": float(precision[present].mean()),
            "f1-macro": float(f1[present].mean()),
        }
        if int(present.sum()) > 1:
            values["auroc"] = _auroc(probabilities, truth, present)
        for index, name in enumerate(classes):
            values[f"recall[{name}]"] = float(recall[index])
            values[f"precision[{name}]"] = float(precision[index])
            values[f"f1[{name}]"] = float(f1[index])
        confusion = multiclass_confusion_matrix(answers, truth, count)
        return Scores(
            values=values,
            confusion=tuple(tuple(int(n) for n in row) for row in confusion.tolist()),
            samples=len(labels),
        )


def _auroc(probabilities: Tensor, truth: Tensor, present: Tensor) -> float:
    """Return the area under the ROC curve of each class that occurs against the rest, averaged."""
    from torchmetrics.functional.classification import binary_auroc

    areas = [
        binary_auroc(probabilities[:, label], (truth == label).long())
        for label in present.nonzero().flatten().tolist()
    ]
    return float(torch.stack(areas).mean())
