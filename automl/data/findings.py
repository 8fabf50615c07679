"""How the audit words what it notices, so that every finding reads alike and counts its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from automl.records import Finding

__all__ = ["Severity", "finding", "listed", "worded"]

Severity = Literal["error", "warning", "info"]
_NAMED_IN_TEXT = 3
_EITHER = re.compile(r"\{([^{}|]*)\|([^{}|]*)\}")


def finding(
    rule: str,
    severity: Severity,
    message: str,
    *,
    remedy: str,
    paths: Sequence[str] = (),
    count: int | None = None,
) -> Finding:
    """Return a finding; ``count`` is the number of paths unless given."""
    return Finding(
        rule=rule,
        severity=severity,
        message=message,
        remedy=remedy,
        count=len(paths) if count is None else count,
        paths=tuple(paths),
    )


def worded(template: str, count: int) -> str:
    """Return a text with the first word of each ``{one|many}`` for one thing, else the second."""
    return _EITHER.sub(lambda match: match[1] if count == 1 else match[2], template)


def listed(names: Sequence[str], *, most: int = _NAMED_IN_TEXT) -> str:
    """Return ``'a', 'b', 'c' and 4 more``, with control characters escaped."""
    shown = ", ".join(f"'{_visible(name)}'" for name in names[:most])
    rest = len(names) - most
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def _visible(name: str) -> str:
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
