"""Make the table of published ImageNet accuracies, and print what expectations take from it.

    python -m benchmarks.imagenet_table results-imagenet.csv

The results are those that timm publishes (huggingface/pytorch-image-models, results/results-imagenet.csv,
Apache-2.0). Kept are names, image sizes and top-1. Printed are the constants of automl/search/prior.py:
how the accuracy grows with the size of the images, where weights were tested at two, and with that of
the network.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
import sys
from itertools import pairwise
from pathlib import Path

from automl.search.imagenet import COLUMNS, TABLE

_HEADER = """\
# ImageNet top-1 of pretrained weights, percent, at the image size they were tested with. Facts published by
# timm (https://github.com/huggingface/pytorch-image-models, results/results-imagenet.csv, Apache-2.0).
# Made by: python -m benchmarks.imagenet_table results-imagenet.csv
"""
_USUAL_SIZE = 224


def make_table(rows: list[dict[str, str]]) -> str:
    """Return the compact table as text, sorted by weights and size."""
    stream = io.StringIO()
    stream.write(_HEADER)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    best: dict[tuple[str, int], float] = {}
    for row in rows:
        key = (row["model"], int(row["img_size"]))
        best[key] = max(best.get(key, 0.0), float(row["top1"]))
    usual = {name: _usual_tag(name) for name in {w.partition(".")[0] for w, _ in best}}
    for (weights, size), top1 in sorted(best.items()):
        name, _, tag = weights.partition(".")
        writer.writerow([weights, size, f"{top1:.1f}", "1" if tag == usual[name] else ""])
    return stream.getvalue()


def resolution_gains(rows: list[dict[str, str]]) -> dict[str, float]:
    """Return the median gain in logits for twice the size, below and above the usual size."""
    tested: dict[str, dict[int, float]] = {}
    for row in rows:
        tested.setdefault(row["model"], {})[int(row["img_size"])] = _logit(row)
    gains: dict[str, list[float]] = {"below": [], "above": []}
    for sizes in tested.values():
        for small, large in pairwise(sorted(sizes)):
            where = "below" if large <= _USUAL_SIZE else "above"
            gains[where].append((sizes[large] - sizes[small]) / math.log2(large / small))
    return {where: statistics.median(found) for where, found in gains.items()}


def size_line(rows: list[dict[str, str]]) -> tuple[float, float, float]:
    """Return the logit at ten million parameters, its slope for ten times as many, and the spread."""
    millions = [float(row["param_count"].replace(",", "")) for row in rows]
    decades = [math.log10(count / 10) for count in millions]
    logits = [_logit(row) for row in rows]
    slope, level = statistics.linear_regression(decades, logits)
    left = [y - level - slope * x for x, y in zip(decades, logits, strict=True)]
    return level, slope, statistics.pstdev(left)


def _logit(row: dict[str, str]) -> float:
    share = float(row["top1"]) / 100
    return math.log(share / (1 - share))


def _usual_tag(name: str) -> str | None:
    import timm

    if not timm.is_model(name):
        return None
    return timm.get_pretrained_cfg(name).tag or None


def main(arguments: list[str]) -> int:
    """Write the table and print the constants."""
    (source,) = arguments
    with Path(source).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    TABLE.write_text(make_table(rows), encoding="utf-8")
    print(f"{TABLE}: {TABLE.stat().st_size} bytes, {len(rows)} results")
    for where, gain in resolution_gains(rows).items():
        print(f"gain for twice the size, {where} {_USUAL_SIZE} px: {gain:.2f} logits")
    level, slope, spread = size_line(rows)
    print(f"logit of 10 M parameters {level:.2f}, per decade {slope:.2f}, spread {spread:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
