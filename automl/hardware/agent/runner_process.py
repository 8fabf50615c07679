"""Starting the process of a job, listening to it, and ending it with all that it started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from automl.hardware.agent.protocol import MeasureOrder, Order, order_to_json
from automl.hardware.agent.store import FileStore
from automl.hardware.process import how_it_ended
from automl.hardware.providers import LOADING_S

__all__ = ["LostRunnerError", "RunnerProcess"]

_START_S = 300.0
"""Room for slow disks; a Raspberry Pi imports onnxruntime in some seconds."""
_GRACE_S = 60.0
"""What a model may take beyond its ``max_seconds``, each time it is run: the measuring itself gives
up earlier, so this only ends what hangs for another reason."""
_ANSWER_S = 600.0
_END_S = 10.0
"""Between closing its stdout and ending a process needs no time worth mentioning."""
_TAIL_BYTES = 4000


class LostRunnerError(Exception):
    """The process ended without a result: killed, out of memory, or stuck."""


class RunnerProcess:
    """One process group that does one order; as a context it leaves nothing behind."""

    def __init__(self, order: Order, store: FileStore, outputs: Path, *, code: Path | None) -> None:
        """Start it.

        Raises:
            LostRunnerError: when the system cannot start a process.
        """
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the context ends
        self._is_late = self._is_over = False
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "automl.hardware.agent.runner"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=_environment(code, outputs.parent),
                process_group=0,
            )
        except OSError as error:
            self._stderr.close()
            raise LostRunnerError(f"no process could be started ({error.strerror})") from error
        self._timer = threading.Timer(_time_limit_s(order), self._give_up)
        self._timer.daemon = True
        self._timer.start()
        self._hand_over(order, store, outputs)

    def __enter__(self) -> RunnerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self.kill()
        self._is_over = True
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def kill(self) -> None:
        """End the process and all that it started."""
        if not self._is_over:  # also when only what it started is left of the group
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def result(self, note: Callable[[str], None]) -> dict[str, Any]:
        """Return what came of the order; ``note`` is called with every line of progress.

        Raises:
            LostRunnerError: when the process ended before.
        """
        assert self._process.stdout is not None
        for text in self._process.stdout:
            if not text.endswith(b"\n"):
                break  # cut off by a crash
            line: dict[str, Any] = json.loads(text)
            if "note" not in line:
                return line
            note(line["note"])
        if self._is_late:
            raise LostRunnerError("the measuring process gave no result in time")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self.kill()
        how = how_it_ended(self._process.wait(), self._tail())
        raise LostRunnerError(f"the measuring process {how}")

    def _hand_over(self, order: Order, store: FileStore, outputs: Path) -> None:
        assert self._process.stdin is not None
        message = {
            "order": order_to_json(order),
            "paths": {f"{kind}/{sha}": str(store.path(kind, sha)) for kind, sha in order.files()},
            "outputs": str(outputs),
            "max_bytes": store.max_upload_bytes,
        }
        with contextlib.suppress(BrokenPipeError):  # it died: its exit status tells how
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _give_up(self) -> None:
        self._is_late = True
        self.kill()

    def _tail(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read()[-_TAIL_BYTES:].decode(errors="replace")


def _environment(code: Path | None, folder: Path) -> dict[str, str]:
    """Return this process's environment, with temporary files where the agent removes them; inside
    an archive, with the folder that it was unpacked to."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    if code is not None:
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(code), *([before] if before else [])])
    return environment


def _time_limit_s(order: Order) -> float:
    if not isinstance(order, MeasureOrder):
        return _START_S + _ANSWER_S + LOADING_S[order.provider]
    # A model may be timed twice (once more alone) and run once for its memory.
    grace_s = _GRACE_S + LOADING_S[order.provider]
    return _START_S + sum(3 * (r.max_seconds + grace_s) for r in order.requests)
