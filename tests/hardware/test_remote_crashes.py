"""Models that bring processes of a real agent down: what fails, and what is measured all the same."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from agent_process import AgentProcess, Call, failed, wait_until
from killer import Killer

from automl.hardware.device import MeasureFailure
from automl.records import Measurement

Make = Callable[..., Any]
AGENT_OPTIONS = ("--max-upload", "4MiB")


def test_a_network_that_gets_its_process_killed_fails_and_the_rest_is_measured(
    agent: AgentProcess, make_network: Make
) -> None:
    endless = make_network("endless.onnx", endless=True).request()
    good = make_network("good.onnx", channels=9).request()
    with Killer(agent.workers, times=2) as killer:
        failure, m = agent.device().measure([endless, good])
    assert killer.left == 0
    assert failure == MeasureFailure(
        endless.path,
        "the measuring process was killed by SIGKILL (as systems do when memory runs out), "
        "twice (the second time alone)",
    )
    assert isinstance(m, Measurement)


def test_jobs_whose_process_dies_are_tried_together_then_alone(
    agent: AgentProcess, make_network: Make
) -> None:
    endless = make_network("endless.onnx", endless=True).request()
    good = make_network("good.onnx", channels=9).request()
    with Killer(agent.workers, times=4, victim_of=psutil.Process.parent) as killer:
        call = Call(agent.device(sleep=lambda _: None), [endless, good])
        failure, m = call.answers()
    assert killer.left == 0, "twice together, twice alone"
    assert failed(failure) == (
        "the measuring process was killed by SIGKILL (as systems do when memory runs out) "
        "(2 attempts)"
    )
    assert isinstance(m, Measurement)
    assert sum("trying again: the measuring process was killed" in line for line in call.lines) == 2
    assert wait_until(lambda: not agent.descendants())


def test_a_device_without_enough_memory_fails_that_network_and_measures_the_others(
    tmp_path: Path, make_network: Make
) -> None:
    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    with AgentProcess(tmp_path / "agent", before=bounded) as agent:
        huge = make_network("huge.onnx", channels=24, size=(6000, 6000))
        good = make_network("good.onnx")
        failure, m = agent.device().measure([huge.request(frame_size=(6000, 6000)), good.request()])
    assert "alloc" in failed(failure).lower() or "killed" in failed(failure)
    assert isinstance(m, Measurement)
