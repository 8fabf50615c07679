"""SIGTERM while a library starts that takes the signal for itself, as Ray does."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from automl.search.signals import own_sigterm


def ours(*_: object) -> None:
    raise KeyboardInterrupt


def theirs(*_: object) -> None:
    sys.exit(1)


@pytest.fixture(autouse=True)
def _our_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, ours)
    yield
    signal.signal(signal.SIGTERM, before)


def test_our_handler_is_back_afterwards() -> None:
    with own_sigterm():
        signal.signal(signal.SIGTERM, theirs)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def start(*, then: Callable[[], object]) -> None:
    """Start a library that takes the signal for itself, and let something happen meanwhile."""
    with own_sigterm():
        signal.signal(signal.SIGTERM, theirs)
        then()


def test_a_signal_that_comes_within_does_what_ours_does() -> None:
    with pytest.raises(KeyboardInterrupt):
        start(then=lambda: signal.raise_signal(signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) is ours


def test_another_failure_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        start(then=lambda: 1 // 0)
    assert signal.getsignal(signal.SIGTERM) is ours
