"""What is still said and kept when a run must end at once, without going back through what it does.

A node that is taken away gives some seconds, and whoever presses Ctrl-C twice gives none. Results are whole
at any moment; the words say how to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["last_words", "speak"]

_speaker: Callable[[], str] | None = None


@contextmanager
def last_words(speaker: Callable[[], str]) -> Iterator[None]:
    """Let a function be called should the process have to end at once within the block.

    Args:
        speaker: keeps what must be kept, from any thread, and returns what to tell the user.
    """
    global _speaker
    before, _speaker = _speaker, speaker
    try:
        yield
    finally:
        _speaker = before


def speak() -> str:
    """Return the last words; empty when no run is under way."""
    speaker = _speaker
    return "" if speaker is None else speaker()
