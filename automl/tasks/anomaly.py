"""Anomaly detection: whether an image is unlike the good ones, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from automl.data.truth import DefectTruth, Truth
from automl.models.anomaly import build_anomaly
from automl.models.weights import weight_source
from automl.predictor import Anomaly, Answer
from automl.records import Architecture, TaskOptions, TruthKind
from automl.tasks.anomaly_answer import AnomalyAnswer
from automl.tasks.anomaly_drawing import draw_heat
from automl.tasks.anomaly_scores import DEFECT, GOOD, AnomalyScorer, anomaly, defect_truth
from automl.tasks.anomaly_synthetic import COPIES, add_defect
from automl.tasks.anomaly_threshold import choose_threshold
from automl.tasks.base import Comparison, Encoded, Judged
from automl.tasks.threshold_file import read_threshold, write_threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.models.backbones import Network

__all__ = ["AnomalyTask"]

_STEEPNESS = 4
"""Of the quality of an answer: a score a quarter from the threshold counts about 0.25 or 0.75."""


class AnomalyTask:
    """Good or defective; judged by the area under the ROC curve of images unless the spec says else."""

    name = "anomaly"
    default_objective = "image-auroc"
    truth: TruthKind = "defect"
    learner = "fit"
    outputs: tuple[str, ...] = ("score", "is_defect", "heat_map")
    tunes = False
    settles = True
    parity_limit = 0.01
    """Of the score, which is 1 at the threshold."""

    def __init__(self, classes: Sequence[str], options: TaskOptions) -> None:
        self.classes = tuple(classes)
        self._max_false_alarm = options.max_false_alarm

    def build(self, architecture: Architecture, *, weights: str | None) -> Network:
        """Return a backbone with an empty memory."""
        source = None if weights is None else weight_source(weights)
        return build_anomaly(architecture, weights=source)

    def postprocess(self, network: Network) -> nn.Module:
        """Return the comparison with the network's own memory, and what makes an answer of it."""
        return AnomalyAnswer(network.module.memory)  # type: ignore[arg-type]  # nn.Module's attributes are untyped

    def encode(self, truth: Truth) -> Encoded:
        """Return ``label``, a scalar int64: nothing of a defect is learnt."""
        return {"label": torch.tensor(defect_truth(truth).label)}

    def collate(self, encoded: Sequence[Encoded]) -> torch.Tensor:
        """Return the labels ``(B,)`` int64."""
        return torch.stack([one["label"] for one in encoded])

    def focus(self, truth: Truth, draw: float) -> tuple[int, int] | None:
        """Return nothing: images are taken whole."""
        return None

    def loss(self, truths: Sequence[Truth], *, label_smoothing: float) -> nn.Module:
        """Refuse: good images are remembered, no gradient is followed.

        Raises:
            TypeError: always.
        """
        raise TypeError("Anomaly networks have no training loss; their learner is 'fit'.")

    def scorer(self) -> AnomalyScorer:
        """Return a scorer that has seen nothing yet."""
        return AnomalyScorer()

    def judged(self, one: Judged, *, present: frozenset[int], seed: int) -> Sequence[Judged]:
        """Return the image itself, and where no real defect is present its synthetic ones.

        See :mod:`automl.tasks.anomaly_synthetic`.
        """
        if DEFECT in present or defect_truth(one.truth).label != GOOD:
            return (one,)
        made = (add_defect(one.frame, copy=copy, seed=seed) for copy in range(COPIES))
        return (
            one,
            *(Judged(frame, DefectTruth(DEFECT, mask, is_synthetic=True)) for frame, mask in made),
        )

    def tune(
        self, network: Network, outputs: Iterable[tuple[Any, Sequence[Truth]]], *, images: int
    ) -> dict[str, str]:
        """Change nothing."""
        return {}

    def settle(
        self, file: Path, answers: Sequence[Answer], truths: Sequence[Truth]
    ) -> dict[str, str]:
        """Write the threshold into the file that keeps false alarms within the options' limit.

        Only the answers for good images count (:mod:`automl.tasks.anomaly_threshold`). Nothing else
        of the file changes, so that graph and latency stay what they were.
        """
        unit = read_threshold(file)
        good = [
            anomaly(answer).score * unit
            for answer, truth in zip(answers, truths, strict=True)
            if defect_truth(truth).label == GOOD
        ]
        chosen = choose_threshold(good, rate=self._max_false_alarm, provisional=unit)
        write_threshold(file, chosen.value)
        return {
            "threshold": f"{chosen.value:.4g} on the heat map",
            "threshold method": chosen.method,
            "threshold images": f"{chosen.images} good validation images",
            "false alarms asked": f"at most {self._max_false_alarm:.2%}",
        }

    def compare(self, expected: Answer, got: Answer) -> Comparison:
        """Return the difference of the scores, in units of the threshold.

        The decision is the same when it agrees, or when both scores are within rounding of 1.
        """
        before, after = anomaly(expected), anomaly(got)
        difference = abs(before.score - after.score)
        is_close = difference <= self.parity_limit and abs(before.score - 1.0) <= self.parity_limit
        return Comparison(difference, before.is_defect == after.is_defect or is_close)

    def quality(self, answer: Answer, truth: Truth) -> float:
        """Return how surely an answer is right: above one half when it is, 1 far from the threshold."""
        score = max(0.0, anomaly(answer).score) ** _STEEPNESS
        defect = 1.0 if np.isinf(score) else score / (1.0 + score)
        return defect if defect_truth(truth).label == DEFECT else 1.0 - defect

    def describe(self, known: Answer | Truth) -> str:
        """Return ``defect (score 1.43)``, ``good``, or ``defect on 2.1 % of the image``."""
        if isinstance(known, Anomaly):
            return f"{known.label} (score {known.score:.2f})"
        truth = _as_truth(known)
        name = self.classes[truth.label]
        if truth.mask is None or not truth.mask.any():
            return name
        return f"{name} on {100.0 * float(truth.mask.mean()):.2g} % of the image"

    def draw(
        self, frame: NDArray[np.uint8], answer: Answer, truth: Truth
    ) -> NDArray[np.uint8] | None:
        """Return the frame with the heat over it and the outline of the true defect."""
        return draw_heat(frame, anomaly(answer), defect_truth(truth).mask)


def _as_truth(known: Answer | Truth) -> DefectTruth:
    if not isinstance(known, DefectTruth):
        raise TypeError(f"A truth of this task is a DefectTruth; got {type(known).__name__}.")
    return known
