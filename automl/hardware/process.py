"""Starting the measuring processes, and what becomes of a model that brings one down.

A model may crash the runtime, be killed for memory or never answer. The process says which model
it is at, so the rest is measured in another process and the culprit once more alone: a process
killed for what the others used is not its fault. Only then it has failed.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from automl.errors import AutomlError

__all__ = ["Timing", "how_it_ended", "run_once", "time_all"]

_START_S = 120.0
"""Starting takes about 0.3 s on two idle cores; the rest is room for slow disks and busy machines."""
_TAIL_CHARACTERS = 500


@dataclass(frozen=True)
class Timing:
    """What the worker measured of one model."""

    times_ns: tuple[int, ...]
    cpu_ns: int
    frame_size: tuple[int, int]
    stopped_early: bool
    energy: Mapping[str, Any] | None = None
    """Watts under load and idle, seconds, and the counters; ``None``: the machine does not tell."""


@dataclass(frozen=True)
class _Loss:
    """The process ended, or was ended, while it was at a model."""

    index: int
    reason: str
    retry: bool


@dataclass
class _Round:
    """The outcome of one process."""

    outcomes: dict[int, Timing | str] = field(default_factory=dict)
    loss: _Loss | None = None


class _SilenceError(Exception):
    """The process wrote nothing for too long."""


def time_all(
    jobs: Mapping[int, Mapping[str, Any]],
    *,
    grace_s: float,
    done: Callable[[int], None],
) -> dict[int, Timing | str]:
    """Measure all jobs in one fresh process; those that bring it down again, alone.

    Args:
        jobs: :class:`automl.hardware.inputs.Job` by index.
        grace_s: how long beyond its ``max_seconds`` a model may be silent before it is given up.
        done: called with the index of each model that is measured or has failed.

    Returns:
        The timing, or why there is none, for every index.

    Raises:
        AutomlError: when the measuring process cannot even start.
    """
    outcomes: dict[int, Timing | str] = {}
    pending, alone = dict(jobs), list[int]()
    while pending:
        current = _run_worker(tuple(pending.values()), grace_s=grace_s, done=done)
        outcomes |= current.outcomes
        pending = {index: job for index, job in pending.items() if index not in outcomes}
        if current.loss is None:
            continue
        del pending[current.loss.index]
        if current.loss.retry:
            alone.append(current.loss.index)
        else:
            outcomes[current.loss.index] = current.loss.reason
            done(current.loss.index)
    for index in alone:
        outcomes |= _retry(index, jobs[index], grace_s=grace_s, done=done)
    return outcomes


def _retry(
    index: int, job: Mapping[str, Any], *, grace_s: float, done: Callable[[int], None]
) -> dict[int, Timing | str]:
    current = _run_worker((job,), grace_s=grace_s, done=done)
    if current.loss is not None:
        done(index)
        return {index: f"{current.loss.reason}, twice (the second time alone)"}
    return dict(current.outcomes)


def run_once(arguments: Sequence[str], stdin: str, *, timeout_s: float) -> str:
    """Run this interpreter with arguments and return what it wrote.

    Raises:
        AutomlError: when it fails or does not end in time; the message says how it ended.
    """
    command = [sys.executable, "-P", *arguments]
    try:
        ended = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AutomlError(f"gave no answer within {timeout_s:.0f} s") from error
    if ended.returncode != 0:
        raise AutomlError(how_it_ended(ended.returncode, ended.stderr))
    return ended.stdout


def _run_worker(
    jobs: Sequence[Mapping[str, Any]], *, grace_s: float, done: Callable[[int], None]
) -> _Round:
    """Run one worker to its end, or to the first model that it does not survive."""
    limits = {job["index"]: job["max_seconds"] + grace_s for job in jobs}
    current = _Round()
    at: int | None = None
    with tempfile.TemporaryFile() as stderr, _worker(json.dumps(jobs), stderr) as process:
        lines = _Lines(process)
        try:
            while (line := lines.next(_START_S if at is None else limits[at])) is not None:
                at = line.get("at", at)
                _take(line, current, done)
        except _SilenceError:
            reason = f"gave no answer within {_START_S if at is None else limits[at]:.0f} s"
            retry = False
        else:
            if len(current.outcomes) == len(jobs):
                return current
            reason = how_it_ended(process.wait(), _tail(stderr))
            retry = True
        if at is None:
            raise AutomlError(
                f"The measuring process could not start: it {reason}. "
                "Run `automl doctor` to see what is missing."
            )
        current.loss = _Loss(at, f"the measuring process {reason}", retry)
    return current


def _take(line: Mapping[str, Any], current: _Round, done: Callable[[int], None]) -> None:
    if "failed" in line:
        current.outcomes[line["failed"]] = line["error"]
        done(line["failed"])
    elif "done" in line:
        height, width = line["frame_size"]
        current.outcomes[line["done"]] = Timing(
            tuple(line["times_ns"]),
            line["cpu_ns"],
            (height, width),
            line["stopped_early"],
            line["energy"],
        )
        done(line["done"])


@contextmanager
def _worker(job: str, stderr: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """Start a worker, hand it its job, and leave no process behind.

    ``-P``: a user's folder that holds, say, a ``numpy.py`` is not put on the module path.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "automl.hardware.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
    )
    try:
        _hand_over(process, job)
        yield process
    finally:
        process.kill()
        process.wait()


def _hand_over(process: subprocess.Popen[str], job: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(job)
        process.stdin.close()
    except BrokenPipeError:
        return  # it died before it read its job: its exit status tells how


class _Lines:
    """The lines a process writes, each awaited for a limited time. ``None`` at the end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        try:
            text = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            raise _SilenceError from None
        if text is None or not text.endswith("\n"):
            return None  # the end, or a line that a crash cut off
        line: dict[str, Any] = json.loads(text)
        return line

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for text in stream:
                self._queue.put(text)
        self._queue.put(None)


def how_it_ended(returncode: int, stderr: str) -> str:
    """Return how a process ended, with the end of what it wrote: ``was killed by SIGKILL …``."""
    if returncode < 0:
        name = signal.Signals(-returncode).name
        hint = " (as systems do when memory runs out)" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"
    tail = " ".join(stderr.split())[-_TAIL_CHARACTERS:]
    return f"ended with exit code {returncode}" + (f": {tail}" if tail else "")


def _tail(stderr: IO[bytes]) -> str:
    stderr.seek(0)
    return stderr.read().decode(errors="replace")[-_TAIL_CHARACTERS:]
