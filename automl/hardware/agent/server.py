"""HTTP on a device: uploads, jobs and their answers, for those who know the token.

Only the standard library. Every connection serves one request, has a time limit for every read, and
there is a limit on how many there are. What is asked is checked by :mod:`automl.hardware.agent.checks`
first, so a stranger learns nothing but that there is an agent.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs

from automl.hardware.agent.checks import AccessRules, RefusedError, content_length
from automl.hardware.agent.fields import MessageError
from automl.hardware.agent.jobs import Jobs
from automl.hardware.agent.protocol import AgentFacts, FileKind, order_from, read_json
from automl.hardware.agent.store import FileStore

__all__ = ["AgentServer"]

_FILE = re.compile(r"/v1/(models|images|frames)/([0-9a-f]{64})")
_JOB = re.compile(r"/v1/jobs/([0-9a-f]{32})")
_OUTPUTS = re.compile(r"/v1/jobs/([0-9a-f]{32})/outputs")
_MOST_MESSAGE_BYTES = 1 << 20
_MOST_CONNECTIONS = 32
_SOCKET_S = 30.0
"""A client that sends or takes nothing for so long is given up."""
_MOST_WAIT_S = 30.0
_DRAIN_BYTES = 4 << 20
_DRAIN_S = 2.0
"""What is still being sent after a refusal is read for a moment: a connection that is closed with
unread bytes is reset, and the client would not see why."""


class AgentServer(ThreadingHTTPServer):
    """The server of an agent."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(
        self,
        address: tuple[str, int],
        *,
        rules: AccessRules,
        facts: AgentFacts,
        store: FileStore,
        jobs: Jobs,
    ) -> None:
        """Listen on (host, port); port 0 takes a free one.

        Raises:
            OSError: when the address cannot be used.
        """
        self.rules = rules
        self.facts = facts
        self.store = store
        self.jobs = jobs
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking for the name of this machine, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread, or close at once when there are too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pay no heed to clients that went away; tell of all else on stderr."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server_version = "automl-agent"
    sys_version = ""
    timeout = _SOCKET_S
    path = "-"
    """Until a first line was understood."""

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def handle_expect_100(self) -> bool:
        """Go on; a body is asked for when the request has been checked."""
        return True

    @property
    def _agent(self) -> AgentServer:
        return cast(AgentServer, self.server)

    def _serve(self) -> None:
        self.close_connection = True
        try:
            self._agent.rules.check(self.headers, self.connection.getsockname()[0])
            self._route()
        except RefusedError as refused:
            body = {"error": str(refused), "code": refused.code} | refused.details
            self._refuse(refused.status, body)
        except MessageError as error:
            self._refuse(400, {"error": f"the message cannot be used: {error}", "code": "message"})
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - told to the client, and on stderr
            traceback.print_exc()
            what = f"a defect of the agent: {type(error).__name__}"
            self._refuse(500, {"error": what, "code": "defect"})

    def _route(self) -> None:
        path, _, query = self.path.partition("?")
        if match := _FILE.fullmatch(path):
            if self.command == "PUT":
                return self._take_file(match[1], match[2])
        elif match := _JOB.fullmatch(path):
            return self._job(match[1], parse_qs(query))
        elif match := _OUTPUTS.fullmatch(path):
            if self.command == "GET":
                return self._send_outputs(match[1])
        elif path == "/v1/host" and self.command == "GET":
            return self._send(200, asdict(self._agent.facts))
        raise RefusedError(404, "unknown-path", "there is nothing under this path and method")

    def _take_file(self, kind: str, sha256: str) -> None:
        store = self._agent.store
        length = content_length(self.headers, store.max_upload_bytes)
        self._go_on()
        store.receive(cast(FileKind, kind), sha256, length, self.rfile)
        self._send(200, {"sha256": sha256})

    def _job(self, name: str, query: Mapping[str, list[str]]) -> None:
        jobs = self._agent.jobs
        if self.command == "PUT":
            length = content_length(self.headers, _MOST_MESSAGE_BYTES)
            self._go_on()
            jobs.submit(name, order_from(read_json(self.rfile.read(length))))
            self._send(200, {"job": name})
        elif self.command == "DELETE":
            jobs.end(name)
            self._send(200, {"job": name})
        else:
            wait_s = min(_whole(query, "wait"), _MOST_WAIT_S)
            status = jobs.wait(name, seen=_whole(query, "seen"), timeout_s=wait_s)
            self._send(200, asdict(status))

    def _send_outputs(self, name: str) -> None:
        with self._agent.jobs.outputs(name).open("rb") as stream:
            size_bytes = stream.seek(0, 2)
            stream.seek(0)
            self._head(200, "application/octet-stream", size_bytes)
            shutil.copyfileobj(stream, self.wfile)

    def _go_on(self) -> None:
        """Ask for the body of a client that waits to be asked."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()

    def _refuse(self, status: int, body: Mapping[str, Any]) -> None:
        self._send(status, body)
        self.connection.settimeout(_DRAIN_S)
        until, left = time.monotonic() + _DRAIN_S, _DRAIN_BYTES
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and time.monotonic() < until and (read := self.rfile.read1(1 << 16)):
                left -= len(read)

    def _send(self, status: int, body: Mapping[str, Any]) -> None:
        content = json.dumps(body).encode()
        self._head(status, "application/json", len(content))
        self.wfile.write(content)

    def _head(self, status: int, kind: str, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Tell of refusals, uploads and jobs; not of a client that asks how far its job is."""
        number = int(code)  # an HTTPStatus prints as its name
        if number >= 400 or self.command != "GET":
            self.log_message(
                "%s %s: %d", self.command or "-", self.path.partition("?")[0][:100], number
            )

    def log_message(self, format: str, *args: Any) -> None:
        """Write a line on stderr, without headers and with nothing that moves a terminal's cursor."""
        text = (format % args).encode("ascii", "backslashreplace").decode()
        plain = "".join(c if c.isprintable() else "?" for c in text)
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {self.client_address[0]} {plain}\n")


def _whole(query: Mapping[str, list[str]], name: str) -> int:
    text = query.get(name, ["0"])[-1]
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise MessageError(f"{name}: a whole number; got {text[:60]!a}")
    return int(text)
