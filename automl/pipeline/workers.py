"""Processes of our own that do the heavy work, so that the driver stays small and survives crashes.

A worker is a fresh Python process that takes one job a line (a function's name and a record, as JSON) and
answers with one line. Unlike multiprocessing it does not import the user's ``__main__``, so the Python API
works in a plain script; and a worker that dies costs one job, not the run.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import subprocess
import sys
import threading
import typing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from automl.errors import AutomlError, SpecError, StorageError
from automl.records import dump_record, load_record
from automl.storage import storage_error

__all__ = ["JobFailure", "WorkerPool", "main"]

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class JobFailure:
    """A job that gave no result, and why."""

    error: str
    is_spec_error: bool = False
    """True when what the spec asks for is impossible, so that it is for the user to mend."""
    is_storage_error: bool = False
    """True when a disk is full, read-only or gone, so that no job would succeed."""


class WorkerPool:
    """Up to ``count`` worker processes, started when first needed and kept until :meth:`close`.

    Args:
        count: processes at once.
        threads: processor threads of each.
        timeout_s: a job that takes longer is ended and reported as failed.
    """

    def __init__(self, count: int, *, threads: int, timeout_s: float = 600.0) -> None:
        self._count = count
        self._threads = threads
        self._timeout_s = timeout_s
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._started: list[_Worker] = []
        self._lock = threading.Lock()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Start all processes, so that they import while the driver does something else."""
        while len(self._started) < self._count:
            self._idle.put(self._start())

    def map(
        self, job: Callable[[_Argument], _Result], arguments: Sequence[_Argument]
    ) -> Iterator[_Result | JobFailure]:
        """Run a module-level function on each record; yields results in the order of the records.

        Raises:
            StorageError: when the disk fails a job: the others would fail too, and none is at fault.
        """
        with ThreadPoolExecutor(max_workers=self._count) as threads:
            yield from threads.map(lambda argument: self._run(job, argument), arguments)

    def close(self) -> None:
        """End all worker processes; later jobs start new ones."""
        self._idle = queue.SimpleQueue()
        for worker in self._started:
            worker.stop()
        self._started.clear()

    def _run(
        self, job: Callable[[_Argument], _Result], argument: _Argument
    ) -> _Result | JobFailure:
        worker = self._take()
        failure, answer = worker.ask(_request(job, argument), timeout_s=self._timeout_s)
        if worker.is_alive:
            self._idle.put(worker)
        else:
            self._drop(worker)
        if failure is not None:
            if failure.is_storage_error:
                raise StorageError(failure.error)
            return failure
        kind = typing.get_type_hints(job)["return"]
        result: _Result = load_record(kind, json.dumps(answer))
        return result

    def _take(self) -> _Worker:
        """Return an idle worker; one that was killed while it waited costs no job."""
        while True:
            try:
                worker = self._idle.get_nowait()
            except queue.Empty:
                return self._start()
            if worker.is_alive:
                return worker
            self._drop(worker)

    def _start(self) -> _Worker:
        worker = _Worker(self._threads)
        with self._lock:
            self._started.append(worker)
        return worker

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            if worker in self._started:
                self._started.remove(worker)
        worker.stop()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, threads: int) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "MALLOC_ARENA_MAX": "2",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "automl.pipeline.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
            start_new_session=True,
        )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: str, *, timeout_s: float) -> tuple[JobFailure | None, object]:
        """Return (why there is no answer, the answer)."""
        expired = threading.Event()

        def end() -> None:
            expired.set()
            self._process.kill()

        timer = threading.Timer(timeout_s, end)
        timer.start()
        try:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line.endswith("\n"):
            code = self._process.wait()
            if expired.is_set():
                return JobFailure(f"took longer than {timeout_s:.0f} s and was ended"), None
            return JobFailure(f"its process ended with code {code}{_signal_hint(code)}"), None
        answer = json.loads(line)
        if "error" in answer:
            spec, storage = (
                answer.get("is_spec_error", False),
                answer.get("is_storage_error", False),
            )
            return JobFailure(answer["error"], spec, storage), None
        return None, answer["result"]

    def stop(self) -> None:
        """End the process at once: it holds nothing that is not in its answers."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # what is still buffered has no reader
            if self._process.stdin is not None:
                self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _request(job: Callable[[Any], Any], argument: object) -> str:
    name = f"{job.__module__}:{job.__qualname__}"
    return json.dumps({"job": name, "argument": json.loads(dump_record(argument))})


def _signal_hint(code: int) -> str:
    return " (killed: most often the machine ran out of memory)" if code == -9 else ""


def _serve(requests: IO[str], answers: IO[str]) -> None:
    for line in requests:
        request = json.loads(line)
        module, _, attribute = request["job"].partition(":")
        try:
            job = getattr(importlib.import_module(module), attribute)
            (kind,) = [k for n, k in typing.get_type_hints(job).items() if n != "return"]
            result = job(load_record(kind, json.dumps(request["argument"])))
            answer = {"result": json.loads(dump_record(result))}
        except Exception as error:  # noqa: BLE001 - the boundary of the process: passed on as text
            answer = _failure(error)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _failure(error: Exception) -> dict[str, Any]:
    failure = storage_error(error)
    if failure is not None:
        return {"error": str(failure), "is_storage_error": True}
    if isinstance(error, AutomlError):
        return {"error": str(error), "is_spec_error": isinstance(error, SpecError)}
    return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Serve jobs until the pipe closes. What libraries print goes nowhere near the answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
