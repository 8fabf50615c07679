"""One measuring at a time, each in a process of its own; who asks twice gets one answer.

A client names its jobs itself, so a request that is sent again after a dropped connection finds the
job that the first one began. A job that nobody asks for any more is ended: the next in line waits.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from automl.hardware.agent.checks import RefusedError
from automl.hardware.agent.protocol import Order
from automl.hardware.agent.runner_process import LostRunnerError, RunnerProcess
from automl.hardware.agent.store import FileStore

__all__ = ["Jobs", "Status"]

_MOST_JOBS = 32
_WATCH_S = 5.0

State = Literal["waiting", "running", "done", "lost"]


@dataclass(frozen=True)
class Status:
    """How far a job is, as a client is told."""

    state: State
    ahead: int
    """Jobs that are done first."""
    notes: int
    """Lines of progress so far."""
    note: str
    """The last of them."""
    result: Mapping[str, Any] | None
    """Of a job that is done."""
    reason: str
    """Of one that was lost: why; asking for the same again may succeed."""


@dataclass
class _Job:
    name: str
    order: Order
    outputs: Path
    asked: float
    state: State = "waiting"
    notes: int = 0
    note: str = ""
    result: Mapping[str, Any] | None = None
    reason: str = ""
    process: RunnerProcess | None = field(default=None, repr=False)

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "lost")


class Jobs:
    """The jobs of an agent. Safe to use from several threads."""

    def __init__(
        self,
        store: FileStore,
        folder: Path,
        *,
        code: Path | None = None,
        lease_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to wait for jobs.

        Args:
            store: where their files are.
            folder: for outputs; empty, and of this agent alone.
            code: what holds the package ``automl`` for the processes of jobs, if it is not installed.
            lease_s: a job is ended, or its result forgotten, when nobody asked for so long.
            clock: seconds that never go back.
        """
        self._store = store
        self._folder = folder
        self._code = code
        self._lease_s = lease_s
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._work, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, name: str, order: Order) -> None:
        """Ask for a job; the same again changes nothing.

        Raises:
            RefusedError: 409 when files are missing, or the name belongs to another order; 503 when
                too many wait.
        """
        with self._changed:
            known = self._jobs.get(name)
            if known is not None:
                if known.order != order:
                    raise RefusedError(409, "other-order", "this id belongs to another order")
                known.asked = self._clock()
                return
            if len(self._jobs) >= _MOST_JOBS:
                raise RefusedError(503, "busy", f"{len(self._jobs)} jobs are kept already")
            missing = self._store.hold(order.files())
            if missing:
                raise RefusedError(409, "missing", "files must be uploaded first", files=missing)
            job = _Job(name, order, self._folder / f"{name}.npz", self._clock())
            self._jobs[name] = job
            self._queue.put(job)

    def wait(self, name: str, *, seen: int, timeout_s: float) -> Status:
        """Return how far a job is, when it is over, has news, or the time is out.

        Raises:
            RefusedError: 404 when there is no such job.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while True:
                job = self._known(name)
                job.asked = self._clock()
                left = until - time.monotonic()
                if job.is_over or job.notes > seen or left <= 0 or self._stopped.is_set():
                    return self._status(job)
                self._changed.wait(left)

    def outputs(self, name: str) -> Path:
        """Return the file of arrays that a job wrote.

        Raises:
            RefusedError: 404 when there is none.
        """
        with self._changed:
            job = self._known(name)
            if job.state != "done" or not job.outputs.is_file():
                raise RefusedError(404, "no-outputs", "this job has no outputs")
            return job.outputs

    def end(self, name: str) -> None:
        """End a job, or forget what came of it; one that is not known needs no ending."""
        with self._changed:
            job = self._jobs.pop(name, None)
            self._changed.notify_all()
        if job is not None:
            self._drop(job)

    def close(self) -> None:
        """End everything; no process is left."""
        self._stopped.set()
        self._queue.put(None)
        for name in list(self._jobs):
            self.end(name)
        for thread in self._threads:
            thread.join(timeout=2 * _WATCH_S)

    def _known(self, name: str) -> _Job:
        job = self._jobs.get(name)
        if job is None:
            raise RefusedError(
                404, "unknown-job", "there is no such job: the agent was started again, or ended it"
            )
        return job

    def _status(self, job: _Job) -> Status:
        names = list(self._jobs)
        before = (self._jobs[name] for name in names[: names.index(job.name)])
        ahead = sum(not other.is_over for other in before) if job.state == "waiting" else 0
        return Status(job.state, ahead, job.notes, job.note, job.result, job.reason)

    def _drop(self, job: _Job) -> None:
        process = job.process
        if process is not None:
            process.kill()
        job.outputs.unlink(missing_ok=True)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                self._run(job)
            finally:
                self._store.release(job.order.files())

    def _run(self, job: _Job) -> None:
        with self._changed:
            if self._jobs.get(job.name) is not job or self._stopped.is_set():
                return
            job.state = "running"
            self._changed.notify_all()
        try:
            with RunnerProcess(job.order, self._store, job.outputs, code=self._code) as process:
                job.process = process
                if self._jobs.get(job.name) is not job:
                    return  # ended while it was being started
                result = process.result(lambda note: self._tell(job, note))
        except LostRunnerError as error:
            self._finish(job, "lost", None, str(error))
        else:
            self._finish(job, "done", result, "")

    def _tell(self, job: _Job, note: str) -> None:
        with self._changed:
            job.notes, job.note = job.notes + 1, note
            self._changed.notify_all()

    def _finish(
        self, job: _Job, state: State, result: Mapping[str, Any] | None, reason: str
    ) -> None:
        with self._changed:
            job.process, job.result, job.reason, job.state = None, result, reason, state
            if self._jobs.get(job.name) is not job:
                job.outputs.unlink(missing_ok=True)
            self._changed.notify_all()

    def _watch(self) -> None:
        """End jobs that nobody asks for any more."""
        while not self._stopped.wait(_WATCH_S):
            oldest = self._clock() - self._lease_s
            with self._changed:
                stale = [name for name, job in self._jobs.items() if job.asked < oldest]
            for name in stale:
                self.end(name)
