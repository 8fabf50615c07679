"""Detection: a box, a class and a score for each object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from automl.data.truth import Truth
from automl.models.detectors import build_detector
from automl.models.weights import weight_source
from automl.predictor import Answer, Detection
from automl.records import Architecture, TaskOptions, TruthKind
from automl.tasks.base import Comparison, Encoded, Judged
from automl.tasks.detection_drawing import draw_objects
from automl.tasks.detection_loss import DetectionLoss, ObjectTargets
from automl.tasks.detection_matching import match_boxes, overlaps
from automl.tasks.detection_postprocess import FoundObjects
from automl.tasks.detection_scores import BoxScorer, box_truth, detection, draw_curve
from automl.tasks.file_settings import add_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.models.backbones import Network

__all__ = ["DetectionTask"]

_COUNTED_SCORE = 0.3
"""Objects surer than this are compared: below it lie many that no one will act on."""
_SAME_OVERLAP = 0.9
_SEEN_SHARE = 0.25
"""An object of which less than this share of the area is in the varied image is learnt neither as an
object nor as background."""
_SMALLEST_SIDE = 1.0
"""Pixels of the network's square; what is narrower has no shape."""
_NO_CANVAS = (1, 1)
"""Size of the image of boxes that were not varied, so that none of them can have left it."""
_UNSETTLED_THRESHOLD = 0.5
"""What :class:`automl.predictor.Detection` takes where no threshold is written into the file."""


class DetectionTask:
    """Boxes around objects; judged by COCO's mean average precision unless the spec says else."""

    name = "detection"
    default_objective = "map"
    truth: TruthKind = "boxes"
    learner = "gradient"
    outputs: tuple[str, ...] = ("boxes", "labels", "scores")
    tunes = False
    settles = True
    parity_limit = 0.02
    """Of the score of an object: well above rounding (1e-4 was seen)."""

    def __init__(self, classes: Sequence[str], options: TaskOptions) -> None:
        self.classes = tuple(classes)
        self._precision = options.precision

    def build(self, architecture: Architecture, *, weights: str | None) -> Network:
        """Return a backbone with a feature pyramid and the heads of FCOS or RetinaNet."""
        source = None if weights is None else weight_source(weights)
        return build_detector(architecture, classes=len(self.classes), weights=source)

    def postprocess(self, network: Network) -> nn.Module:
        """Return decoding, choice of candidates and suppression of boxes on the same object."""
        size = network.architecture.image_size
        return FoundObjects(image_size=size, classes=len(self.classes))

    def encode(self, truth: Truth) -> Encoded:
        """Return ``boxes`` (n, 4) float32, ``labels`` (n,) int64 and ``ignored`` (n,) bool.

        The size of the image is not known here: ``canvas_size`` is that of :data:`_NO_CANVAS`, and
        :func:`automl.data.augment.build_augmentation` sets it.
        """
        known = box_truth(truth)
        boxes = tv_tensors.BoundingBoxes(
            torch.from_numpy(np.ascontiguousarray(known.corners, np.float32).reshape(-1, 4)),
            format=tv_tensors.BoundingBoxFormat.XYXY,
            canvas_size=_NO_CANVAS,
        )
        return {
            "boxes": boxes,
            "labels": torch.from_numpy(np.ascontiguousarray(known.labels, np.int64)),
            "ignored": torch.from_numpy(np.ascontiguousarray(known.ignored, np.bool_)),
        }

    def collate(self, encoded: Sequence[Encoded]) -> list[ObjectTargets]:
        """Return the objects of each image, within what is left of it in view."""
        return [_in_view(one) for one in encoded]

    def focus(self, truth: Truth, draw: float) -> tuple[int, int] | None:
        """Return the middle of an object, drawn evenly; ``None`` where there is none."""
        known = box_truth(truth)
        if not len(known.corners):
            return None
        left, top, right, bottom = known.corners[int(draw * len(known.corners))].tolist()
        return int(0.5 * (top + bottom)), int(0.5 * (left + right))

    def loss(self, truths: Sequence[Truth], *, label_smoothing: float) -> nn.Module:
        """Return the loss of the decoder: focal for the classes, which balances them by itself."""
        return DetectionLoss(classes=len(self.classes), label_smoothing=label_smoothing)

    def scorer(self) -> BoxScorer:
        """Return a scorer by COCO's rules."""
        return BoxScorer(self.classes, precision=self._precision)

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
        """Write into the file the least score with which an object is sure enough to be named.

        It is the lowest at which the share of right finds is that of the options, over all classes
        together. Where that share is never reached, it is the one of the best F1.
        """
        pairs = [(detection(a), box_truth(t)) for a, t in zip(answers, truths, strict=True)]
        curve = draw_curve(pairs, None)
        if not len(curve.thresholds) or not curve.recall.any():
            add_settings(file, {"automl.threshold": str(_UNSETTLED_THRESHOLD)})
            return {"threshold": f"{_UNSETTLED_THRESHOLD} (nothing right was found to set it by)"}
        enough = np.flatnonzero(curve.precision >= self._precision)
        both = curve.precision + curve.recall
        f1 = 2.0 * curve.precision * curve.recall / np.where(both > 0, both, 1.0)
        chosen = int(enough[-1]) if len(enough) else int(f1.argmax())
        threshold = curve.thresholds[chosen]
        # The shortest text of a float32 reads back as that very number.
        add_settings(file, {"automl.threshold": str(threshold)})
        reached = (
            f"{curve.precision[chosen]:.1%} of the finds are right, {curve.recall[chosen]:.1%} "
        )
        missed = "" if len(enough) else f"; {self._precision:.1%} are never right, so best F1"
        return {"threshold": f"{threshold:.3f} ({reached}of the objects are found{missed})"}

    def compare(self, expected: Answer, got: Answer) -> Comparison:
        """Return the largest difference of an object's score, and whether the sure ones are the same.

        Objects are the same when their class is and they share nine tenths. One surer than 0.3 that
        the other answer lacks counts with its whole score.
        """
        before, after = detection(expected), detection(got)
        first, second = _pair(before, after), _pair(after, before)
        difference = max(
            _largest(before.scores, after.scores, first),
            _largest(after.scores, before.scores, second),
        )
        is_same = _are_there(before, after, first) and _are_there(after, before, second)
        return Comparison(difference, is_same)

    def quality(self, answer: Answer, truth: Truth) -> float:
        """Return the F1 of the sure objects; 1 where there is nothing and nothing is found."""
        found, known = detection(answer), box_truth(truth)
        sure = found.scores >= found.threshold
        matches = match_boxes(found.boxes[sure], found.classes[sure], known)
        right, wrong, missed = (
            int(m.sum()) for m in (matches.right, matches.wrong, matches.missed)
        )
        return 2.0 * right / (2.0 * right + wrong + missed) if right + wrong + missed else 1.0

    def describe(self, known: Answer | Truth) -> str:
        """Return how many objects of each class: ``12 RBC, 1 WBC``."""
        if isinstance(known, Detection):
            return known.text()
        labels = box_truth(known).labels
        counts = [(int((labels == i).sum()), name) for i, name in enumerate(self.classes)]
        return ", ".join(f"{count} {name}" for count, name in counts if count) or "nothing"

    def draw(
        self, frame: NDArray[np.uint8], answer: Answer, truth: Truth
    ) -> NDArray[np.uint8] | None:
        """Return the frame with the sure objects in solid lines and the missed ones in dashed."""
        return draw_objects(frame, detection(answer), box_truth(truth), self.classes)


