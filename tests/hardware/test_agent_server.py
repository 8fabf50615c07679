"""A real agent over HTTP: who is refused, and what."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from agent_process import TOKEN, AgentProcess, order_of, wait_until

import automl
from automl.hardware.agent.pack import write_archive

Make = Callable[..., Any]
AGENT_OPTIONS = ("--max-upload", "1MiB", "--allow-host", "bench.example")
_JOB = "/v1/jobs/" + "a" * 32


def _code(content: bytes) -> str:
    code: str = json.loads(content)["code"]
    return code


def _send(agent: AgentProcess, content: bytes, **more: Any) -> Any:
    digest = hashlib.sha256(content).hexdigest()
    return agent.ask("PUT", f"/v1/models/{digest}", content, **more)


def test_the_greeting_tells_how_to_use_it_and_hides_a_given_token(agent: AgentProcess) -> None:
    assert f"    device: http://127.0.0.1:{agent.port}\n" in agent.greeting
    assert f"ssh -N -L {agent.port}:127.0.0.1:{agent.port} " in agent.greeting
    assert TOKEN not in agent.greeting


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_agent_that_is_told_no_address_listens_to_this_machine_only(
    is_packed: bool, tmp_path: Path
) -> None:
    command: dict[str, Any] = {}
    if is_packed:
        write_archive(tmp_path / "agent.pyz")
        command["command"] = (sys.executable, str(tmp_path / "agent.pyz"))
    with AgentProcess(tmp_path / "agent", host=None, **command) as agent:
        assert agent.listens_on() == [("127.0.0.1", agent.port)]
        assert f"    device: http://127.0.0.1:{agent.port}\n" in agent.greeting
        assert agent.ask("GET", "/v1/host").status == 200


def test_a_token_that_is_not_given_is_made_anew_and_shown_once(tmp_path: Path) -> None:
    tokens = set()
    for number in range(2):
        with AgentProcess(tmp_path / f"{number}", token=None) as agent:
            line = agent.greeting.split("export AUTOML_AGENT_TOKEN=")[1]
            token = line.splitlines()[0]
            assert len(token) >= 43, "32 random bytes"
            assert agent.ask("GET", "/v1/host", token=token).status == 200
            assert agent.ask("GET", "/v1/host", token=TOKEN).status == 401
            tokens.add(token)
    assert len(tokens) == 2


def test_those_who_know_the_token_learn_what_the_agent_is(agent: AgentProcess) -> None:
    reply = agent.ask("GET", "/v1/host")
    facts = json.loads(reply.body)
    assert reply.status == 200
    assert facts["protocol"] == 1
    assert facts["version"] == automl.__version__
    assert facts["max_upload_bytes"] == 1 << 20
    assert facts["host"]["cores"] >= 1


@pytest.mark.parametrize(
    ("token", "path"),
    [
        (None, "/v1/host"),
        ("wrong", "/v1/models/" + "0" * 64),
        (TOKEN + "x", "/"),
        (TOKEN.upper(), _JOB),
    ],
)
def test_a_missing_or_wrong_token_is_refused_late_and_says_nothing(
    agent: AgentProcess, token: str | None, path: str
) -> None:
    started = time.monotonic()
    reply = agent.ask("GET", path, token=token)
    assert (reply.status, _code(reply.body)) == (401, "token")
    assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.example"}, 403, "host"),
        ({"Host": "127.0.0.1.evil.example:8420"}, 403, "host"),
        ({"Host": "10.1.2.3"}, 403, "host"),
        ({"Host": "a b"}, 400, "host"),
        ({"Origin": "http://localhost"}, 403, "origin"),
        ({"Origin": "null"}, 403, "origin"),
        ({"Host": "bench.example:1234"}, 200, None),
        ({"Host": "localhost:9000"}, 200, None),
    ],
)
def test_other_hosts_and_web_pages_are_refused(
    agent: AgentProcess, headers: dict[str, str], status: int, code: str | None
) -> None:
    reply = agent.ask("GET", "/v1/host", headers=headers)
    assert (reply.status, json.loads(reply.body).get("code")) == (status, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/etc/passwd"),
        ("GET", "/../../etc/passwd"),
        ("GET", "//["),
        ("GET", "http://127.0.0.1/v1/host"),
        ("GET", "/v1/models/" + "0" * 64),
        ("GET", "/v1/host/"),
        ("PUT", "/v1/models/..%2f..%2fetc%2fpasswd"),
        ("PUT", "/v1/models/" + "0" * 63),
        ("PUT", "/v1/models/" + "A" * 64),
        ("PUT", "/v1/other/" + "0" * 64),
        ("PUT", "/v1/jobs/../x"),
        ("DELETE", "/v1/host"),
    ],
)
def test_there_is_nothing_under_other_paths(agent: AgentProcess, method: str, path: str) -> None:
    reply = agent.ask(method, path, b"x" if method == "PUT" else None)
    assert (reply.status, _code(reply.body)) == (404, "unknown-path")


def test_other_methods_are_not_served(agent: AgentProcess) -> None:
    assert agent.ask("POST", "/v1/host", b"x").status == 501
    assert agent.ask("OPTIONS", "/v1/host").status == 501


def test_a_file_that_is_too_large_is_refused_before_it_is_read(agent: AgentProcess) -> None:
    reply = _send(agent, bytes((1 << 20) + 1))
    assert (reply.status, _code(reply.body)) == (413, "too-large")
    assert "at most 1,048,576 bytes are taken; got 1,048,577" in reply.body.decode()


def test_a_file_of_another_hash_is_refused(agent: AgentProcess, make_network: Make) -> None:
    content = make_network().path.read_bytes()
    reply = agent.ask("PUT", f"/v1/models/{'0' * 64}", content)
    assert (reply.status, _code(reply.body)) == (422, "hash")


def test_files_that_must_not_be_run_are_refused(
    agent: AgentProcess, make_network: Make, tmp_path: Path
) -> None:
    network = make_network()
    onnx.save(
        onnx.load(network.path), tmp_path / "e.onnx", save_as_external_data=True, size_threshold=0
    )
    cases = {
        "external data": (tmp_path / "e.onnx").read_bytes(),
        "it is not an ONNX model": b"#!/bin/sh\nrm -rf /\n",
        "it is cut off or damaged": network.path.read_bytes()[:-300],
    }
    for why, content in cases.items():
        reply = _send(agent, content)
        assert (reply.status, _code(reply.body)) == (422, "refused")
        assert why in reply.body.decode()


def test_a_body_without_a_length_is_refused(agent: AgentProcess) -> None:
    with socket.create_connection(("127.0.0.1", agent.port), timeout=10) as line:
        line.sendall(
            f"PUT /v1/models/{'0' * 64} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}"
            "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".encode()
        )
        assert line.recv(100).startswith(b"HTTP/1.1 411 ")


def test_an_upload_that_breaks_off_leaves_no_file(agent: AgentProcess) -> None:
    before = sorted(agent.folder.rglob("upload-*"))
    with socket.create_connection(("127.0.0.1", agent.port), timeout=10) as line:
        line.sendall(
            f"PUT /v1/models/{'0' * 64} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}"
            "\r\nContent-Length: 1000\r\n\r\nabc".encode()
        )
        assert wait_until(lambda: list(agent.folder.rglob("upload-*")) != before)
    assert wait_until(lambda: sorted(agent.folder.rglob("upload-*")) == before)


def test_garbage_neither_stops_the_agent_nor_leaves_a_traceback(agent: AgentProcess) -> None:
    draw = random.Random(0)
    whole = (
        f"PUT /v1/jobs/{'f' * 32}?seen=1&wait=2 HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: 20\r\n\r\n{{'kind': 'measure'}}  "
    ).encode()
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged) - 60)] = draw.randrange(256)
        if f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode() not in damaged:
            continue  # refused late: it would only take time
        with socket.create_connection(("127.0.0.1", agent.port), timeout=10) as line:
            line.sendall(bytes(damaged))
            line.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                line.recv(1000)
    assert agent.ask("GET", "/v1/host").status == 200
    assert "Traceback" not in agent.errors()
    assert "\x1b" not in agent.errors()


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(
    agent: AgentProcess, make_network: Make
) -> None:
    network = make_network()
    content = network.path.read_bytes()
    head = (
        f"PUT /v1/models/{network.sha256} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(content)}\r\nExpect: 100-continue\r\n"
    )
    with socket.create_connection(("127.0.0.1", agent.port), timeout=10) as line:
        line.sendall(f"{head}Authorization: Bearer wrong\r\n\r\n".encode())
        assert line.recv(100).startswith(b"HTTP/1.1 401 ")
    with socket.create_connection(("127.0.0.1", agent.port), timeout=10) as line:
        line.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert line.recv(100).startswith(b"HTTP/1.1 100 ")
        line.sendall(content)
        assert line.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the message is not JSON (JSONDecodeError)"),
        (b"[" * 100_000, "the message is not JSON (RecursionError)"),
        (b"[1]", "a message is a JSON object; got [1]"),
        (b"{}", "kind: a text of at most 1000 characters; got None"),
        (b'{"kind": "run"}', "kind: 'measure' or 'answer'; got 'run'"),
        (b'{"kind": "measure", "requests": []}', "requests: at least one; got none"),
        (b'{"kind": "answer", "model": "../x"}', "model: 64 hexadecimal digits; got '../x'"),
    ],
)
def test_messages_of_another_form_are_refused(agent: AgentProcess, body: bytes, why: str) -> None:
    reply = agent.ask("PUT", _JOB, body)
    assert reply.status == 400
    assert json.loads(reply.body)["error"] == f"the message cannot be used: {why}"


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("threads", 0, "threads: a whole number from 1 to 1024; got 0"),
        ("threads", True, "threads: a whole number from 1 to 1024; got True"),
        ("min_runs", 10**9, "min_runs: a whole number from 1 to 100000; got 1000000000"),
        ("max_seconds", 1e9, "max_seconds: a number from 0 to 600; got 1000000000.0"),
        ("max_seconds", float("nan"), "max_seconds: a number from 0 to 600; got nan"),
        ("scope", "all", "scope: one of model, frame, file; got 'all'"),
        ("frame_size", [0, 5], "frame_size: two whole numbers from 1; got [0, 5]"),
        ("frame_size", [10**6, 10**6], "frame_size: at most 178,956,970 pixels"),
        ("image", "/etc/passwd", "image: 'images/' or 'frames/' and a SHA-256; got '/etc/passwd'"),
        ("image", "models/" + "0" * 64, "image: 'images/' or 'frames/' and a SHA-256"),
        ("budgets", [{"percentile": "p42", "limit_ms": 1}], "percentile: one of p50, p90"),
        ("memory", 1, "memory: true or false; got 1"),
    ],
)
def test_requests_out_of_bounds_are_refused(
    agent: AgentProcess, make_network: Make, field: str, value: object, why: str
) -> None:
    order = order_of(make_network().request(path=""))
    order["requests"][0][field] = value
    reply = agent.ask("PUT", _JOB, json.dumps(order).encode())
    assert reply.status == 400
    assert json.loads(reply.body)["error"].startswith(f"the message cannot be used: {why}")


def test_a_job_names_the_files_that_are_missing(agent: AgentProcess, make_network: Make) -> None:
    network = make_network(channels=3)
    body = json.dumps(order_of(network.request(path=""))).encode()
    reply = agent.ask("PUT", _JOB, body)
    assert (reply.status, _code(reply.body)) == (409, "missing")
    assert json.loads(reply.body)["files"] == [["models", network.sha256]]
    assert agent.ask("GET", _JOB).status == 404


def test_a_crowd_of_silent_connections_does_not_take_the_agent_down(agent: AgentProcess) -> None:
    silent = [socket.create_connection(("127.0.0.1", agent.port), timeout=5) for _ in range(60)]
    try:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            agent.ask("GET", "/v1/host")
    finally:
        for one in silent:
            one.close()

    def is_served() -> bool:
        try:
            return agent.ask("GET", "/v1/host").status == 200
        except (ConnectionError, http.client.HTTPException):
            return False

    assert wait_until(is_served)


@pytest.mark.parametrize(
    ("options", "environment", "why"),
    [
        (["--cores", "4095"], {}, "--cores: processors of this machine ("),
        (["--cores", "a-b"], {}, "--cores: numbers and ranges such as 0-3 or 2,3; got 'a-b'."),
        (["--max-upload", "5"], {}, "--max-upload: a size is a number and a unit"),
        (["--host", "203.0.113.7"], {}, "The agent cannot listen on 203.0.113.7, port 8420"),
        ([], {"AUTOML_AGENT_TOKEN": "sesame"}, "A token has at least 16 characters out of"),
    ],
)
def test_a_command_line_that_cannot_be_followed_is_explained(
    options: list[str], environment: dict[str, str], why: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "automl", "agent", *options],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
        timeout=30,
    )
    assert ended.returncode in (1, 2)
    assert why in ended.stderr
    assert "sesame" not in ended.stderr
