"""Where the files that ship beside the code are: example specs, search spaces, report templates.

In a checkout they lie at the top level; in an installed wheel under ``automl/_shipped``.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped"]

_PACKAGE = Path(__file__).resolve().parent


def shipped(*parts: str) -> Path:
    """Return the path of a shipped file or folder, e.g. ``shipped("search_spaces", "quick.yaml")``.

    Raises:
        FileNotFoundError: when this installation does not hold it.
    """
    for root in (_PACKAGE / "_shipped", _PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(f"'{'/'.join(parts)}' is not part of this installation of automl.")
