"""Which metrics a spec may ask for, by task, in words. The tasks compute them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["METRICS", "TaskMetrics", "split_key"]


@dataclass(frozen=True)
class TaskMetrics:
    """The metrics of a task, all in [0, 1], more is better, each with one sentence for people."""

    default: str
    overall: Mapping[str, str]
    per_class: Mapping[str, str]
    """Written with a class in brackets: ``recall[fail]``."""


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
        )
    }
)


def split_key(key: str) -> tuple[str, str | None]:
    """Return the metric and the class of a key: ``recall[fail]`` is ``("recall", "fail")``."""
    metric, bracket, rest = key.partition("[")
    if bracket and rest.endswith("]") and len(rest) > 1:
        return metric, rest[:-1]
    return key, None
