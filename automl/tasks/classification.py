"""Classification: one label an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from automl.data.truth import LabelTruth, Truth
from automl.errors import SpecError
from automl.models.backbones import build_classifier
from automl.models.weights import weight_source
from automl.predictor import Answer, Classification
from automl.records import Architecture, Scores, TaskOptions, TruthKind
from automl.tasks.base import Comparison, Encoded, Judged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.models.backbones import Network

__all__ = ["ClassificationTask", "LabelScorer", "Probabilities"]


class ClassificationTask:
    """One of two or more classes for each image; judged by balanced accuracy unless the spec says else."""

    name = "classification"
    default_objective = "balanced-accuracy"
    truth: TruthKind = "label"
    learner = "gradient"
    outputs: tuple[str, ...] = ("probabilities",)
    tunes = False
    settles = False
    parity_limit = 0.01
    """Of a class probability: well above rounding (1e-4 was seen)."""

    def __init__(self, classes: Sequence[str], options: TaskOptions) -> None:
        self.classes = tuple(classes)

    def build(self, architecture: Architecture, *, weights: str | None) -> Network:
        """Return a backbone with a linear head."""
        if architecture.decoder is not None:
            raise SpecError(
                f"Classification has no decoders; got '{architecture.decoder}' for "
                f"'{architecture.backbone}'. Leave 'decoders' out of the search space."
            )
        source = None if weights is None else weight_source(weights)
        return build_classifier(architecture, classes=len(self.classes), weights=source)

    def postprocess(self, network: Network) -> nn.Module:
        """Return softmax over the classes."""
        return Probabilities()

    def encode(self, truth: Truth) -> Encoded:
        """Return ``label`` (), int64."""
        return {"label": torch.tensor(_label(truth))}

    def collate(self, encoded: Sequence[Encoded]) -> Tensor:
        """Return labels ``(B,)`` int64."""
        return torch.stack([one["label"] for one in encoded])

    def focus(self, truth: Truth, draw: float) -> tuple[int, int] | None:
        """Return nothing: a class has no place in its image."""
        return None

    def loss(self, truths: Sequence[Truth], *, label_smoothing: float) -> nn.Module:
        """Return cross-entropy, each class weighted by the inverse of its share of the images."""
        count = len(self.classes)
        counts = np.bincount([_label(one) for one in truths], minlength=count).astype(np.float32)
        weight = counts.sum() / (count * np.maximum(counts, 1.0))
        return nn.CrossEntropyLoss(torch.from_numpy(weight), label_smoothing=label_smoothing)

    def scorer(self) -> LabelScorer:
        """Return a scorer of probabilities."""
        return LabelScorer(self.classes)

    def judged(self, one: Judged, *, present: frozenset[int], seed: int) -> tuple[Judged, ...]:
        """Return the image itself."""
        return (one,)

    def tune(
        self, network: Network, outputs: Iterable[tuple[Any, Sequence[Truth]]], *, images: int
    ) -> dict[str, str]:
        """Change nothing."""
        return {}

    def settle(
        self, file: Path, answers: Sequence[Answer], truths: Sequence[Truth]
    ) -> dict[str, str]:
        """Change nothing: the most probable class is the answer."""
        return {}

    def compare(self, expected: Answer, got: Answer) -> Comparison:
        """Return the largest difference of a probability, and whether the class is the same."""
        before, after = _classification(expected), _classification(got)
        difference = float(np.abs(before.probabilities - after.probabilities).max())
        return Comparison(difference, before.index == after.index)

    def quality(self, answer: Answer, truth: Truth) -> float:
        """Return the probability given to the true class."""
        return float(_classification(answer).probabilities[_label(truth)])

    def describe(self, known: Answer | Truth) -> str:
        """Return the name of the class."""
        return known.label if isinstance(known, Classification) else self.classes[_label(known)]

    def draw(
        self, frame: NDArray[np.uint8], answer: Answer, truth: Truth
    ) -> NDArray[np.uint8] | None:
        """Return nothing: the image itself shows all there is to see."""
        return None


class Probabilities(nn.Module):
    """Softmax over the classes."""

    def forward(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Return ``(1, classes)`` for logits of that shape."""
        return logits.softmax(dim=1)


class LabelScorer:
    """Gathers the probabilities of each image: ``classes`` numbers an image."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._rows: list[NDArray[np.float32]] = []
        self._labels: list[int] = []

    def add(self, answer: Answer, truth: Truth) -> None:
        """Take in the answer for one image."""
        self._rows.append(_classification(answer).probabilities)
        self._labels.append(_label(truth))

    def scores(self) -> Scores:
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

        count = len(self._classes)
        probabilities = torch.from_numpy(np.stack(self._rows).astype(np.float32, copy=False))
        truth = torch.tensor(self._labels)
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
        for index, name in enumerate(self._classes):
            values[f"recall[{name}]"] = float(recall[index])
            values[f"precision[{name}]"] = float(precision[index])
            values[f"f1[{name}]"] = float(f1[index])
        confusion = multiclass_confusion_matrix(answers, truth, count)
        return Scores(
            values=values,
            confusion=tuple(tuple(int(n) for n in row) for row in confusion.tolist()),
            samples=len(self._labels),
        )


def _label(truth: object) -> int:
    if not isinstance(truth, LabelTruth):
        raise TypeError(f"Classification is judged by labels; got {type(truth).__name__}.")
    return truth.label


def _classification(answer: Answer) -> Classification:
    if not isinstance(answer, Classification):
        raise TypeError(f"Classification answers with classes; got {type(answer).__name__}.")
    return answer


def _auroc(probabilities: Tensor, truth: Tensor, present: Tensor) -> float:
    """Return the area under the ROC curve of each class that occurs against the rest, averaged."""
    from torchmetrics.functional.classification import binary_auroc

    areas = [
        binary_auroc(probabilities[:, label], (truth == label).long())
        for label in present.nonzero().flatten().tolist()
    ]
    return float(torch.stack(areas).mean())
