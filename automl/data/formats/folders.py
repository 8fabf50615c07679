"""Look into folders without going through all of them: what lies below, and whether images do."""

from __future__ import annotations

import os
from pathlib import Path

from automl.data.formats.listing import is_hidden, is_image_name

__all__ = ["holds_image", "subfolders"]


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; none if it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not is_hidden(e.name))
    except OSError:
        return []  # the walk reports it


def holds_image(folder: Path) -> bool:
    """Whether an image lies at any depth; stops at the first. Links to folders are followed
    once."""
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        real = os.path.realpath(current)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        continue
                    if entry.is_dir():
                        waiting.append(Path(entry.path))
                    elif is_image_name(entry.name):
                        return True
        except OSError:
            continue  # the walk reports it
    return False
