"""Numbers as words that people use who know no deep learning.

Percentages, "98 of 100", isolated names, and the interval that says how far a count can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from automl.spec.metrics import split_key
from automl.units import format_latency, format_size

__all__ = [
    "first_upper",
    "format_count",
    "format_interval",
    "format_optional_latency",
    "format_optional_size",
    "format_points",
    "format_score",
    "isolate",
    "join_words",
    "metric_words",
    "of_hundred",
    "wilson_interval",
]

_LONGEST = 60
_METRICS = {
    "ap": "average precision",
    "ap50": "average precision at 50 % overlap",
    "aupro": "AUPRO",
    "auroc": "area under the ROC curve",
    "boundary-f1": "outline match",
    "dice": "Dice overlap",
    "f1": "F1 score",
    "f1-macro": "F1 score, averaged over the classes",
    "image-auroc": "image AUROC",
    "iou": "IoU",
    "map": "mAP",
    "map50": "mAP at 50 % overlap",
    "map75": "mAP at 75 % overlap",
    "mean-boundary-f1": "mean outline match",
    "mean-dice": "mean Dice overlap",
    "mean-iou": "mean IoU",
    "pixel-auroc": "pixel AUROC",
    "recall-at-precision": "recall at the precision asked",
    "precision-macro": "precision, averaged over the classes",
    "recall-macro": "recall, averaged over the classes",
}
"""Those of automl.spec.metrics whose name is not yet how people say it."""


def metric_words(metric: str) -> str:
    """Return a metric as people say it: ``recall[fail]`` is ``recall of 'fail'``."""
    name, class_name = split_key(metric)
    words = _METRICS.get(name, name.replace("-", " "))
    return words if class_name is None else f"{words} of '{isolate(class_name)}'"


def format_score(value: float | None) -> str:
    """Return a score in [0, 1] as a percentage with one decimal; other values with three digits."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value * 100:.1f} %" if 0 <= value <= 1 else f"{value:.3g}"


def format_count(count: int) -> str:
    """Return a count for people: ``1,204``, ``35,000``, ``1.23 million``, ``2.10 billion``."""
    for size, name in ((10**9, "billion"), (10**6, "million")):
        if count >= 0.9995 * size:
            digits = 2 if count < 9.995 * size else 1
            return f"{count / size:,.{digits}f} {name}"
    return f"{count:,}"


def first_upper(text: str) -> str:
    """Return a text that begins with a capital; ``mAP`` stays as it is."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def format_points(difference: float) -> str:
    """Return a difference of scores in [0, 1] as points: ``3.1 points``, ``0.04 points``."""
    points = abs(difference) * 100
    text = f"{points:.1f}" if points >= 0.1 or points == 0 else f"{points:.2f}"
    return f"{text} {'point' if text == '1.0' else 'points'}"


def format_optional_latency(latency_ms: float | None) -> str:
    """Return a latency, or a dash for a value that was not measured."""
    return "–" if latency_ms is None else format_latency(latency_ms)


def format_optional_size(size_bytes: float | None) -> str:
    """Return a size, or a dash for a value that was not measured."""
    return "–" if size_bytes is None else format_size(size_bytes)


def format_interval(value: float, low: float, high: float) -> str:
    """Return milliseconds with their 95 % interval: ``3.05 ms (2.98 to 3.12)``."""
    edges = [format_latency(edge).removesuffix(" ms") for edge in (low, high)]
    return f"{format_latency(value)} ({edges[0]} to {edges[1]})"


def join_words(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def isolate(name: str) -> str:
    """Return a name that cannot turn the direction of the text around it.

    Names longer than 60 characters are cut. Those that are not plain ASCII are put between U+2068
    and U+2069, the isolates of the Unicode bidirectional algorithm (UAX 9, section 2.4).
    """
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 1]}…"
    return name if name.isascii() else f"\u2068{name}\u2069"


def of_hundred(right: int, total: int) -> str:
    """Return how many of 100 are right, never rounded up to all: ``about 98 of 100``."""
    if right == total:
        return f"all {total:,}"
    share = 100 * right / total
    if share >= 99.5:
        return "more than 99 of 100"
    if right and share < 0.5:
        return "fewer than 1 of 100"
    return f"about {round(share)} of 100"


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, in [0, 1].

    Wilson's score interval (E. B. Wilson, 1927, JASA 22:209), which holds for small samples and for
    shares near 0 and 1, where the common approximation does not.

    Raises:
        ValueError: when there is nothing to count.
    """
    if total <= 0:
        raise ValueError(f"an interval needs at least one sample; got {total}")
    z = 1.959964
    share = right / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
