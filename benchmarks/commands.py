"""Runs the command line as a user would, and says how long it took."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["automl_command", "median_wall_s", "own_cache", "say", "wall_s"]


def automl_command(*arguments: str) -> list[str]:
    """Return the command line of the program that is installed beside this interpreter."""
    script = Path(sys.executable).with_name("automl")
    start = [str(script)] if script.exists() else [sys.executable, "-m", "automl"]
    return [*start, *arguments]


def own_cache(folder: Path) -> dict[str, str]:
    """Return the environment with ``folder`` as automl's cache: nothing is known from before."""
    return os.environ | {"AUTOML_CACHE": str(folder)}


def wall_s(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> float:
    """Run a command to its end and return how long it took, in seconds.

    Raises:
        subprocess.CalledProcessError: when it fails; what it wrote was passed on to stderr.
    """
    started = time.perf_counter()
    ended = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    passed = time.perf_counter() - started
    if ended.returncode != 0:
        sys.stderr.write(ended.stdout.decode(errors="replace"))
        raise subprocess.CalledProcessError(ended.returncode, command)
    return passed


def median_wall_s(command: Sequence[str], *, times: int) -> tuple[float, float, float]:
    """Return median, lowest and highest wall time of several runs, in seconds."""
    walls = [wall_s(command) for _ in range(times)]
    return statistics.median(walls), min(walls), max(walls)


def say(text: str) -> None:
    """Tell on stderr what is being measured."""
    print(text, file=sys.stderr, flush=True)
