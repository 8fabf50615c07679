"""The line to an agent: one HTTP request at a time, asked again while the agent does not answer.

Every request of the protocol may be repeated: it changes nothing the second time. So a dropped
connection, a link that is down for a while and an agent that is being started again look alike: the
same request is sent again, after pauses that grow, for as long as patience lasts. Neither proxies nor
redirects are followed, so the token goes to the agent and nowhere else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

from automl.errors import AutomlError
from automl.hardware.agent.fields import MessageError, read_text
from automl.hardware.agent.protocol import read_json

__all__ = ["AgentError", "AgentLink", "LinkError"]

_CONNECT_S = 5.0
_CHECK_S = 60.0
"""A small device looks through a large file before it answers."""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
_FAREWELL_S = 2.0
_MOST_MESSAGE_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 16

_Answer = TypeVar("_Answer")


class LinkError(Exception):
    """The agent did not answer for as long as patience lasts; the message says how it failed."""


class AgentError(Exception):
    """The agent answered that it does not do what it was asked."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        try:
            message, self.code = read_text(body, "error"), read_text(body, "code")
        except MessageError:
            message, self.code = f"HTTP status {status}", "unknown"
        super().__init__(plain(message))
        self.status = status
        self.body = body


class AgentLink:
    """Requests to one agent."""

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        *,
        patience_s: float,
        contact_s: float,
        answer_s: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            host: name or address.
            port: of the agent.
            token: the secret that it asks for.
            patience_s: how long an agent that answered once may be silent.
            contact_s: the same for one that never answered: it is more likely not there at all.
            answer_s: how long one answer may take before the connection counts as dropped.
            sleep: waits a number of seconds.
            clock: seconds that never go back.
        """
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._host = host
        self._port = port
        self._token = token
        self._patience_s = patience_s
        self._contact_s = contact_s
        self._answer_s = answer_s
        self._sleep = sleep
        self._clock = clock
        self._was_there = False
        self.tell: Callable[[str], None] = lambda _: None
        """Told when the agent does not answer."""

    def ask(
        self,
        method: str,
        path: str,
        message: Mapping[str, Any] | None = None,
        *,
        wait_s: float = 0.0,
    ) -> dict[str, Any]:
        """Send a message, if any, and return the answer.

        Args:
            method: of HTTP.
            path: of the protocol.
            message: to send.
            wait_s: how long the agent was asked to wait before it answers.

        Raises:
            LinkError: when it does not answer.
            AgentError: when it refuses.
            AutomlError: when asking again is no use: a wrong token, a wrong name, no agent.
        """
        body = None if message is None else json.dumps(message).encode()
        return self._persist(lambda: self._exchange(method, path, body, self._answer_s + wait_s))

    def upload(self, path: str, file: Path) -> None:
        """Send a file.

        Raises:
            OSError: when it cannot be opened.
            LinkError: when the agent does not answer.
            AgentError: when it refuses the file.
        """
        with file.open("rb") as stream:

            def attempt() -> None:
                stream.seek(0)
                self._exchange("PUT", path, stream, _CHECK_S)

            self._persist(attempt)

    def download(self, path: str, file: Path, *, max_bytes: int) -> None:
        """Fetch what is no message into a file.

        Raises:
            LinkError: when the agent does not answer.
            AgentError: when it has nothing there, or more than ``max_bytes``.
        """
        self._persist(lambda: self._fetch(path, file, max_bytes))

    def farewell(self, path: str) -> None:
        """Say that a job is not needed any more; once, and without waiting for long."""
        with contextlib.suppress(OSError, http.client.HTTPException, AgentError, AutomlError):
            self._exchange("DELETE", path, None, _FAREWELL_S, connect_s=_FAREWELL_S)

    def _persist(self, attempt: Callable[[], _Answer]) -> _Answer:
        since, pause = self._clock(), _FIRST_PAUSE_S
        while True:
            try:
                answer = attempt()
            except (OSError, http.client.HTTPException) as error:
                why = plain(str(error) or type(error).__name__)
                patience = self._patience_s if self._was_there else self._contact_s
                if self._clock() - since + pause > patience:
                    raise LinkError(
                        f"{self.url} gave no answer for {patience:.0f} s: {why}"
                    ) from error
                self.tell(f"{self.url} does not answer ({why}); trying again")
                self._sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            except AgentError:
                self._was_there = True
                raise
            else:
                self._was_there = True
                return answer

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None,
        answer_s: float,
        *,
        connect_s: float = _CONNECT_S,
    ) -> dict[str, Any]:
        with (
            contextlib.closing(self._connect(answer_s, connect_s)) as connection,
            self._send(connection, method, path, body) as response,
        ):
            content = response.read(_MOST_MESSAGE_BYTES + 1)
            if response.length and len(content) <= _MOST_MESSAGE_BYTES:
                raise http.client.IncompleteRead(content, response.length)
            return self._check(response, content)

    def _connect(self, answer_s: float, connect_s: float) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(
            self._host, self._port, timeout=connect_s, blocksize=_CHUNK_BYTES
        )
        connection.connect()
        connection.sock.settimeout(answer_s)
        return connection

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None,
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}"}
        if body is not None:
            headers["Content-Length"] = str(_length(body))
        try:
            connection.request(method, path, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            # A refused upload is cut off; the reason may have arrived all the same.
            with contextlib.suppress(OSError, http.client.HTTPException):
                return connection.getresponse()
            raise
        return connection.getresponse()

    def _fetch(self, path: str, file: Path, max_bytes: int) -> None:
        with (
            contextlib.closing(self._connect(self._answer_s, _CONNECT_S)) as connection,
            self._send(connection, "GET", path, None) as response,
        ):
            if response.status != 200:
                self._check(response, response.read(_MOST_MESSAGE_BYTES + 1))
            if response.length is None or response.length > max_bytes:
                raise AgentError(200, {"error": "it sent more than it may", "code": "too-large"})
            with file.open("wb") as stream:
                while chunk := response.read(_CHUNK_BYTES):
                    stream.write(chunk)
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)

    def _check(self, response: http.client.HTTPResponse, content: bytes) -> dict[str, Any]:
        try:
            if len(content) > _MOST_MESSAGE_BYTES:
                raise MessageError(f"it sent more than {_MOST_MESSAGE_BYTES:,} bytes")
            body = read_json(content)
        except MessageError as error:
            raise AutomlError(
                f"What answers at {self.url} is no agent of automl ({error}). Check the address, or "
                "start one there with `automl agent`."
            ) from None
        if response.status < 400:
            return body
        refused = AgentError(response.status, body)
        if refused.code == "token":
            raise AutomlError(
                f"The agent at {self.url} does not accept the token. It prints one at every start, "
                "unless AUTOML_AGENT_TOKEN is set there: set the same here and there."
            )
        if refused.code in ("host", "origin"):
            raise AutomlError(f"The agent at {self.url} refuses to answer: {refused}.")
        raise refused


def plain(text: str) -> str:
    """Return what another machine says as one line that is safe to print and not too long."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown if len(shown) <= 500 else f"{shown[:500]}…"


def _length(body: bytes | IO[bytes]) -> int:
    if isinstance(body, bytes):
        return len(body)
    end = body.seek(0, 2)
    body.seek(0)
    return end
