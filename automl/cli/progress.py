"""What a run shows while it goes on: a live line on a terminal, plain lines elsewhere. On stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from automl.units import format_duration

__all__ = ["PlainProgress", "TerminalProgress", "open_progress"]

_STAGES = {
    "data": "Reading and checking the images",
    "quality": "Looking at what the data allows",
    "plan": "Measuring untrained networks",
    "search": "Training what fits",
    "proof": "Measuring and testing the best",
    "report": "Writing the report",
}
_PLAIN_EVERY_S = 5.0
"""Without a terminal, at most one line of progress in so many seconds; notes are always written."""


def open_progress(*, quiet: bool = False) -> PlainProgress | TerminalProgress:
    """Return what suits stderr."""
    if not quiet and sys.stderr.isatty():
        return TerminalProgress()
    return PlainProgress(quiet=quiet)


class PlainProgress:
    """One line an event, with the seconds since the start: for log files and CI."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._started = time.monotonic()
        self._last = 0.0

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def stage(self, name: str) -> None:
        """Write the stage's title."""
        self._write(f"{_STAGES.get(name, name)} …")

    def note(self, text: str) -> None:
        """Write a line."""
        self._write(text)

    def progress(
        self, text: str, *, best: float | None = None, left_s: float | None = None
    ) -> None:
        """Write a line, unless one was written just now."""
        now = time.monotonic()
        if now - self._last >= _PLAIN_EVERY_S:
            self._last = now
            self._write(text + _suffix(best, left_s))

    def _write(self, text: str) -> None:
        if not self._quiet:
            elapsed = time.monotonic() - self._started
            print(f"[{elapsed:6.1f} s] {text}", file=sys.stderr, flush=True)


class TerminalProgress:
    """A live line with the stage, what is being done, the best so far and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False)
        self._progress: Any = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[stage]}"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task("", stage="", total=None)

    def __enter__(self) -> TerminalProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def stage(self, name: str) -> None:
        """Show the stage's title."""
        title = _STAGES.get(name, name)
        self._console.print(f"[bold cyan]●[/] {title}")
        self._progress.update(self._task, stage=title, description="")

    def note(self, text: str) -> None:
        """Print a line above the live one."""
        from rich.markup import escape

        self._console.print(f"  {escape(text)}")

    def progress(
        self, text: str, *, best: float | None = None, left_s: float | None = None
    ) -> None:
        """Replace the live line."""
        from rich.markup import escape

        self._progress.update(self._task, description=escape(text + _suffix(best, left_s)))


def _suffix(best: float | None, left_s: float | None) -> str:
    parts = []
    if best is not None:
        parts.append(f"best so far {best:.4f}")
    if left_s is not None:
        parts.append(f"{format_duration(left_s)} left")
    return f" ({', '.join(parts)})" if parts else ""