def _in_view(encoded: Encoded) -> ObjectTargets:
    """Return the objects of a varied image: clipped to it; what is hardly seen is ignored."""
    boxes, labels, ignored = encoded["boxes"], encoded["labels"], encoded["ignored"]
    if not isinstance(boxes, tv_tensors.BoundingBoxes):
        raise TypeError(f"Encoded boxes are BoundingBoxes; got {type(boxes).__name__}.")
    if tuple(boxes.canvas_size) == _NO_CANVAS:
        return {"boxes": boxes.as_subclass(Tensor), "labels": labels, "ignored": ignored}
    height, width = boxes.canvas_size
    whole = boxes.as_subclass(Tensor)
    limits = torch.tensor([width, height, width, height], dtype=whole.dtype)
    seen = torch.minimum(whole.clamp(min=0.0), limits)
    sides = seen[:, 2:] - seen[:, :2]
    share = sides.prod(1) / (whole[:, 2:] - whole[:, :2]).prod(1).clamp(min=1e-6)
    kept = (sides >= _SMALLEST_SIDE).all(1)
    hardly = ignored | (share < _SEEN_SHARE)
    return {"boxes": seen[kept], "labels": labels[kept], "ignored": hardly[kept]}


def _pair(one: Detection, other: Detection) -> NDArray[np.int64]:
    """Return for each object of one answer its most overlapping same of another; -1: there is none."""
    if not len(other.boxes):
        return np.full(len(one.boxes), -1, np.int64)
    shared = overlaps(one.boxes, other.boxes)
    shared = np.where(one.classes[:, None] == other.classes[None], shared, 0.0)
    best = shared.argmax(1)
    is_same = shared[np.arange(len(best)), best] >= _SAME_OVERLAP
    return np.where(is_same, best, -1)


def _largest(
    scores: NDArray[np.float32], others: NDArray[np.float32], pairs: NDArray[np.int64]
) -> float:
    """Return the largest difference of the scores that count from those of their pairs."""
    counted = scores > _COUNTED_SCORE
    if not counted.any():
        return 0.0
    paired = np.append(others, np.float32(0.0))[pairs[counted]]  # position -1: the 0 at the end
    return float(np.abs(scores[counted] - paired).max())


def _are_there(one: Detection, other: Detection, pairs: NDArray[np.int64]) -> bool:
    """Whether every sure object of one answer is a sure one of the other."""
    sure = one.scores >= one.threshold
    paired = np.append(other.scores, np.float32(-1.0))[pairs[sure]]
    return bool((paired >= other.threshold).all())
