"""Lines to real agents that break, and agents that are started again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_process import TOKEN, AgentProcess, Call, Line, failed, measured, wait_until

from automl.errors import AutomlError
from automl.hardware.remote import RemoteDevice

Make = Callable[..., Any]
AGENT_OPTIONS = ("--max-upload", "4MiB")


def test_an_agent_that_is_killed_and_started_again_while_measuring_costs_only_time(
    tmp_path: Path, make_network: Make
) -> None:
    agent = AgentProcess(tmp_path / "agent")
    requests = [make_network(f"{n}.onnx", channels=n).request(min_seconds=2.0) for n in (4, 8)]
    call = Call(agent.device(patience_s=50.0), requests)
    assert wait_until(agent.workers)
    agent.stop(signal.SIGKILL)
    assert wait_until(lambda: any("does not answer" in line for line in call.lines))
    with AgentProcess(tmp_path / "agent", port=agent.port) as again:
        answers = call.answers()
        assert [measured(answer).artifact_sha256 for answer in answers] == [
            request.sha256 for request in requests
        ]
        assert "trying again: the agent was started again" in call.lines
        assert sum("sending" in line for line in call.lines) == 4, "its files were gone"
        assert wait_until(lambda: not again.descendants())


def test_a_dropped_connection_is_made_again_and_nothing_is_measured_twice(
    agent: AgentProcess, make_network: Make
) -> None:
    jobs_before = agent.errors().count("PUT /v1/jobs/")
    with Line("127.0.0.1", agent.port) as line:
        request = make_network(channels=10).request(min_seconds=2.0)
        call = Call(RemoteDevice(line.url, TOKEN, patience_s=15.0), [request])
        assert wait_until(agent.workers)
        worker = agent.workers()[0].pid
        line.cut()
        time.sleep(0.5)
        line.mend()
        assert wait_until(lambda: any("does not answer" in text for text in call.lines))
        assert [process.pid for process in agent.workers()] in ([worker], [])
        m = measured(call.answers()[0])
    assert m.host.device == line.url
    # Asked once without the file, once with it; never again.
    assert agent.errors().count("PUT /v1/jobs/") - jobs_before == 2


def test_a_slow_line_delays_the_answers_and_not_the_latency(
    agent: AgentProcess, make_network: Make
) -> None:
    request = make_network(channels=4).request()
    with Line("127.0.0.1", agent.port, delay_s=0.1) as line:
        m = measured(RemoteDevice(line.url, TOKEN).measure([request])[0])
    assert m.p50_ms.value < 100  # a delay that counted would be in every run


def test_a_line_that_stays_cut_fails_what_is_open_and_then_says_how_to_mend_it(
    agent: AgentProcess, make_network: Make
) -> None:
    with Line("127.0.0.1", agent.port) as line:
        device = RemoteDevice(line.url, TOKEN, patience_s=1.0, contact_s=1.0)
        requests = [make_network(f"{n}.onnx", channels=n).request(min_seconds=30.0) for n in (4, 5)]
        call = Call(device, requests)
        assert wait_until(agent.workers)
        line.cut()
        errors = [failed(answer) for answer in call.answers()]
        assert len(errors) == 2
        for error in errors:
            assert error.startswith(
                f"the connection was lost and did not come back: {line.url} gave no answer for 1 s: "
            )
        with pytest.raises(AutomlError) as lost:
            device.measure(requests)
    message = str(lost.value)
    assert message.startswith(f"The device cannot be reached: {line.url} gave no answer for 1 s: ")
    assert "Check that it is on, that `automl agent` runs there" in message
    for job in _job_paths(agent):
        agent.ask("DELETE", job)
    assert wait_until(lambda: not agent.descendants())


def _job_paths(agent: AgentProcess) -> set[str]:
    words = agent.errors().replace(":", " ").split()
    return {word for word in words if word.startswith("/v1/jobs/")}


def test_a_client_that_is_interrupted_ends_its_job(agent: AgentProcess, make_network: Make) -> None:
    device = agent.device()
    request = make_network(channels=4).request(min_seconds=60.0, max_seconds=60.0)

    def interrupt(_: str) -> None:
        if agent.workers():
            raise KeyboardInterrupt

    other = make_network("other.onnx", channels=5).request()
    with pytest.raises(KeyboardInterrupt):
        device.measure([request, other], progress=interrupt)
    assert wait_until(lambda: not agent.descendants())
