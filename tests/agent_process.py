"""A real agent in a process of its own, and a line to it that can be made slow or cut."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from automl.hardware.agent.protocol import MeasureOrder, order_to_json
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.hardware.remote import RemoteDevice
from automl.records import Measurement

TOKEN = "a-token-of-this-test-1234567890"
_AGENT = (sys.executable, "-P", "-m", "automl", "agent")


@dataclass(frozen=True)
class Reply:
    """What the agent answered."""

    status: int
    body: bytes


class AgentProcess:
    """``automl agent`` with a known token; as a context it is ended, and must leave nothing."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        command: Sequence[str] = _AGENT,
        port: int = 0,
        host: str | None = "127.0.0.1",
        token: str | None = TOKEN,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Start it, with its temporary files in a folder, and wait until it listens.

        Without a host it is not told where to listen, and is asked on this machine.
        """
        self.host = host or "127.0.0.1"
        told = [] if host is None else ["--host", host]
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._errors = (folder / "stderr.txt").open("ab")
        extra = {"AUTOML_AGENT_TOKEN": token or "", "TMPDIR": str(folder)}
        base = os.environ if environment is None else environment
        self.process = subprocess.Popen(
            [*command, *told, "--port", str(port), *options],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**base, **extra},
            preexec_fn=before,
        )
        self.greeting = self._read_greeting()
        self.port = int(self.greeting.split("device: ")[1].splitlines()[0].rpartition(":")[2])
        self.url = f"http://{self.host}:{self.port}"

    def __enter__(self) -> AgentProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read_greeting(self) -> str:
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("Stop it with"):
                return "".join(lines)
        raise AssertionError(f"no agent: {self.process.wait()}: {''.join(lines)} {self.errors()}")

    def errors(self) -> str:
        """What it wrote to stderr."""
        return (self.folder / "stderr.txt").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._errors.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def descendants(self) -> list[psutil.Process]:
        """The processes that it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def listens_on(self) -> list[tuple[str, int]]:
        """The addresses and ports on which it takes connections, as the system tells them."""
        connections = psutil.Process(self.process.pid).net_connections("inet")
        listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN]
        return [(str(address.ip), int(address.port)) for address in listening]

    def workers(self) -> list[psutil.Process]:
        """Measuring processes that have loaded the runtime."""
        found = []
        for child in self.descendants():
            with contextlib.suppress(psutil.Error):
                if "automl.hardware.worker" in child.cmdline() and any(
                    "onnxruntime" in m.path for m in child.memory_maps()
                ):
                    found.append(child)
        return found

    def device(self, **options: Any) -> RemoteDevice:
        """A client of it that loses patience quickly."""
        quick: dict[str, Any] = {"patience_s": 15.0, "contact_s": 2.0}
        return RemoteDevice(self.url, TOKEN, **(quick | options))

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request as any program could."""
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        with contextlib.closing(
            http.client.HTTPConnection(self.host, self.port, timeout=20)
        ) as connection:
            connection.request(method, path, body, sent | dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, response.read())


class Call:
    """A measuring in another thread, with its lines of progress."""

    def __init__(self, device: RemoteDevice, requests: Sequence[MeasureRequest]) -> None:
        self.lines: list[str] = []
        self._pool = ThreadPoolExecutor(1)
        self._answers = self._pool.submit(device.measure, requests, progress=self.lines.append)

    def answers(self) -> tuple[Measurement | MeasureFailure, ...]:
        """What came of it."""
        with self._pool:
            return self._answers.result(60)


def measured(answer: Measurement | MeasureFailure) -> Measurement:
    """The measurement that an answer must be."""
    assert isinstance(answer, Measurement), answer
    return answer


def failed(answer: Measurement | MeasureFailure) -> str:
    """Why there is none, as there must not be."""
    assert isinstance(answer, MeasureFailure), answer
    return answer.error


def order_of(*requests: MeasureRequest) -> dict[str, Any]:
    """A job as a client sends it."""
    return order_to_json(MeasureOrder(requests))


def wait_until(is_so: Callable[[], object], *, seconds: float = 20.0) -> bool:
    """Whether something becomes true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_so():
            return True
        time.sleep(0.02)
    return False


def files_in(folder: Path) -> list[str]:
    """Temporary folders that agents left behind."""
    return [path.name for path in folder.glob("automl-*")]


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Line:
    """A line to an agent, as slow as is asked, that can be cut and mended."""

    def __init__(
        self, host: str, port: int, *, delay_s: float = 0.0, own: str = "127.0.0.1"
    ) -> None:
        self._target = (host, port)
        self._delay_s = delay_s
        self._pairs: list[socket.socket] = []
        self._is_cut = False
        self._lock = threading.Lock()
        self._server = socket.create_server((own, 0))
        self.url = f"http://{own}:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def cut(self) -> None:
        """Drop every connection, and those that come."""
        with self._lock:
            self._is_cut = True
            for one in self._pairs:
                _end(one)
            self._pairs.clear()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        if self._is_cut:
            _end(client)
            return
        try:
            agent = socket.create_connection(self._target, timeout=5)
        except OSError:
            _end(client)
            return
        self._pairs += [client, agent]
        for source, sink in ((client, agent), (agent, client)):
            threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 16):
                time.sleep(self._delay_s)
                sink.sendall(content)
            sink.shutdown(socket.SHUT_WR)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
