"""The terms of the report in plain words, and where in a text they occur."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["TERMS", "Term", "split_terms"]


@dataclass(frozen=True)
class Term:
    """One entry: ``slug`` is its anchor, ``spellings`` what is linked to it, lower case."""

    slug: str
    name: str
    text: str
    spellings: tuple[str, ...]


TERMS: tuple[Term, ...] = (
    Term("accuracy", "accuracy", "The share of images that are judged right.", ("accuracy",)),
    Term(
        "backbone",
        "backbone",
        "The part of a network that turns pixels into features. Known designs are reused; only the "
        "last layer is made for your classes.",
        ("backbone", "backbones"),
    ),
    Term(
        "balanced-accuracy",
        "balanced accuracy",
        "The share judged right, worked out for each class on its own and then averaged, so that a "
        "rare class counts as much as a common one.",
        ("balanced accuracy",),
    ),
    Term(
        "calibration",
        "calibration",
        "Showing training images to a network to learn which range of numbers int8 has to cover.",
        ("calibration",),
    ),
    Term(
        "depth",
        "depth",
        "How many stages of the backbone are kept. Fewer stages are faster; 'full' keeps them all.",
        ("depth",),
    ),
    Term("epoch", "epoch", "One pass over all training images.", ("epoch", "epochs")),
    Term(
        "float32",
        "float32",
        "Numbers of 32 bits: the form in which a network is trained.",
        ("float32",),
    ),
    Term(
        "int8",
        "int8",
        "Whole numbers of 8 bits. A network in int8 is about a quarter of the size and often "
        "faster, at a small cost in accuracy. int8-static fixes the ranges beforehand, "
        "int8-dynamic finds them for each image, int8-mixed keeps the most delicate parts in "
        "float32.",
        ("int8", "int8-static", "int8-dynamic", "int8-mixed"),
    ),
    Term(
        "interval",
        "95 % interval",
        "Where the true value lies in 95 of 100 repetitions. It is wide when little was measured.",
        ("95 % interval",),
    ),
    Term(
        "latency",
        "latency",
        "The time from handing over one image to having the answer.",
        ("latency", "latencies"),
    ),
    Term(
        "loss",
        "loss",
        "What training makes smaller: how wrong, and how sure of it, the network is.",
        ("loss",),
    ),
    Term("median", "median", "The middle value: half are smaller, half are larger.", ("median",)),
    Term(
        "percentile",
        "p50, p90, p95, p99",
        "p95 = 10 ms means that 95 of 100 runs take 10 ms or less. p50 is the middle value.",
        ("p50", "p90", "p95", "p99"),
    ),
    Term(
        "pareto",
        "Pareto front",
        "The candidates for which no other is both faster and better.",
        ("pareto front",),
    ),
    Term(
        "parity",
        "parity",
        "Whether the delivered file answers as the trained network did.",
        ("parity",),
    ),
    Term(
        "pretrained",
        "pretrained weights",
        "What a network has learnt from other, general images; training on yours starts from there "
        "and needs fewer of them.",
        ("pretrained weights",),
    ),
    Term("recall", "recall", "Of the images of one class, the share that is found.", ("recall",)),
    Term(
        "scheme",
        "scheme",
        "How the numbers inside a network are stored: float32 or one of the int8 forms.",
        ("scheme", "schemes"),
    ),
    Term(
        "split",
        "training, validation and test images",
        "Your images are divided in three: the first teach the network, the second choose among "
        "networks, the third are used once, at the end, to say how good the choice is.",
        ("test images", "validation images", "training images"),
    ),
    Term(
        "trial",
        "trial",
        "One network trained once with one set of settings.",
        ("trial", "trials"),
    ),
)

_BY_SPELLING = {spelling: term for term in TERMS for spelling in term.spellings}
_PATTERN = re.compile(
    r"(?<![\w.\[-])("
    + "|".join(re.escape(s) for s in sorted(_BY_SPELLING, key=len, reverse=True))
    + r")(?![\w\]-])",
    re.IGNORECASE,
)


def split_terms(text: str) -> Iterator[tuple[str, Term | None]]:
    """Yield the pieces of a text in order, each with the term it is, if any.

    Only the first occurrence of a term is marked. The pieces, joined, are the text.
    """
    seen: set[str] = set()
    start = 0
    for match in _PATTERN.finditer(text):
        term = _BY_SPELLING[match.group().lower()]
        if term.slug in seen:
            continue
        seen.add(term.slug)
        yield text[start : match.start()], None
        yield match.group(), term
        start = match.end()
    yield text[start:], None
