"""What the audit found and what the winner confuses, as rows and sentences."""

from __future__ import annotations

from dataclasses import dataclass

from automl.records import Finding, Prediction, PreparedData, Scores
from automl.report.words import isolate
from automl.units import plural

__all__ = [
    "AuditView",
    "ConfusionView",
    "CountRow",
    "FindingView",
    "Mistake",
    "build_audit",
    "build_confusion",
    "order_predictions",
]

MAX_PATHS = 200
"""File names listed for one finding; ``audit.json`` holds all."""
MAX_MATRIX = 20
"""Classes up to which the whole matrix is shown; beyond it nobody can read one."""
MAX_MISTAKES = 30
_SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class FindingView:
    """One finding; ``more`` is how many of its files are not listed."""

    rule: str
    severity: str
    message: str
    remedy: str
    count: int
    paths: tuple[str, ...]
    more: int


@dataclass(frozen=True)
class CountRow:
    """Images of one class: train, val, test, and their sum."""

    name: str
    counts: tuple[int, ...]
    total: int


@dataclass(frozen=True)
class AuditView:
    """The data in one sentence, its counts, and what was noticed, gravest first."""

    summary: str
    format_reason: str
    splits: tuple[str, ...]
    rows: tuple[CountRow, ...]
    totals: tuple[int, ...]
    findings: tuple[FindingView, ...]


@dataclass(frozen=True)
class Mistake:
    """How often one class was taken for another."""

    true: str
    predicted: str
    count: int
    of: int


@dataclass(frozen=True)
class ConfusionView:
    """Right and wrong answers on the test split. ``matrix`` is empty with too many classes."""

    classes: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    row_totals: tuple[int, ...]
    right: int
    total: int
    sentences: tuple[str, ...]
    mistakes: tuple[Mistake, ...]


def build_audit(data: PreparedData) -> AuditView:
    """Return the audit for reading."""
    audit = data.audit
    columns = [counts.per_class for counts in audit.counts]
    rows = tuple(
        CountRow(name, tuple(column[i] for column in columns), sum(c[i] for c in columns))
        for i, name in enumerate(audit.classes)
    )
    left_out = audit.files_seen - audit.files_used
    summary = (
        f"{plural(audit.files_used, 'image')} in {plural(len(audit.classes), 'class', 'classes')} "
        f"could be used, of {plural(audit.files_seen, 'file')} looked at"
        + (f"; {plural(left_out, 'file was', 'files were')} left out." if left_out else ".")
        + _groups(audit.groups, audit.files_used)
    )
    findings = sorted(audit.findings, key=lambda f: _SEVERITIES.index(f.severity))
    return AuditView(
        summary=summary,
        format_reason=audit.format_reason,
        splits=tuple(counts.split.value for counts in audit.counts),
        rows=rows,
        totals=tuple(sum(column) for column in columns),
        findings=tuple(_finding(finding) for finding in findings),
    )


def _groups(groups: int, files: int) -> str:
    if groups >= files:
        return ""
    return f" They form {groups:,} groups, each kept whole in one split."


def _finding(finding: Finding) -> FindingView:
    return FindingView(
        rule=finding.rule,
        severity=finding.severity,
        message=finding.message,
        remedy=finding.remedy,
        count=finding.count,
        paths=finding.paths[:MAX_PATHS],
        more=max(0, len(finding.paths) - MAX_PATHS),
    )


def build_confusion(scores: Scores, classes: tuple[str, ...]) -> ConfusionView | None:
    """Return right and wrong answers, or ``None`` when the scores hold no confusion matrix."""
    matrix = scores.confusion
    if len(matrix) != len(classes) or not matrix:
        return None
    totals = tuple(sum(row) for row in matrix)
    mistakes = tuple(
        sorted(
            (
                Mistake(classes[i], classes[j], count, totals[i])
                for i, row in enumerate(matrix)
                for j, count in enumerate(row)
                if count and i != j
            ),
            key=lambda mistake: -mistake.count,
        )
    )
    return ConfusionView(
        classes=classes,
        matrix=matrix if len(classes) <= MAX_MATRIX else (),
        row_totals=totals,
        right=sum(row[i] for i, row in enumerate(matrix)),
        total=sum(totals),
        sentences=tuple(_mistake(mistake) for mistake in mistakes[:4])
        or ("No test image was judged wrong.",),
        mistakes=mistakes[:MAX_MISTAKES],
    )


def _mistake(mistake: Mistake) -> str:
    verb = "was" if mistake.count == 1 else "were"
    return (
        f"{mistake.count:,} of {mistake.of:,} images of '{isolate(mistake.true)}' {verb} taken "
        f"for '{isolate(mistake.predicted)}'."
    )


def order_predictions(predictions: tuple[Prediction, ...]) -> tuple[Prediction, ...]:
    """Return wrong answers first (the surest leading), then right ones, least sure first."""

    def rank(prediction: Prediction) -> tuple[bool, float]:
        is_right = prediction.label == prediction.predicted
        return is_right, prediction.confidence if is_right else -prediction.confidence

    return tuple(sorted(predictions, key=rank))
