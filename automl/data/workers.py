"""Decode many files on all cores, in order, in processes that a broken decoder cannot take along.

Each worker is ``python -m automl.data.workers``: it reads one request a line and answers with one
line of JSON followed by raw pixels. Unlike :mod:`multiprocessing` it never imports the caller's
main module, so a script without a ``__main__`` guard works, and a crash of a decoder is one file's
finding.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import fields
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from automl.data.examine import THUMBNAIL_SIDE, Examined, FileFacts, examine, unreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["available_cores", "examine_all"]

_IN_PROCESS = 200
"""Up to so many files, starting workers (about 0.3 s) costs more than it saves."""

_AHEAD = 4
"""Files in flight for each worker: bounds the memory when writing is slower than decoding."""


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def examine_all(
    root: Path, paths: list[str], *, stored_side: int | None, workers: int
) -> Iterator[Examined]:
    """Yield what :func:`examine` says of each path, in order."""
    if workers < 2 or len(paths) <= _IN_PROCESS:
        for path in paths:
            yield examine(root, path, stored_side=stored_side)
        return
    with ExitStack() as stack:
        pool = _Pool(root, stored_side)
        stack.callback(pool.close)
        threads = stack.enter_context(ThreadPoolExecutor(workers, "automl-decode"))
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        yield from _in_order(threads, pool, paths, ahead=workers * _AHEAD)


def _in_order(
    threads: ThreadPoolExecutor, pool: _Pool, paths: Iterable[str], *, ahead: int
) -> Iterator[Examined]:
    waiting: deque[Future[Examined]] = deque()
    for path in paths:
        waiting.append(threads.submit(pool.examine, path))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Pool:
    """One worker process for each thread that asks."""

    def __init__(self, root: Path, stored_side: int | None) -> None:
        self._root = root
        self._stored_side = stored_side
        self._mine = threading.local()
        self._all: list[_Worker] = []

    def examine(self, path: str) -> Examined:
        """Have this thread's worker examine a file; a worker that dies names the file."""
        worker: _Worker | None = getattr(self._mine, "worker", None)
        if worker is None:
            worker = self._mine.worker = _Worker()
            self._all.append(worker)
        try:
            return worker.examine(self._root, path, self._stored_side)
        except (EOFError, BrokenPipeError):
            self._mine.worker = None
            code = worker.close()
            crash = RuntimeError(f"the decoder crashed on it (exit code {code})")
            return Examined(unreadable(path, crash), None, None)

    def close(self) -> None:
        """End every worker."""
        for worker in self._all:
            worker.close()


class _Worker:
    """A process that runs :func:`main`."""

    def __init__(self) -> None:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "automl.data.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout

    def examine(self, root: Path, path: str, stored_side: int | None) -> Examined:
        """Ask for one file.

        Raises:
            EOFError, BrokenPipeError: when the process died.
        """
        self._requests.write(json.dumps([os.fspath(root), path, stored_side]).encode() + b"\n")
        self._requests.flush()
        return _receive(self._answers)

    def close(self) -> int:
        """End the process and return its exit code."""
        if self._process.poll() is None:
            self._process.kill()
        with suppress(BrokenPipeError):  # what is still buffered has no reader
            self._requests.close()
        self._answers.close()
        return self._process.wait()


def main() -> None:
    """Answer requests on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # a library that prints must not write into the answers
        for line in sys.stdin.buffer:
            root, path, stored_side = json.loads(line)
            _send(answers, examine(Path(root), path, stored_side=stored_side))


def _send(stream: IO[bytes], examined: Examined) -> None:
    facts, frame = examined.facts, examined.frame
    shape = None if frame is None else frame.shape
    row = [getattr(facts, field.name) for field in fields(FileFacts)]
    stream.write(json.dumps([row, examined.thumbnail is not None, shape]).encode() + b"\n")
    for pixels in (examined.thumbnail, frame):
        if pixels is not None:
            stream.write(np.ascontiguousarray(pixels).data)
    stream.flush()


def _receive(stream: IO[bytes]) -> Examined:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the worker ended")
    row, has_thumbnail, shape = json.loads(line)
    row[6] = tuple(row[6])
    thumbnail = _pixels(stream, (THUMBNAIL_SIDE, THUMBNAIL_SIDE)) if has_thumbnail else None
    frame = None if shape is None else _pixels(stream, tuple(shape))
    return Examined(FileFacts(*row), thumbnail, frame)


def _pixels(stream: IO[bytes], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    size = math.prod(shape)
    content = stream.read(size)
    if len(content) < size:
        raise EOFError("the worker ended")
    return np.frombuffer(content, np.uint8).reshape(shape)


if __name__ == "__main__":
    main()
