"""The memory of a process and everything it started, sampled while it runs.

The resident set (RSS) of a process counts a page that it shares with others in full, so the sum over
processes counts such pages several times. The proportional set (PSS) divides each shared page among
those that share it, so its sum is what the processes occupy together.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import psutil

__all__ = ["Footprint", "watch"]

_EVERY_S = 0.25
_PSS_EVERY = 8
_GROWTH = 1.01


@dataclass(frozen=True)
class Footprint:
    """How a command ended, and the largest sums over its process tree that were seen."""

    exit_code: int
    wall_s: float
    rss_bytes: int
    pss_bytes: int
    processes: int
    """The most at once."""
    samples: int
    sampling_share: float
    """Share of the wall time that taking samples took (on one core)."""


def watch(
    command: Sequence[str], *, environment: Mapping[str, str], output: IO[bytes]
) -> Footprint:
    """Run a command to its end, sampling the memory of its process tree every 0.25 s.

    RSS is cheap and read every time. PSS makes the kernel go through all pages, so it is read when the
    RSS has grown beyond what it was at every reading before, and every two seconds.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    root = psutil.Process(process.pid)
    rss = pss = rss_at_pss = most = samples = 0
    spent_s = 0.0
    while process.poll() is None:
        begin = time.perf_counter()
        tree = _tree(root)
        now = sum(_rss(one) for one in tree)
        rss, most = max(rss, now), max(most, len(tree))
        if now > _GROWTH * rss_at_pss or samples % _PSS_EVERY == 0:
            rss_at_pss = max(rss_at_pss, now)
            pss = max(pss, sum(_pss(one) for one in tree))
        samples += 1
        spent_s += time.perf_counter() - begin
        time.sleep(max(0.0, _EVERY_S - (time.perf_counter() - begin)))
    wall_s = time.perf_counter() - started
    return Footprint(process.returncode, wall_s, rss, pss, most, samples, spent_s / wall_s)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
        return [root, *root.children(recursive=True)]
    return []


def _rss(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(process.memory_info().rss)
    return 0


def _pss(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", memory.rss))  # PSS: Linux only
    return 0
