"""What readers of annotations notice, entry by entry: one table of rules, severities and wording.

A rule counts every entry, but keeps few places and values and each image's path once, so that a file
in which everything is wrong costs no more memory than a good one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from automl.data.findings import Severity, finding, listed, worded
from automl.errors import did_you_mean
from automl.records import Finding
from automl.units import plural

__all__ = ["Notes", "Rules"]

Rules = Mapping[str, tuple[Severity, tuple[str, str], str, str]]
"""By name: severity, what is counted (one, many), the message and the remedy; both may hold
``{one|many}`` words."""

_PLACES_NAMED = 5
_VALUES_KEPT = 1000

_ENTRY = ("entry", "entries")
_OBJECT = ("object", "objects")
_IMAGE = ("image", "images")

_ENTRY_RULES: Rules = {
    "malformed-file": (
        "error",
        ("annotation file", "annotation files"),
        "Left out: {what} that cannot be read{values}{places}.",
        "Correct {it|them} or export {it|them} again.",
    ),
    "malformed-entry": (
        "error",
        _ENTRY,
        "Left out: {what} that cannot be understood{values}{places}.",
        "Correct {this entry|these entries}, or export the annotations again.",
    ),
    "unknown-class": (
        "warning",  # an error where a name is nearly right
        _OBJECT,
        "Left out: {what} of a class that is not among {classes}{values}{places}.",
        "Correct the name, or add it to data.classes.",
    ),
    "unknown-label": (
        "warning",  # an error where a name is nearly right
        _IMAGE,
        "Left out: {what} of a class that is not among {classes}{values}{places}.",
        "Correct the name, or add it to data.classes.",
    ),
    "unknown-image": (
        "error",
        _ENTRY,
        "Left out: {what} that {names|name} an image which is nowhere described{values}{places}.",
        "Add the image to the annotations, or remove {this entry|these entries}.",
    ),
    "unknown-split": (
        "error",
        _ENTRY,
        "Left out: {what} with a split that is not train, val or test{values}{places}.",
        "Write train, val or test, or leave the split out.",
    ),
    "path-outside-root": (
        "error",
        _ENTRY,
        "Left out: {what} whose image lies outside the folder of the data{values}{places}.",
        "Copy {this image|these images} into that folder, or name a higher folder in data.path.",
    ),
    "missing-image": (
        "warning",
        _ENTRY,
        "Left out: {what} for which there is no image{values}{places}.",
        "Put the {image|images} back, or remove {its annotation|their annotations}.",
    ),
    "ambiguous-image": (
        "error",
        _ENTRY,
        "Left out: {what} that several images could be meant by{values}{places}.",
        "Give each image a name of its own, or write its path in the annotations.",
    ),
    "conflicting-entries": (
        "error",
        _ENTRY,
        "Left out: {what} that {contradicts|contradict} another of the same image{values}{places}.",
        "Keep the entry that is right.",
    ),
    "conflicting-splits": (
        "error",
        _ENTRY,
        "Kept in the first split given: {what} naming an image again with another{places}.",
        "Keep one split per image.",
    ),
    "duplicate-entry": (
        "warning",
        _ENTRY,
        "Counted once: {what} that {describes|describe} an image again{values}{places}.",
        "Keep one description per image.",
    ),
    "unlabelled-image": (
        "warning",
        _IMAGE,
        "Left out: {what} without a class{values}{places}.",
        "Give each image its class.",
    ),
    "unannotated-image": (
        "warning",
        _IMAGE,
        "Left out: {what} that no annotation speaks of{values}{places}.",
        "Annotate {it|them}; if nothing is to be seen on {it|them}, set data.unannotated to "
        "'background'.",
    ),
    "unannotated-background": (
        "info",
        _IMAGE,
        "Taken as {an image|images} with nothing on {it|them}, as the spec asks: {what} that no "
        "annotation speaks of{values}{places}.",
        "Nothing, if there is truly nothing on {it|them}.",
    ),
    "ignored-shape": (
        "warning",
        ("shape", "shapes"),
        "Left out: {what} that {encloses|enclose} no area{values}{places}.",
        "Draw a box or an outline around the object.",
    ),
    "box-without-outline": (
        "warning",
        ("box", "boxes"),
        "Left out: {what} where an outline is needed{values}{places}.",
        "Draw the outline of {this object|these objects}.",
    ),
    "several-annotators": (
        "info",
        _IMAGE,
        "Taken from the first annotator: {what} that several have annotated{values}{places}.",
        "Nothing, or export the reviewed annotations alone.",
    ),
    "ignored-annotation": (
        "info",
        ("annotation", "annotations"),
        "Left out: {what} that {counts|count} for nothing{values}{places}.",
        "Nothing.",
    ),
    "missing-defect-mask": (
        "info",
        _IMAGE,
        "Without a mask that shows where the defect is: {what}{values}{places}. {It counts|They "
        "count} when images are judged, not when pixels are.",
        "Add {its mask|their masks} if it matters where the defects are found.",
    ),
}  # fmt: skip


@dataclass
class _Noted:
    """All that is kept of the entries that break one rule."""

    count: int = 0
    places: list[str] = field(default_factory=list)
    values: dict[str, None] = field(default_factory=dict)
    paths: dict[str, None] = field(default_factory=dict)


class Notes:
    """Counts what is wrong, by rule, and words it at the end."""

    def __init__(self, source: str, rules: Rules = _ENTRY_RULES) -> None:
        """Note problems of one annotation file or folder, which counts as the path of those that
        have none; ``rules`` are those of readers unless others are given."""
        self._source = source
        self._rules = rules
        self._noted: dict[str, _Noted] = {}

    def add(self, rule: str, where: str, *, path: str = "", value: str = "") -> None:
        """Count one entry under a rule of the table.

        Args:
            rule: Name in the table of this module.
            where: File and line of the entry, if known: ``boxes.xml, line 12``.
            path: The image concerned, if known.
            value: What was found there instead of what should be.
        """
        if rule not in self._rules:
            raise ValueError(f"there is no rule '{rule}'; add it to the table of this module")
        noted = self._noted.setdefault(rule, _Noted())
        noted.count += 1
        if where and len(noted.places) < _PLACES_NAMED:
            noted.places.append(where)
        if value and len(noted.values) < _VALUES_KEPT:
            noted.values.setdefault(value)
        if path:
            noted.paths.setdefault(path)

    def add_many(self, rule: str, paths: Iterable[str], *, count: int, value: str = "") -> None:
        """Count several entries at once, of which only the images and one value are known."""
        noted = self._noted.setdefault(rule, _Noted())
        noted.count += count
        if value:
            noted.values.setdefault(value)
        noted.paths.update(dict.fromkeys(paths))

    def __contains__(self, rule: str) -> bool:
        return rule in self._noted

    def values(self, *rules: str) -> set[str]:
        """Return the values found in entries that break one of the rules."""
        return {
            value for rule in rules if rule in self._noted for value in self._noted[rule].values
        }

    def paths(self, *rules: str) -> set[str]:
        """Return the images concerned by one of the rules."""
        return {path for rule in rules if rule in self._noted for path in self._noted[rule].paths}

    def findings(self, *, classes: Collection[str] = ()) -> tuple[Finding, ...]:
        """Return one finding a rule, in the order of the table.

        Args:
            classes: What classes are known, for the rules on unknown ones.
        """
        return tuple(
            self._finding(rule, self._noted[rule], classes)
            for rule in self._rules
            if rule in self._noted
        )

    def _finding(self, rule: str, noted: _Noted, classes: Collection[str]) -> Finding:
        severity, (one, many), message, remedy = self._rules[rule]
        paths = list(noted.paths)
        text = worded(message, noted.count).format(
            what=plural(noted.count, one, many),
            values=_values(noted, paths),
            places=_places(noted),
            classes=listed(list(classes), most=len(classes)),
        )
        if rule in ("unknown-class", "unknown-label"):
            hints = (did_you_mean(value, classes) for value in sorted(noted.values))
            hint = next((hint for hint in hints if hint.startswith(" Did")), "")
            severity, text = ("error" if hint else severity), text + hint
        return finding(
            rule,
            severity,
            text,
            remedy=worded(remedy, noted.count),
            paths=paths or [self._source],
            count=noted.count,
        )


def _values(noted: _Noted, paths: list[str]) -> str:
    """Name the values found; without any, the images."""
    if noted.values:
        return f": {listed(sorted(noted.values))}"
    return f": {listed(paths)}" if paths and not noted.places else ""


def _places(noted: _Noted) -> str:
    if not noted.places:
        return ""
    rest = noted.count - len(noted.places)
    more = f" and {rest:,} more" if rest > 0 else ""
    return f" ({'; '.join(noted.places)}{more})"
