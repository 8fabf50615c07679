"""What is wrong with a file the user wrote: where, which rule, what was got, what to do.

All problems of a file are reported together, as one error, so that a spec is mended in one go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from automl.errors import SpecError

__all__ = ["InvalidDocumentError", "Problem", "escape", "shown"]

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake. ``line`` and ``column`` count from 1; ``path`` is empty for the whole file."""

    line: int
    column: int
    path: str
    message: str

    def describe(self, source: str) -> str:
        """Return ``quickstart.yaml:7:3: search.tme: unknown key. Did you mean 'time'?``."""
        where = f"{escape(source)}:{self.line}:{self.column}"
        return ": ".join(part for part in (where, self.path, self.message) if part)


class InvalidDocumentError(SpecError):
    """A spec or search space file is invalid. ``problems`` holds each mistake, sorted by line."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(sorted(set(problems)))
        super().__init__(source, self.problems)

    def __str__(self) -> str:
        lines = [problem.describe(self.source) for problem in self.problems]
        if len(lines) == 1:
            return lines[0]
        return "\n".join((f"{escape(self.source)} has {len(lines)} problems:", *lines))


def escape(text: str) -> str:
    """Return text with control, bidirectional and other invisible characters as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def shown(value: object) -> str:
    """Return a value of a YAML file as a message names it: short, on one line, escaped."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        cut = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}…"
        return f"'{escape(cut)}'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
