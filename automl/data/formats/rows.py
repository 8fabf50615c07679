"""Judge the rows of an image list one by one: what each names, and what is wrong with it."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from automl.data.findings import Severity, finding, listed
from automl.data.formats.listing import SPLIT_NAMES, RawSample
from automl.errors import did_you_mean
from automl.records import Finding, Split
from automl.units import plural

__all__ = ["RowReader"]

_LINES_NAMED = 5

_RULES: dict[str, tuple[Severity, str, str]] = {
    "malformed-row": (
        "error",
        "Left out: {rows} without both a path and a label ({lines}).",
        "Write path,label in each of these lines.",
    ),
    "empty-label": (
        "error",
        "Left out: {rows} with an empty label ({lines}).",
        "Write the class of these images.",
    ),
    "path-outside-root": (
        "error",
        "Left out: {rows} whose path leads out of the folder of the list ({lines}).",
        "Copy these images into that folder, or move the list up.",
    ),
    "unknown-split": (
        "error",
        "Left out: {rows} with a split that is not train, val or test: {values} ({lines}).",
        "Write train, val or test, or leave the column out.",
    ),
    "unknown-label": (
        "error",
        "Left out: {rows} with a label that is not among the spec's data.classes: {values} "
        "({lines}).",
        "Correct the label, or add it to data.classes.",
    ),
    "conflicting-rows": (
        "error",
        "Left out: {rows} that give one image two different labels ({lines}).",
        "Keep the row whose label is right.",
    ),
    "conflicting-splits": (
        "error",
        "Kept in the first split given: {rows} naming an image again with another ({lines}).",
        "Keep one row per image.",
    ),
    "duplicate-row": (
        "warning",
        "Counted once: {rows} repeating an earlier row ({lines}).",
        "Nothing, or remove them.",
    ),
    "integer-label": (
        "info",
        "Taken as names of classes: numbers as labels, in {rows}: {values} ({lines}).",
        "Write names instead, so that reports can be read.",
    ),
}


class RowReader:
    """Collects samples and findings. Each image counts once, whatever the list repeats."""

    def __init__(self, file: Path, classes: tuple[str, ...]) -> None:
        """Judge rows of ``file``; ``classes`` empty means that every label is known."""
        self._file = file
        self._classes = frozenset(classes)
        self._by_path: dict[str, RawSample] = {}
        self._conflicting: set[str] = set()
        self._seen: set[str] = set()
        self._noted: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        self._labels: dict[str, str] = {}

    @property
    def named(self) -> int:
        """How many different images the rows named."""
        return len(self._seen)

    @property
    def unknown_labels(self) -> set[str]:
        """Labels that the rows have, but the spec's classes do not."""
        return {value for _, _, value in self._noted.get("unknown-label", ())}

    def add(
        self,
        line: int,
        cells: list[str],
        *,
        path_column: int,
        label_column: int,
        split_column: int | None,
    ) -> None:
        """Take one row in, or note why not."""
        if max(path_column, label_column) >= len(cells) or not cells[path_column].strip():
            return self._note("malformed-row", line)
        path = self._inside(cells[path_column].strip())
        if path is None:
            return self._note("path-outside-root", line, value=cells[path_column].strip())
        self._seen.add(path)
        label = cells[label_column].strip()
        if not label:
            return self._note("empty-label", line, path=path)
        if self._classes and label not in self._classes:
            return self._note("unknown-label", line, path=path, value=label)
        word = ""
        if split_column is not None and split_column < len(cells):
            word = cells[split_column].strip()
        if word and word.lower() not in SPLIT_NAMES:
            return self._note("unknown-split", line, path=path, value=word)
        label = self._labels.setdefault(label, label)
        return self._keep(RawSample(path, label, SPLIT_NAMES.get(word.lower()), line))

    def samples(self) -> tuple[RawSample, ...]:
        """The usable rows in the order of their paths."""
        return tuple(
            self._by_path[path] for path in sorted(self._by_path) if path not in self._conflicting
        )

    def findings(self) -> tuple[Finding, ...]:
        """What was noted, one finding a rule, with file and lines."""
        return tuple(self._finding(rule) for rule in _RULES if rule in self._noted)

    def _keep(self, sample: RawSample) -> None:
        first = self._by_path.setdefault(sample.path, sample)
        if first is sample:
            if sample.label and _is_number(sample.label) and not self._classes:
                self._note("integer-label", sample.line, path=sample.path, value=sample.label)
        elif first.label != sample.label:
            if sample.path not in self._conflicting:
                self._note("conflicting-rows", first.line, path=sample.path)
            self._conflicting.add(sample.path)
            self._note("conflicting-rows", sample.line, path=sample.path)
        elif first.split is not sample.split:
            self._note("conflicting-splits", sample.line, path=sample.path)
        else:
            self._note("duplicate-row", sample.line, path=sample.path)

    def _note(self, rule: str, line: int | None, *, path: str = "", value: str = "") -> None:
        self._noted[rule].append((line or 0, path, value))

    def _inside(self, written: str) -> str | None:
        """Return the path relative to the list's folder, or ``None`` when it leads outside."""
        base = self._file.parent
        if "\\" in written and not (base / written).exists():
            written = written.replace("\\", "/")
        relative = os.path.relpath(written, base) if os.path.isabs(written) else written
        parts = Path(os.path.normpath(relative)).parts
        if not parts or parts[0] == ".." or os.path.isabs(relative):
            return None
        return "/".join(parts)

    def _finding(self, rule: str) -> Finding:
        severity, message, remedy = _RULES[rule]
        notes = self._noted[rule]
        values = sorted({value for _, _, value in notes if value})
        hint = ""
        if rule == "unknown-label":
            hint = did_you_mean(values[0], self._classes)
        elif rule == "unknown-split":
            hint = did_you_mean(values[0], (split.value for split in Split))
        text = message.format(
            rows=plural(len(notes), "row"), values=listed(values), lines=self._lines(notes)
        )
        paths = list(dict.fromkeys(path for _, path, _ in notes if path)) or [self._file.name]
        return finding(rule, severity, text + hint, remedy=remedy, paths=paths, count=len(notes))

    def _lines(self, notes: list[tuple[int, str, str]]) -> str:
        numbers = [line for line, _, _ in notes]
        shown = ", ".join(str(number) for number in numbers[:_LINES_NAMED])
        rest = len(numbers) - _LINES_NAMED
        more = f" and {rest:,} more" if rest > 0 else ""
        return f"{self._file.name}, {'line' if len(numbers) == 1 else 'lines'} {shown}{more}"


def _is_number(label: str) -> bool:
    return label.lstrip("-").isdecimal()
