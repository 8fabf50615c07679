"""Which terms a report explains, and where in a text they occur."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from automl.report.terms import TERMS, Term

__all__ = ["split_terms", "terms_of"]


def terms_of(task: str) -> tuple[Term, ...]:
    """Return the terms that the report of a task explains, by name."""
    known = (term for term in TERMS if not term.tasks or task in term.tasks)
    return tuple(sorted(known, key=lambda term: term.name.casefold()))


@functools.cache
def _finder(task: str) -> tuple[dict[str, Term], re.Pattern[str]]:
    """Return the terms of a task by spelling, and the pattern that finds them, longest first."""
    spelt = {spelling: term for term in terms_of(task) for spelling in term.spellings}
    words = "|".join(re.escape(s) for s in sorted(spelt, key=len, reverse=True))
    return spelt, re.compile(rf"(?<![\w.\[-])({words})(?![\w\]-])", re.IGNORECASE)


def split_terms(text: str, task: str) -> Iterator[tuple[str, Term | None]]:
    """Yield the pieces of a text in order, each with the term it is, if any.

    Only the first occurrence of a term is marked. The pieces, joined, are the text.
    """
    spelt, pattern = _finder(task)
    seen: set[str] = set()
    start = 0
    for match in pattern.finditer(text):
        term = spelt[match.group().lower()]
        if term.slug in seen:
            continue
        seen.add(term.slug)
        yield text[start : match.start()], None
        yield match.group(), term
        start = match.end()
    yield text[start:], None
