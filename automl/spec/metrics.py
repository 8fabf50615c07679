"""Which metrics a spec may ask for, by task, in words. The tasks compute them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from automl.records import TruthKind

__all__ = ["METRICS", "TaskMetrics", "split_key"]


@dataclass(frozen=True)
class TaskMetrics:
    """The metrics of a task, all in [0, 1], each with one sentence for people; what its truth is."""

    default: str
    overall: Mapping[str, str]
    per_class: Mapping[str, str]
    """Written with a class in brackets: ``recall[fail]``."""
    truth: TruthKind = "label"
    lower: frozenset[str] = frozenset()
    """Metrics of which less is better; they may be required (``<=``), never be the objective."""
    settled: frozenset[str] = frozenset()
    """Metrics that depend on what is set on the finished file, such as a threshold."""


METRICS: Mapping[str, TaskMetrics] = MappingProxyType(
    {
        "classification": TaskMetrics(
            default="balanced-accuracy",
            overall=MappingProxyType(
                {
                    "accuracy": "share of all images that are classified correctly",
                    "balanced-accuracy": "share of correct images in each class, averaged over the "
                    "classes, so that a rare class counts as much as a frequent one",
                    "f1-macro": "F1 of each class, averaged over the classes",
                    "precision-macro": "precision of each class, averaged over the classes",
                    "recall-macro": "recall of each class, averaged over the classes",
                    "auroc": "probability that an image of a class gets a higher score for it than "
                    "an image of another class, averaged over the classes",
                }
            ),
            per_class=MappingProxyType(
                {
                    "recall": "share of the images of the class that are found",
                    "precision": "share of the images given to the class that belong to it",
                    "f1": "harmonic mean of precision and recall of the class",
                }
            ),
        ),
        "segmentation": TaskMetrics(
            default="mean-iou",
            truth="mask",
            overall=MappingProxyType(
                {
                    "mean-iou": "overlap of answer and truth (intersection over union) of each "
                    "class, averaged over the classes",
                    "mean-dice": "Dice overlap of each class (twice the intersection over the sum "
                    "of both areas), averaged over the classes",
                    "mean-boundary-f1": "how well the outlines match within a few pixels, averaged "
                    "over the classes: small shifts of an outline do not count as errors",
                    "pixel-accuracy": "share of all pixels that get the right class",
                }
            ),
            per_class=MappingProxyType(
                {
                    "iou": "overlap of answer and truth (intersection over union) of the class",
                    "dice": "Dice overlap of the class",
                    "boundary-f1": "how well the outlines of the class match within a few pixels",
                }
            ),
        ),
        "detection": TaskMetrics(
            default="map",
            truth="boxes",
            overall=MappingProxyType(
                {
                    "map": "mean average precision of COCO: how many objects are found and how many "
                    "finds are right, averaged over the classes and over box overlaps of 50 to 95 %",
                    "map50": "the same, where an overlap of 50 % with the true box is enough",
                    "map75": "the same, where an overlap of 75 % with the true box is asked",
                    "recall-at-precision": "share of the objects that are found where the chosen "
                    "share of finds is right, averaged over the classes",
                }
            ),
            per_class=MappingProxyType(
                {
                    "ap": "average precision of the class, over box overlaps of 50 to 95 %",
                    "ap50": "average precision of the class at an overlap of 50 %",
                    "recall": "share of the objects of the class that are found where the chosen "
                    "share of finds is right",
                }
            ),
        ),
        "anomaly": TaskMetrics(
            default="image-auroc",
            truth="defect",
            overall=MappingProxyType(
                {
                    "image-auroc": "probability that an image with a defect gets a higher score "
                    "than a good one",
                    "pixel-auroc": "probability that a pixel of a defect is hotter in the heat map "
                    "than a good pixel",
                    "aupro": "share of each defect's area that the heat map finds, averaged over "
                    "thresholds with few false alarms; small defects count as much as large ones",
                    "balanced-accuracy": "share of correct decisions, averaged over good images and "
                    "images with a defect",
                    "detection-rate": "share of the images with a defect that are called defective",
                    "false-alarm-rate": "share of the good images that are called defective",
                }
            ),
            per_class=MappingProxyType({}),
            lower=frozenset({"false-alarm-rate"}),
            settled=frozenset({"balanced-accuracy", "detection-rate", "false-alarm-rate"}),
        ),
    }
)


def split_key(key: str) -> tuple[str, str | None]:
    """Return the metric and the class of a key: ``recall[fail]`` is ``("recall", "fail")``."""
    metric, bracket, rest = key.partition("[")
    if bracket and rest.endswith("]") and len(rest) > 1:
        return metric, rest[:-1]
    return key, None
