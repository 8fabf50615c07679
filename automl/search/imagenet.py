"""Published ImageNet accuracy of pretrained backbones: the facts that expectations begin with.

The table beside this module is made by ``python -m benchmarks.imagenet_table`` from the results that
timm publishes. It is read once in a process, when the first backbone is looked up.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

__all__ = ["COLUMNS", "TABLE", "PublishedAccuracy", "published_accuracy"]

TABLE = Path(__file__).with_name("imagenet.csv")
COLUMNS = ("weights", "image_size", "top1_percent", "usual")
"""``weights``: timm's full name, ``<backbone>.<tag>``; ``usual``: 1 for the tag that timm loads when none
is named."""


@dataclass(frozen=True)
class PublishedAccuracy:
    """What one set of weights reached on ImageNet's validation images."""

    weights: str
    image_size: int
    """Side of the images it was tested with, pixels."""
    top1: float
    """Share of images told right, in [0, 1]."""
    usual: bool


def published_accuracy(backbone: str) -> tuple[PublishedAccuracy, ...]:
    """Return what is published of the weights that a backbone starts from; empty when nothing is.

    A name without a tag means the weights that timm loads for it. Where nothing is published of those,
    or of the tag, all weights of the backbone stand in.
    """
    name, _, tag = backbone.partition(".")
    rows = _table().get(name, ())
    chosen = tuple(r for r in rows if (r.weights == backbone if tag else r.usual))
    return chosen or rows


@functools.cache
def _table() -> dict[str, tuple[PublishedAccuracy, ...]]:
    found: dict[str, list[PublishedAccuracy]] = {}
    with TABLE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(line for line in stream if not line.startswith("#")):
            one = PublishedAccuracy(
                weights=row["weights"],
                image_size=int(row["image_size"]),
                top1=float(row["top1_percent"]) / 100,
                usual=row["usual"] == "1",
            )
            found.setdefault(one.weights.partition(".")[0], []).append(one)
    return {name: tuple(rows) for name, rows in found.items()}
