"""The jobs of a real agent, and that nothing of it stays behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from agent_process import TOKEN, AgentProcess, files_in, order_of, wait_until

Make = Callable[..., Any]
AGENT_OPTIONS = ("--max-upload", "1MiB")
_JOB = "/v1/jobs/" + "a" * 32


def _code(content: bytes) -> str:
    code: str = json.loads(content)["code"]
    return code


def _send(agent: AgentProcess, content: bytes, **more: Any) -> Any:
    digest = hashlib.sha256(content).hexdigest()
    return agent.ask("PUT", f"/v1/models/{digest}", content, **more)


def _running(agent: AgentProcess, make_network: Make, job: str, **changes: Any) -> None:
    """Begin a job that lasts."""
    network = make_network("slow.onnx")
    assert _send(agent, network.path.read_bytes()).status == 200
    request = network.request(path="", min_seconds=60.0, max_seconds=60.0, **changes)
    assert agent.ask("PUT", job, json.dumps(order_of(request)).encode()).status == 200
    assert wait_until(agent.workers)


def test_a_job_that_is_asked_twice_is_done_once_and_its_name_taken(
    agent: AgentProcess, make_network: Make
) -> None:
    network = make_network()
    _send(agent, network.path.read_bytes())
    job = "/v1/jobs/" + "b" * 32
    body = json.dumps(order_of(network.request(path=""))).encode()
    assert [agent.ask("PUT", job, body).status for _ in range(2)] == [200, 200]
    assert wait_until(lambda: json.loads(agent.ask("GET", job).body)["state"] == "done")
    result = json.loads(agent.ask("GET", job).body)["result"]
    assert agent.ask("PUT", job, body).status == 200
    assert json.loads(agent.ask("GET", job).body)["result"] == result, "not measured again"
    other = json.dumps(order_of(network.request(path="", min_runs=99))).encode()
    reply = agent.ask("PUT", job, other)
    assert (reply.status, _code(reply.body)) == (409, "other-order")
    assert agent.ask("DELETE", job).status == 200
    assert agent.ask("GET", job).status == 404


def test_one_job_runs_at_a_time_and_an_ended_one_makes_way(
    agent: AgentProcess, make_network: Make
) -> None:
    first, second = "/v1/jobs/" + "c" * 32, "/v1/jobs/" + "d" * 32
    _running(agent, make_network, first)
    body = json.dumps(order_of(make_network("slow.onnx").request(path=""))).encode()
    assert agent.ask("PUT", second, body).status == 200
    status = json.loads(agent.ask("GET", second).body)
    assert (status["state"], status["ahead"]) == ("waiting", 1)
    assert agent.ask("DELETE", first).status == 200
    assert wait_until(lambda: json.loads(agent.ask("GET", second).body)["state"] == "done")
    assert agent.ask("DELETE", second).status == 200
    assert wait_until(lambda: not agent.descendants())


def test_the_token_is_in_no_log_and_in_no_process(agent: AgentProcess, make_network: Make) -> None:
    job = "/v1/jobs/" + "e" * 32
    _running(agent, make_network, job)
    agent.ask("GET", "/%1b[31m")
    for process in agent.descendants():
        assert TOKEN not in " ".join(process.cmdline())
        assert TOKEN not in process.environ().values()
    agent.ask("DELETE", job)
    log = agent.errors()
    assert "PUT /v1/models/" in log
    assert TOKEN not in log
    assert "Authorization" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_agent_that_is_ended_leaves_no_process_and_no_file(
    tmp_path: Path, make_network: Make, number: signal.Signals
) -> None:
    agent = AgentProcess(tmp_path / "agent")
    _running(agent, make_network, _JOB)
    started = agent.descendants()
    assert len(files_in(agent.folder)) >= 1
    assert agent.stop(number) == 0
    assert wait_until(lambda: not any(_is_alive(p) for p in started))
    assert files_in(agent.folder) == []
    assert agent.errors().count("Traceback") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory maps of a process")
def test_an_agent_that_is_killed_takes_its_processes_along_and_the_next_one_tidies_up(
    tmp_path: Path, make_network: Make
) -> None:
    agent = AgentProcess(tmp_path / "agent")
    _running(agent, make_network, _JOB)
    started = agent.descendants()
    agent.stop(signal.SIGKILL)
    assert wait_until(lambda: not any(_is_alive(p) for p in started))
    left = [name for name in files_in(agent.folder) if name.startswith("automl-agent-")]
    assert len(left) == 1
    with AgentProcess(tmp_path / "agent"):
        assert not (agent.folder / left[0]).exists()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="binds to processors")
def test_cores_limits_what_measuring_may_use(tmp_path: Path, make_network: Make) -> None:
    core = min(os.sched_getaffinity(0))
    with AgentProcess(tmp_path / "agent", "--cores", str(core)) as agent:
        assert json.loads(agent.ask("GET", "/v1/host").body)["host"]["cores"] == 1
        _running(agent, make_network, _JOB)
        assert [set(p.cpu_affinity()) for p in agent.workers()] == [{core}]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process's memory")
def test_a_large_upload_goes_to_disk_and_not_to_memory(tmp_path: Path, make_network: Make) -> None:
    content = make_network(channels=1600).path.read_bytes()
    size_bytes = len(content)
    assert size_bytes > 80 * 10**6
    with AgentProcess(tmp_path / "agent") as agent:
        before = _own_peak_bytes(agent)
        assert _send(agent, content).status == 200
        assert _own_peak_bytes(agent) - before < size_bytes / 8


def _own_peak_bytes(agent: AgentProcess) -> int:
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
