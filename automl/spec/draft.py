"""A first spec for a folder of images, with comments on what was seen and what can be changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from automl.spec.metrics import METRICS
from automl.spec.problems import escape

__all__ = ["GroupGuess", "draft_spec", "guess_group"]

_NUMBERED = re.compile(r"(.+)[_-][0-9]+\.[A-Za-z]+")
_MATCHING = 0.9
_FEWEST_GROUPS = 10
_GROUP_SIZES = (1.5, 50.0)
"""Mean images a group. Below, nothing is grouped; above, the number merely counts the images."""


@dataclass(frozen=True)
class GroupGuess:
    """An expression that may name what must not be divided, with the reason for thinking so."""

    expression: str
    groups: int
    images: int
    example: str


def guess_group(paths: Sequence[str]) -> GroupGuess | None:
    """Return a group expression when file names show a clear pattern: ``<something>_<number>.jpg``.

    Args:
        paths: of images, relative to the data folder, with forward slashes.
    """
    names = [path.rsplit("/", 1)[-1] for path in paths]
    stems = [match[1] for name in names if (match := _NUMBERED.fullmatch(name))]
    if not names or len(stems) < _MATCHING * len(names):
        return None
    sizes = Counter(stems)
    mean = len(stems) / len(sizes)
    if len(sizes) < _FEWEST_GROUPS or not _GROUP_SIZES[0] <= mean <= _GROUP_SIZES[1]:
        return None
    example = max(sizes, key=lambda stem: (sizes[stem], stem))
    expression = r"([^/]+)[_-][0-9]+\.[A-Za-z]+$"
    return GroupGuess(expression, groups=len(sizes), images=len(stems), example=example)


def draft_spec(
    data: str,
    *,
    task: str,
    format_name: str,
    reason: str,
    classes: Sequence[str],
    images: int,
    group: GroupGuess | None = None,
    schema: str | None = None,
) -> str:
    """Return the text of a commented spec that is valid as it stands.

    Args:
        data: path of the images, as the spec should name it.
        task: a registered task.
        format_name: the format that was recognised.
        reason: why, in one sentence.
        classes: as found.
        images: how many were seen.
        group: an expression to suggest, as a comment.
        schema: address of the JSON Schema for editors.
    """
    header = [f"# yaml-language-server: $schema={schema}"] if schema else []
    return "\n".join(
        (
            *header,
            "# What you need, in one file. Check it with 'automl validate', see what could meet it",
            "# with 'automl plan', and get the model with 'automl run'.",
            "",
            f"task: {task}",
            "",
            *_data_lines(data, format_name, reason, classes=classes, images=images),
            *_group_lines(group),
            "",
            *_target_lines(),
            "",
            *_require_lines(task, classes),
            "",
            *_search_lines(),
            "",
        )
    )


def quoted(text: str) -> str:
    """Return text as a YAML scalar in double quotes."""
    escaped = escape(text.replace("\\", "\\\\")).replace('"', '\\"')
    return f'"{escaped}"'


def _data_lines(
    data: str, format_name: str, reason: str, *, classes: Sequence[str], images: int
) -> list[str]:
    listed = ", ".join(quoted(name) for name in classes)
    return [
        "data:",
        f"  path: {quoted(data)}",
        f"  format: {format_name}   # {escape(reason)}",
        f"  # {images:,} images. To choose or order the classes, edit this line:",
        f"  # classes: [{listed}]",
        "  split:",
        "    val: 15%    # to choose between candidates",
        "    test: 20%   # to prove the result, used once, at the end",
    ]


def _group_lines(group: GroupGuess | None) -> list[str]:
    if group is None:
        return [
            "    # Do several images show the same thing (tiles of one sheet, frames of one film)?",
            "    # Then name it by a regular expression, else the score looks better than it is:",
            "    # group: '([^/]+)_[0-9]+[.]jpg$'",
        ]
    return [
        f"    # {group.images:,} file names end in a number, with {group.groups:,} different",
        f"    # beginnings, such as {quoted(group.example)}. If images with one beginning show the",
        "    # same thing, remove the next '#', else the score looks better than it is:",
        f"    # group: '{group.expression}'",
    ]


def _target_lines() -> list[str]:
    return [
        "target:",
        "  device: local    # where it must run: the processor of this machine",
        "  threads: 1",
        "  latency: 20ms    # 95 of 100 runs must be at least this fast",
        "  # size: 20MB     # the largest model file",
        "  # memory: 300MiB # the most memory while running",
    ]


def _require_lines(task: str, classes: Sequence[str]) -> list[str]:
    default = METRICS[task].default
    lines = [
        "# What it must reach on the test images. Without this it is the best that fits, by",
        f"# {default}.",
        "# require:",
        f"#   {default}: '>= 0.95'",
    ]
    if classes and METRICS[task].per_class:
        metric = next(iter(METRICS[task].per_class))
        # The first class of masks is the background.
        named = classes[-1] if METRICS[task].truth == "mask" else classes[0]
        lines.append(f"#   {quoted(f'{metric}[{named}]')}: '>= 0.9'")
    return lines


def _search_lines() -> list[str]:
    return [
        "search:",
        "  space: quick     # quick, edge, balanced, server, or a file of your own",
        "  time: 10min      # when the whole run must end",
    ]
