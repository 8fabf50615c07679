"""How good found boxes are over a whole split: average precision, and recall at a chosen precision.

Average precision is computed by faster-coco-eval from the boxes alone, which are all that is kept of an
image. Recall at a precision, curves and the threshold that is delivered come from the same matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.truth import BoxTruth, Truth
from automl.predictor import Answer, Detection
from automl.records import Scores
from automl.tasks.detection_matching import match_boxes
from automl.tasks.detection_postprocess import MOST_OBJECTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BoxScorer", "Curve", "box_truth", "detection", "draw_curve"]

_CURVE_POINTS = 100
"""Points that a curve keeps for the report."""
_OVERLAPS_COCO = {"map50": 0, "map75": 5}
"""Positions of 50 % and 75 % among COCO's overlaps, 50 to 95 % in steps of 5."""
_CROWD = 1


@dataclass(frozen=True)
class Curve:
    """Precision and recall as the least score that counts falls. ``(n,)`` each."""

    thresholds: NDArray[np.float32]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def recall_at(self, precision: float) -> float:
        """Return the greatest recall at which so many of the finds are right; 0 if there is none."""
        enough = self.precision >= precision
        return float(self.recall[enough].max()) if enough.any() else 0.0

    def points(self) -> tuple[tuple[float, float], ...]:
        """Return some points (recall, precision) of the curve, evenly spread."""
        count = len(self.recall)
        chosen = np.unique(np.linspace(0, max(0, count - 1), _CURVE_POINTS).round().astype(np.intp))
        kept = chosen[:count]  # none of none
        return tuple(zip(self.recall[kept].tolist(), self.precision[kept].tolist(), strict=True))


class BoxScorer:
    """Gathers boxes image by image."""

    def __init__(self, classes: Sequence[str], *, precision: float) -> None:
        """Take the classes' names and the precision at which recall is read off."""
        self._classes = tuple(classes)
        self._precision = precision
        self._images: list[tuple[Detection, BoxTruth]] = []

    def add(self, answer: Answer, truth: Truth) -> None:
        """Take in the objects found in one image and those that are there."""
        self._images.append((detection(answer), box_truth(truth)))

    def scores(self) -> Scores:
        """Return COCO's averages, per-class metrics and precision-recall curves.

        Averages are over the classes that occur; those that do not have no metrics.
        """
        present = self._present()
        if not present:
            return Scores(values={}, confusion=(), samples=len(self._images))
        precisions = self._average_precisions(present)  # (overlaps, classes)
        values = {"map": float(precisions.mean())}
        values |= {key: float(precisions[at].mean()) for key, at in _OVERLAPS_COCO.items()}
        curves = {label: draw_curve(self._images, label) for label in present}
        recalls = {label: curve.recall_at(self._precision) for label, curve in curves.items()}
        values["recall-at-precision"] = float(np.mean(list(recalls.values())))
        for column, label in enumerate(present):
            name = self._classes[label]
            values[f"ap[{name}]"] = float(precisions[:, column].mean())
            values[f"ap50[{name}]"] = float(precisions[0, column])
            values[f"recall[{name}]"] = recalls[label]
        return Scores(
            values=values,
            confusion=(),
            samples=len(self._images),
            curves={
                f"precision-recall[{self._classes[label]}]": curve.points()
                for label, curve in curves.items()
            },
        )

    def _present(self) -> list[int]:
        """Return the classes of which there is an object to be found."""
        labels = [truth.labels[~truth.ignored] for _, truth in self._images]
        return np.unique(np.concatenate(labels)).tolist() if labels else []

    def _average_precisions(self, present: list[int]) -> NDArray[np.float64]:
        """Return COCO's average precision ``(10 overlaps, classes)``."""
        from faster_coco_eval import COCO, COCOeval_faster

        found = self._found()
        if not len(found):
            return np.zeros((10, len(present)))
        known = COCO(self._annotations(present))
        evaluation = COCOeval_faster(
            known, known.loadRes(found), iouType="bbox", print_function=_say_nothing
        )
        evaluation.params.catIds = present
        evaluation.params.maxDets = [1, 10, MOST_OBJECTS]
        evaluation.evaluate()
        evaluation.accumulate()
        # (overlaps, recalls, classes, areas, most objects); -1 where nothing is to be found
        precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
        averages: NDArray[np.float64] = precision.mean(axis=1)
        return averages

    def _found(self) -> NDArray[np.float64]:
        """Return all boxes as COCO's rows: image, left, top, width, height, score, class."""
        rows = []
        for image, (answer, _) in enumerate(self._images):
            boxes = answer.boxes.astype(np.float64)
            sizes = boxes[:, 2:] - boxes[:, :2]
            numbers = np.full((len(boxes), 1), image, np.float64)
            rows.append(
                np.hstack(
                    [numbers, boxes[:, :2], sizes, answer.scores[:, None], answer.classes[:, None]]
                )
            )
        return np.concatenate(rows) if rows else np.zeros((0, 7))

    def _annotations(self, present: list[int]) -> dict[str, Any]:
        """Return the true objects in the form of a COCO file."""
        annotations: list[dict[str, Any]] = []
        for image, (_, truth) in enumerate(self._images):
            for corners, label, ignored in zip(
                truth.corners.tolist(), truth.labels.tolist(), truth.ignored.tolist(), strict=True
            ):
                left, top, right, bottom = corners
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": label,
                        "bbox": [left, top, right - left, bottom - top],
                        "area": (right - left) * (bottom - top),
                        "iscrowd": _CROWD if ignored else 0,
                    }
                )
        return {
            "images": [{"id": image} for image in range(len(self._images))],
            "categories": [{"id": label, "name": self._classes[label]} for label in present],
            "annotations": annotations,
        }


def draw_curve(images: Sequence[tuple[Detection, BoxTruth]], label: int | None) -> Curve:
    """Return precision and recall over images, of one class or (``None``) of all objects together."""
    scores, rights, objects = [], [], 0
    for answer, truth in images:
        matches = match_boxes(answer.boxes, answer.classes, truth)
        counts = matches.right | matches.wrong
        asked = ~truth.ignored
        if label is not None:
            counts &= answer.classes == label
            asked &= truth.labels == label
        scores.append(answer.scores[counts])
        rights.append(matches.right[counts])
        objects += int(asked.sum())
    if not scores:
        return Curve(np.zeros(0, np.float32), np.zeros(0), np.zeros(0))
    thresholds = np.concatenate(scores)
    order = np.argsort(-thresholds, kind="stable")
    right = np.concatenate(rights)[order].cumsum()
    thresholds = thresholds[order]
    # Boxes of one score count together: no threshold lies between them.
    last = np.append(thresholds[1:] != thresholds[:-1], True) if len(thresholds) else slice(0)
    precision = right / np.arange(1, len(right) + 1)
    return Curve(thresholds[last], precision[last], (right / max(1, objects))[last])


def detection(answer: Answer) -> Detection:
    """Return an answer as that of a detector."""
    if not isinstance(answer, Detection):
        raise TypeError(f"Detection answers with boxes; got {type(answer).__name__}.")
    return answer


def box_truth(truth: object) -> BoxTruth:
    """Return a truth as boxes."""
    if not isinstance(truth, BoxTruth):
        raise TypeError(f"Detection is judged by boxes; got {type(truth).__name__}.")
    return truth


def _say_nothing(*_: object) -> None:
    """Take what the evaluation would print."""
