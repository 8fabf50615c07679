"""What the audit found, as rows and sentences: what there is of each class, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from automl.records import Finding, PreparedData
from automl.report.tasks import TaskWords
from automl.units import plural

__all__ = ["AuditView", "CountRow", "CountTable", "FindingView", "build_audit"]

MAX_PATHS = 200
"""File names listed for one finding; ``audit.json`` holds all."""
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
    """Images, boxes or pixels of one class: train, val, test, and their sum."""

    name: str
    counts: tuple[int, ...]
    total: int


@dataclass(frozen=True)
class CountTable:
    """Counts of each class by split. ``totals`` of images are those of the splits, since an image
    may show several classes, or none."""

    counted: str
    rows: tuple[CountRow, ...]
    totals: tuple[int, ...]
    is_shared: bool = False
    """Whether the shares of the classes are told: those of boxes and pixels add up to all."""


@dataclass(frozen=True)
class AuditView:
    """The data in one sentence, its counts, and what was noticed, gravest first."""

    summary: str
    format_reason: str
    splits: tuple[str, ...]
    counts: tuple[CountTable, ...]
    findings: tuple[FindingView, ...]


def build_audit(data: PreparedData, *, words: TaskWords) -> AuditView:
    """Return the audit for reading."""
    audit = data.audit
    left_out = audit.files_seen - audit.files_used
    summary = (
        f"{plural(audit.files_used, 'image')} in {plural(len(audit.classes), 'class', 'classes')} "
        f"could be used, of {plural(audit.files_seen, 'file')} looked at"
        + (f"; {plural(left_out, 'file was', 'files were')} left out." if left_out else ".")
        + f" {words.truth}"
        + _groups(audit.groups, audit.files_used)
    )
    findings = sorted(audit.findings, key=lambda f: _SEVERITIES.index(f.severity))
    return AuditView(
        summary=summary,
        format_reason=audit.format_reason,
        splits=tuple(counts.split.value for counts in audit.counts),
        counts=_tables(data, words),
        findings=tuple(_finding(finding) for finding in findings),
    )


def _tables(data: PreparedData, words: TaskWords) -> tuple[CountTable, ...]:
    """Return the images of each class and, where images have them, their boxes or pixels."""
    counts = data.audit.counts
    has_objects = words.objects is not None and all(c.objects for c in counts)
    images = [c.per_class for c in counts]
    if not has_objects or words.objects is None:
        totals = tuple(sum(column) for column in images)
        return (_table("images", data.audit.classes, images, totals),)
    split_sizes = tuple(len(data.dataset.indices(c.split)) for c in counts)
    objects = [c.objects for c in counts]
    return (
        _table("images that show it", data.audit.classes, images, split_sizes),
        _table(
            words.objects[1],
            data.audit.classes,
            objects,
            tuple(sum(column) for column in objects),
            is_shared=True,
        ),
    )


def _table(
    counted: str,
    classes: tuple[str, ...],
    columns: list[tuple[int, ...]],
    totals: tuple[int, ...],
    *,
    is_shared: bool = False,
) -> CountTable:
    rows = tuple(
        CountRow(name, tuple(column[i] for column in columns), sum(c[i] for c in columns))
        for i, name in enumerate(classes)
    )
    return CountTable(counted, rows, totals, is_shared)


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
