"""What the delivered file got right and wrong on the test images: classes confused, metrics, curves."""

from __future__ import annotations

from dataclasses import dataclass

from automl.records import Scores, SplitCounts, TargetSelection
from automl.report.tasks import TaskWords
from automl.report.words import format_count, format_score, isolate
from automl.spec.metrics import METRICS, split_key

__all__ = [
    "MAX_MATRIX",
    "Cell",
    "ClassRow",
    "ClassTable",
    "ConfusionView",
    "MetricRow",
    "Mistake",
    "build_classes",
    "build_confusion",
    "build_metrics",
]

MAX_MATRIX = 20
"""Classes up to which the whole matrix is shown; beyond it nobody can read one."""
MAX_MISTAKES = 30
MAX_METRICS = 40
MAX_CLASSES = 200
_LEAST_SHARE = 0.0005
"""Mistakes among pixels that would be shown as 0.0 % are not told."""


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix: what it shows, its share of the row, and the count in words."""

    text: str
    share: float
    title: str
    is_wrong: bool


@dataclass(frozen=True)
class Mistake:
    """How often one class was taken for another."""

    true: str
    predicted: str
    count: int
    of: int
    text: str

    @property
    def share(self) -> float:
        """Of the true class, in [0, 1]."""
        return self.count / self.of if self.of else 0.0


@dataclass(frozen=True)
class ConfusionView:
    """Right and wrong answers on the test split. ``matrix`` is empty with too many classes."""

    classes: tuple[str, ...]
    counted: str
    matrix: tuple[tuple[Cell, ...], ...]
    found: tuple[float | None, ...]
    """Share of each true class that is found."""
    summary: str
    sentences: tuple[str, ...]
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class MetricRow:
    """One metric of the delivered file on the validation and on the test split."""

    name: str
    meaning: str
    is_lower_better: bool
    validation: float | None
    test: float | None


@dataclass(frozen=True)
class ClassRow:
    """One class: its test images (and objects), and a value for each metric of the table."""

    name: str
    images: int | None
    objects: int | None
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class ClassTable:
    """The metrics of each class on the test split (of the validation split before the test)."""

    metrics: tuple[str, ...]
    meanings: tuple[str, ...]
    objects: str
    """What is counted besides images; empty when nothing is."""
    rows: tuple[ClassRow, ...]
    more: int


def build_confusion(
    scores: Scores, classes: tuple[str, ...], *, words: TaskWords
) -> ConfusionView | None:
    """Return right and wrong answers, or ``None`` when the scores hold no confusion matrix.

    Images are shown as counts. Of pixels there are millions, so they are shown as shares.
    """
    matrix = scores.confusion
    if len(matrix) != len(classes) or not any(map(sum, matrix)):
        return None
    is_share = words.counted != "image"
    totals = tuple(sum(row) for row in matrix)
    mistakes = _mistakes(matrix, classes, words=words, by_share=is_share)
    right = sum(row[i] for i, row in enumerate(matrix))
    total = sum(totals)
    return ConfusionView(
        classes=classes,
        counted=words.counted,
        matrix=tuple(_cells(i, row, words.counted, is_share) for i, row in enumerate(matrix))
        if len(classes) <= MAX_MATRIX
        else (),
        found=tuple(row[i] / n if n else None for i, (row, n) in enumerate(_with(matrix, totals))),
        summary=f"{format_score(right / total)} of the {words.counted}s right"
        if is_share
        else f"{right:,} of {total:,} right",
        sentences=tuple(mistake.text for mistake in mistakes[:4])
        or (f"No test {words.counted} was judged wrong.",),
        mistakes=mistakes[:MAX_MISTAKES],
    )


def _with(
    matrix: tuple[tuple[int, ...], ...], totals: tuple[int, ...]
) -> list[tuple[tuple[int, ...], int]]:
    return list(zip(matrix, totals, strict=True))


def _cells(index: int, row: tuple[int, ...], counted: str, is_share: bool) -> tuple[Cell, ...]:
    total = sum(row)
    return tuple(
        Cell(
            text=_share(count, total) if is_share else f"{count:,}",
            share=count / total if total else 0.0,
            title=f"{format_count(count)} of {format_count(total)} {counted}s",
            is_wrong=column != index and count > 0,
        )
        for column, count in enumerate(row)
    )


def _share(count: int, total: int) -> str:
    if not total:
        return "–"
    return "< 0.1 %" if 0 < count < _LEAST_SHARE * total else format_score(count / total)


def _mistakes(
    matrix: tuple[tuple[int, ...], ...],
    classes: tuple[str, ...],
    *,
    words: TaskWords,
    by_share: bool,
) -> tuple[Mistake, ...]:
    found = [
        Mistake(
            classes[i],
            classes[j],
            count,
            sum(row),
            _mistake(classes[i], classes[j], count, sum(row), words.counted, by_share),
        )
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
        if i != j and count > (_LEAST_SHARE * sum(row) if by_share else 0)
    ]
    return tuple(sorted(found, key=lambda m: -m.share if by_share else -m.count))


def _mistake(true: str, predicted: str, count: int, of: int, counted: str, by_share: bool) -> str:
    if by_share:
        how_many = f"{_share(count, of)} of the {counted}s of '{isolate(true)}' were"
    else:
        verb = "was" if count == 1 else "were"
        how_many = f"{count:,} of {of:,} {counted}s of '{isolate(true)}' {verb}"
    return f"{how_many} taken for '{isolate(predicted)}'."


def build_metrics(
    chosen: TargetSelection | None, *, task: str, objective: str
) -> tuple[MetricRow, ...]:
    """Return the metrics over all classes, the objective first."""
    if chosen is None or chosen.winner is None:
        return ()
    validation = chosen.winner.scores.values
    test = {} if chosen.test_scores is None else chosen.test_scores.values
    names = [n for n in dict.fromkeys((*test, *validation)) if split_key(n)[1] is None]
    names.sort(key=lambda name: name != objective)
    known = METRICS.get(task)
    return tuple(
        MetricRow(
            name=name,
            meaning="" if known is None else known.overall.get(name, ""),
            is_lower_better=known is not None and name in known.lower,
            validation=validation.get(name),
            test=test.get(name),
        )
        for name in names[:MAX_METRICS]
    )


def build_classes(
    chosen: TargetSelection | None,
    classes: tuple[str, ...],
    counts: SplitCounts | None,
    *,
    task: str,
    words: TaskWords,
) -> ClassTable | None:
    """Return the metrics of each class on the test split, or ``None`` where there are none."""
    values = {} if chosen is None or chosen.test_scores is None else chosen.test_scores.values
    metrics = tuple(
        dict.fromkeys(metric for metric, name in map(split_key, values) if name is not None)
    )
    if not metrics:
        return None
    known = METRICS.get(task)
    has_objects = counts is not None and bool(counts.objects) and words.objects is not None
    rows = tuple(
        ClassRow(
            name=name,
            images=None if counts is None else counts.per_class[i],
            objects=counts.objects[i] if counts is not None and has_objects else None,
            values=tuple(values.get(f"{metric}[{name}]") for metric in metrics),
        )
        for i, name in enumerate(classes)
    )
    return ClassTable(
        metrics=metrics,
        meanings=tuple("" if known is None else known.per_class.get(m, "") for m in metrics),
        objects=words.objects[1] if has_objects and words.objects is not None else "",
        rows=rows[:MAX_CLASSES],
        more=max(0, len(rows) - MAX_CLASSES),
    )
