"""SIGTERM while Ray starts and ends: it takes the signal for itself, and leaves it to end the process."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

__all__ = ["own_sigterm"]


@contextlib.contextmanager
def own_sigterm() -> Iterator[None]:
    """Let SIGTERM do after the block what it did before, also when it came within.

    ``ray.init`` sets handlers of its own, in Python and below it, that end the process with exit code 1
    or 15; ``ray.shutdown`` sets the one below to end it without a word (ray 2.60). Setting one in Python
    again replaces both.
    """
    before = signal.getsignal(signal.SIGTERM)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)
        raise  # where the signal is ignored
    finally:
        signal.signal(signal.SIGTERM, before)
