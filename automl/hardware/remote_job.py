"""One job on an agent, from the client's side: asking for it, sending its files, awaiting its end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from automl.hardware.agent.fields import (
    MessageError,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from automl.hardware.agent.protocol import FileKind, Order, order_to_json
from automl.hardware.remote_link import AgentError, AgentLink, LinkError, plain

__all__ = ["FileKey", "LostJobError", "RemoteJob", "upload"]

FileKey = tuple[FileKind, str]
"""What a file is for, and its SHA-256."""

_WAIT_S = 5.0
"""A longer wait would find out later that the link is cut; a shorter one would disturb the device."""
_MOST_WAITING_S = 1800.0
"""How long other clients may keep the device."""
_UPLOADS = 3
_FIRST_PAUSE_S = 1.0
_GONE = ("unknown-job", "no-outputs")
_LASTING = (413, 422)
"""The same file will be refused again."""


class LostJobError(Exception):
    """The agent has no result: it was started again, its process died, or it was busy for too long.
    The same job may succeed in another attempt."""


def upload(
    link: AgentLink, key: FileKey, file: Path, *, sleep: Callable[[float], None]
) -> str | None:
    """Send a file; return why the agent does not take it, or ``None``.

    What may pass, such as a full disk, is tried again after pauses that grow.

    Raises:
        LinkError: when the agent does not answer.
    """
    pause, why = _FIRST_PAUSE_S, ""
    for attempt in range(_UPLOADS):
        if attempt:
            sleep(pause)
            pause *= 2
        try:
            link.upload(f"/v1/{key[0]}/{key[1]}", file)
        except AgentError as error:
            why = str(error)
            if error.status in _LASTING:
                return why
        except OSError as error:  # of the file itself: those of the network are LinkError
            return f"the file cannot be read ({error.strerror})"
        else:
            return None
    return f"{why} ({_UPLOADS} attempts)"


class RemoteJob:
    """A job under a name of its own; as a context, the agent forgets it at the end."""

    def __init__(self, link: AgentLink, order: Order, *, sleep: Callable[[float], None]) -> None:
        """Prepare a job; nothing is sent yet."""
        self._link = link
        self._order = order
        self._sleep = sleep
        self.path = f"/v1/jobs/{secrets.token_hex(16)}"
        self._is_known = False

    def __enter__(self) -> RemoteJob:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_known and not isinstance(error, LinkError):
            self._link.farewell(self.path)

    def submit(self) -> list[FileKey]:
        """Ask for the job; return the files that must be sent first, after which to ask again.

        Raises:
            LinkError: when the agent does not answer.
            LostJobError: when it does not take the job.
        """
        pause, until = _FIRST_PAUSE_S, time.monotonic() + _MOST_WAITING_S
        while True:
            self._is_known = True  # also when the answer is lost
            try:
                self._link.ask("PUT", self.path, order_to_json(self._order))
            except AgentError as error:
                if error.code == "missing":
                    return _missing(error, self._order)
                if error.code != "busy" or time.monotonic() > until:
                    raise LostJobError(str(error)) from error
                self._sleep(pause)
                pause = min(2 * pause, _WAIT_S)
            else:
                return []

    def result(self, progress: Callable[[str], None], *, limit_s: float) -> Mapping[str, Any]:
        """Wait for the end and return what came of it.

        Args:
            progress: called with every line that the agent tells.
            limit_s: how long the job may take once it runs.

        Raises:
            LinkError: when the agent does not answer.
            LostJobError: when there is no result.
        """
        seen, begun = 0, time.monotonic()
        is_running = False
        while True:
            status = self._status(seen)
            state, notes = read_text(status, "state"), read_integer(status, "notes", 0, 10**6)
            if notes > seen:
                seen = notes
                progress(plain(read_text(status, "note")))
            if state == "done":
                return read_object(status, "result")
            if state == "lost":
                raise LostJobError(plain(read_text(status, "reason")))
            if state == "running" and not is_running:
                is_running, begun = True, time.monotonic()
            if state == "waiting":
                progress(f"waiting for the device: {read_integer(status, 'ahead', 0, 1000)} before")
            allowed_s = limit_s if is_running else _MOST_WAITING_S
            if time.monotonic() - begun > allowed_s:
                doing = "gave no result" if is_running else "was busy with other work"
                raise LostJobError(f"the device {doing} for {allowed_s / 60:.0f} min")

    def fetch(self, file: Path, *, max_bytes: int) -> None:
        """Fetch the outputs of a job that is done.

        Raises:
            LinkError: when the agent does not answer.
            LostJobError: when it does not have them any more.
        """
        try:
            self._link.download(f"{self.path}/outputs", file, max_bytes=max_bytes)
        except AgentError as error:
            raise LostJobError(str(error)) from error

    def _status(self, seen: int) -> dict[str, Any]:
        try:
            return self._link.ask(
                "GET", f"{self.path}?seen={seen}&wait={_WAIT_S:.0f}", wait_s=_WAIT_S
            )
        except AgentError as error:
            why = "the agent was started again" if error.code in _GONE else str(error)
            raise LostJobError(why) from error


def _missing(error: AgentError, order: Order) -> list[FileKey]:
    wanted = order.files()
    try:
        listed = [(kind, sha) for kind, sha in read_list(error.body, "files", len(wanted))]
    except (MessageError, TypeError, ValueError):
        listed = []
    missing = [key for key in listed if key in wanted]
    return missing or sorted(wanted)
