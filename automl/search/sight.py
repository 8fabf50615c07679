"""What one machine sees of paths that others see: compared to tell shared storage from a folder of the same
name.

A few files of a folder are compared by size and beginning, which an empty mount point or an older copy does
not survive. Where something is to be written, each machine leaves a file in a folder made just now.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Answer", "Question", "SharedPath", "ask_of", "look", "look_and_leave"]

_SAMPLED = 8
"""So many files of a folder are compared: enough to tell an empty or an older copy."""
_LISTED = 2_000
"""So many entries of a folder are looked at to find them."""
_HEAD_BYTES = 65_536


@dataclass(frozen=True)
class SharedPath:
    """A path that every node must see."""

    path: str
    meaning: str
    """What it is, as the spec calls it: ``data.path``."""
    is_written: bool = False
    """Whether trials write there."""


@dataclass(frozen=True)
class Question:
    """What a node is asked about one path; the answer of the driver's own machine is the right one."""

    path: str
    names: tuple[str, ...]
    """Files to compare, relative to the path; ``""`` for the path itself."""
    probe: str | None
    """A folder made just now, which the node leaves a file in."""


@dataclass(frozen=True)
class Answer:
    """What a machine sees."""

    version: str
    sights: tuple[tuple[str, ...], ...]
    """For each question, the fingerprints of its files; ``!`` and the reason where there is none."""


def ask_of(path: SharedPath, probes: contextlib.ExitStack) -> Question:
    """Return what to ask of a path; a folder made for it is taken away when ``probes`` closes."""
    if not path.is_written:
        return Question(path.path, _sample(Path(path.path)), None)
    probe = Path(path.path) / f".nodes-{secrets.token_hex(8)}"
    probe.mkdir(parents=True)
    probes.callback(_remove, probe)
    (probe / "driver").write_text(secrets.token_hex(16))
    return Question(path.path, (f"{probe.name}/driver",), str(probe))


def _remove(probe: Path) -> None:
    for file in probe.iterdir():
        file.unlink(missing_ok=True)
    probe.rmdir()


def _sample(path: Path) -> tuple[str, ...]:
    """Return a few files of a folder, evenly over the first that a walk finds."""
    if not path.is_dir():
        return ("",)
    names: list[str] = []
    for folder, folders, files in os.walk(path):
        folders.sort()
        names += [os.path.relpath(os.path.join(folder, file), path) for file in sorted(files)]
        if len(names) >= _LISTED:
            break
    return tuple(names[:: max(1, len(names) // _SAMPLED)][:_SAMPLED]) or ("",)


def _installed_version() -> str:
    try:
        return importlib.metadata.version("automl")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def look(questions: tuple[Question, ...]) -> Answer:
    """Return what this machine sees."""
    return Answer(
        _installed_version(),
        tuple(
            tuple(_fingerprint(Path(question.path) / name) for name in question.names)
            for question in questions
        ),
    )


def look_and_leave(questions: tuple[Question, ...], node: str) -> Answer:
    """Return what a node sees, and leave a file with its name where trials write."""
    for question in questions:
        if question.probe is not None:
            with contextlib.suppress(OSError):
                (Path(question.probe) / node).write_text(node)
    return look(questions)


def _fingerprint(file: Path) -> str:
    """Return size and hash of the beginning of a file; ``folder``; or ``!`` and why not."""
    try:
        if file.is_dir():
            return "folder"
        with file.open("rb") as stream:
            head = hashlib.sha256(stream.read(_HEAD_BYTES)).hexdigest()
        return f"{file.stat().st_size} {head}"
    except OSError as error:
        return f"!{error.strerror}"
