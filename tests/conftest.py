"""Shared ground of all tests: a cache of their own, no network, real images."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's cache and devices, in this process and those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("AUTOML_DEVICES", str(tmp_path_factory.mktemp("devices")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let Ctrl-C reach what the tests start, also where the tests themselves run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def paper_images() -> Path:
    """The photographs of paper that ship with the quickstart, in the folders ``pass`` and ``fail``."""
    return Path(__file__).resolve().parents[1] / "specs" / "data" / "paper_pass_fail"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch use one thread: sums are then exact to the last bit, and tiny networks faster."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
