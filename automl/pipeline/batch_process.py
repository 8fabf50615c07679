"""One spec of a batch in a process of its own, so that however it ends, the others go on.

The process is told to stop when the batch is stopped, and when the batch is killed: on Linux the kernel
tells it (prctl(2), PR_SET_PDEATHSIG), so that no run goes on that nobody waits for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.errors import AutomlError
from automl.pipeline.folder import RunFolder

__all__ = ["Ended", "run_apart"]

_PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""
_GRACE_S = 45.0
"""A run that is told to stop writes its state within 10 s; Ray takes some more to end."""
_OVERTIME = 1.5
_OVERTIME_S = 900.0
"""A run ends by itself at ``search.time``, but for its last trial, the proof and the report."""
_LOCK_WAIT_S = 60.0
"""So long a run of a batch that was killed may still take to end."""


@dataclass(frozen=True)
class Ended:
    """How the process of a run ended."""

    code: int
    """Exit code; negative for the signal that ended it."""
    seconds: float
    error: str | None
    """What it said last of an error."""


def run_apart(
    spec: str, folder: Path, *, address: str | None, allowed_s: float, log: Path
) -> Ended:
    """Run a spec in ``folder``, or resume the run that is there; return how that ended.

    What the process writes is added to ``log``.

    Args:
        folder: of the run; its parent is what the spec's ``output`` is replaced by.
        allowed_s: the spec's own time; a process that takes far longer is ended.

    Raises:
        KeyboardInterrupt: on Ctrl-C or SIGTERM, when the process has ended in good order.
    """
    started = time.monotonic()
    if RunFolder(folder).is_locked() and not _wait_for(
        lambda: not RunFolder(folder).is_locked(), _LOCK_WAIT_S
    ):
        return Ended(2, time.monotonic() - started, f"'{folder}' is in use by another process.")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        before = stream.tell()
        process = subprocess.Popen(
            _command(spec, folder, address),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,  # Ctrl-C reaches the batch alone, which passes it on
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        code = _wait(process, allowed_s * _OVERTIME + _OVERTIME_S)
    return Ended(code, time.monotonic() - started, _last_error(log, before, code))


def _command(spec: str, folder: Path, address: str | None) -> Sequence[str]:
    place = [] if address is None else ["--address", address]
    if (folder / "spec.json").is_file():
        what = ["resume", str(folder), *place]
    else:
        what = ["run", spec, "--output", str(folder.parent), *place]
    return [sys.executable, "-m", "automl", *what]


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when the batch ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(process: subprocess.Popen[bytes], limit_s: float) -> int:
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return _stop(process)
    except KeyboardInterrupt:
        _stop(process)
        raise


def _stop(process: subprocess.Popen[bytes]) -> int:
    """Ask a run to keep what it has and end; end it when it does not. A second Ctrl-C ends it at once."""
    try:
        process.send_signal(signal.SIGINT)
        return process.wait(_GRACE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.2)
    return True


def _last_error(log: Path, start: int, code: int) -> str | None:
    """Return the error that a process wrote last, or what its end means."""
    with log.open("rb") as stream:
        stream.seek(start)
        text = stream.read().decode("utf-8", "replace")
    mark = text.rfind("Error: ")
    if mark >= 0 and (mark == 0 or text[mark - 1] == "\n"):
        return text[mark + len("Error: ") :].strip()
    if code < 0:
        hint = " (most often the machine ran out of memory)" if code == -signal.SIGKILL else ""
        return f"Its process was ended by signal {-code}{hint}."
    return (
        None if code in (0, AutomlError.exit_code + 2) else f"Its process ended with code {code}."
    )
