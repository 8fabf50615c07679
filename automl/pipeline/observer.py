"""Who watches a run: the terminal, a service, or nobody."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Observer", "Silent"]


class Observer(Protocol):
    """Hears what a run does, in the driver process."""

    def stage(self, name: str) -> None:
        """A stage began: ``data``, ``plan``, ``search``, ``proof``, ``report``."""

    def note(self, text: str) -> None:
        """Something worth a line: a verdict, a finished trial, a warning."""

    def progress(
        self, text: str, *, best: float | None = None, left_s: float | None = None
    ) -> None:
        """What is being done right now, the best objective so far, seconds until the deadline."""


class Silent:
    """Watches nothing: the Python API's default."""

    def stage(self, name: str) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def progress(
        self, text: str, *, best: float | None = None, left_s: float | None = None
    ) -> None:
        """Ignore."""
