"""Say in plain words what is wrong or unusual with the data, file by file, and what was done about
it.

Every function here turns facts into findings and decides nothing else. Severity ``error`` means
that the user should act, ``warning`` that something was left out or may mislead, ``info`` that it
is good to know.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from automl.data.examine import FileFacts
from automl.data.findings import Severity, finding, listed, worded
from automl.data.formats import RawSample
from automl.records import Finding, Sample
from automl.units import plural

__all__ = [
    "file_findings",
    "note_findings",
    "size_findings",
    "unmatched_findings",
]

_TINY_SIDE = 16
"""Pixels: networks reduce images 32-fold, so nothing is left of smaller ones."""

_UNUSABLE: dict[str, tuple[str, str]] = {
    "missing-file": ("Missing", "Put {it|them} back, or take {it|them} off the list."),
    "unreadable-file": (
        "Unreadable",
        "Check permissions and the disk, or save {it|them} again as PNG or JPEG.",
    ),
    "empty-file": ("Empty (0 bytes)", "Copy {it|them} again from where {it|they} came."),
    "not-an-image": ("Not an image in spite of its name", "Remove or replace {it|them}."),
    "truncated-file": ("Cut short (truncated)", "Copy {it|them} again from where {it|they} came."),
    "decompression-bomb": (
        "More pixels than any photograph (a decompression bomb)",
        "Reduce {it|them} below 178 million pixels.",
    ),
}

_NOTES: dict[str, tuple[str, Severity, str, str]] = {
    "cmyk": (
        "cmyk-image",
        "warning",
        "in CMYK (printing colours), converted to RGB, which shifts the colours a little",
        "Save {it|them} as RGB.",
    ),
    "sixteen-bit": (
        "sixteen-bit-image",
        "info",
        "with 16 bits a pixel, scaled to 8 bits (not clipped)",
        "If {it uses|they use} only a part of the range, stretch it before (a dark image stays dark).",
    ),
    "palette": ("palette-image", "info", "with a colour palette, converted to RGB", "Nothing."),
    "alpha": (
        "alpha-image",
        "info",
        "with transparency, laid on white",
        "If white hides the object, put {it|them} on another background.",
    ),
    "gray": ("gray-image", "info", "in gray, given three equal channels", "Nothing."),
    "exif-rotated": (
        "exif-rotated",
        "info",
        "with a rotation in the EXIF data, turned upright",
        "Nothing; a camera that ignores EXIF would deliver them unturned.",
    ),
    "animated": (
        "animated-image",
        "warning",
        "with several frames or pages, of which the first is used",
        "Save the frame that counts as a file of its own.",
    ),
}


def file_findings(samples: Sequence[RawSample], facts: Sequence[FileFacts]) -> Iterator[Finding]:
    """Name the files that were left out because they cannot be decoded, by kind."""
    by_rule: dict[str, list[int]] = defaultdict(list)
    for position, one in enumerate(facts):
        if one.rule is not None:
            by_rule[one.rule].append(position)
    for rule, (what, remedy) in _UNUSABLE.items():
        positions = by_rule.get(rule, [])
        if positions:
            names = [_with_line(samples[i]) for i in positions]
            first = facts[positions[0]].error
            yield finding(
                rule,
                "warning",
                f"{what}: {plural(len(positions), 'file')}, left out: {listed(names)} ({first}).",
                remedy=worded(remedy, len(positions)),
                paths=[samples[i].path for i in positions],
            )


def note_findings(facts: Sequence[FileFacts]) -> Iterator[Finding]:
    """Name the images that had to be converted."""
    by_note: dict[str, list[str]] = defaultdict(list)
    for one in facts:
        for note in one.notes:
            by_note[note].append(one.path)
    for note, (rule, severity, what, remedy) in _NOTES.items():
        paths = by_note.get(note, [])
        if paths:
            text = f"{plural(len(paths), 'image')} {what}: {listed(paths)}."
            yield finding(rule, severity, text, remedy=worded(remedy, len(paths)), paths=paths)


def size_findings(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Say which images are tiny, and whether sizes differ."""
    tiny = [one.path for one in samples if min(one.height, one.width) < _TINY_SIDE]
    if tiny:
        yield finding(
            "tiny-image",
            "warning",
            f"{plural(len(tiny), 'image')} with a side under {_TINY_SIDE} pixels: {listed(tiny)}.",
            remedy=worded(
                "Check that {it is no icon or thumbnail; use the original image|they are no icons or "
                "thumbnails; use the original images}.",
                len(tiny),
            ),
            paths=tiny,
        )
    sizes = Counter((one.height, one.width) for one in samples)
    if len(sizes) > 1:
        (height, width), number = max(sizes.items(), key=lambda item: (item[1], item[0]))
        low, high = min(sizes, key=_area), max(sizes, key=_area)
        yield finding(
            "varied-size",
            "info",
            f"The images have {len(sizes):,} sizes, from {low[1]} x {low[0]} to {high[1]} x "
            f"{high[0]} "
            f"pixels; {width} x {height} is the commonest ({number:,}). All are resized to one "
            "square.",
            remedy="Nothing; if the camera in use gives one size, collect images of that size.",
            count=len(sizes),
        )


def unmatched_findings(unmatched: Sequence[str], pattern: str | None) -> Iterator[Finding]:
    """Name the paths that the group expression does not match."""
    if unmatched:
        yield finding(
            "unmatched-group",
            "warning",
            f"{plural(len(unmatched), 'path')} not matched by data.split.group '{pattern}', "
            f"{'' if len(unmatched) == 1 else 'each '}taken as a group of its own: "
            f"{listed(unmatched)}.",
            remedy=worded(
                "Correct the expression, or rename {this file|these files}.", len(unmatched)
            ),
            paths=unmatched,
        )


def _with_line(sample: RawSample) -> str:
    return sample.path if sample.line is None else f"{sample.path}, line {sample.line}"


def _area(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] * size[1], size[0]
