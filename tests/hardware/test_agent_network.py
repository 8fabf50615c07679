"""A client and an agent in two network namespaces: a link that is slow, and one that is cut."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agent_process import TOKEN, AgentProcess, Call, Line, wait_until

from automl.errors import AutomlError
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.hardware.remote import RemoteDevice
from automl.records import Measurement

Make = Callable[..., Any]
_HERE, _THERE = "10.213.77.1", "10.213.77.2"


def _why_not() -> str:
    if sys.platform != "linux" or not hasattr(os, "geteuid"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    if shutil.which("ip") is None:
        return "the command ip (package iproute2) is not installed"
    return ""


@dataclass
class Link:
    """A pair of network devices: one here, one in a namespace of its own."""

    namespace: str
    here: str
    there: str

    def set(self, state: str) -> None:
        """Cut the link on the device's side (``down``) or mend it (``up``)."""
        _ip("-n", self.namespace, "link", "set", self.there, state)

    def delay(self, milliseconds: int) -> bool:
        """Delay every packet that leaves here; whether this kernel can."""
        command = ["tc", "qdisc", "add", "dev", self.here, "root", "netem"]
        try:
            ended = subprocess.run(
                [*command, "delay", f"{milliseconds}ms"], capture_output=True, check=False
            )
        except FileNotFoundError:
            return False
        return ended.returncode == 0


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def link() -> Iterator[Link]:
    if why := _why_not():
        pytest.skip(why)
    number = os.getpid() % 100_000
    made = Link(f"automl-test-{number}", f"amlh{number}", f"amlt{number}")
    try:
        _ip("netns", "add", made.namespace)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
    try:
        _ip(
            "link", "add", made.here, "type", "veth", "peer", "name", made.there,
            "netns", made.namespace,
        )  # fmt: skip
        _ip("addr", "add", f"{_HERE}/30", "dev", made.here)
        _ip("link", "set", made.here, "up")
        _ip("-n", made.namespace, "addr", "add", f"{_THERE}/30", "dev", made.there)
        made.set("up")
        yield made
    finally:
        subprocess.run(["ip", "link", "del", made.here], capture_output=True, check=False)
        _ip("netns", "del", made.namespace)


@pytest.fixture(autouse=True)
def _quickly_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find out within two seconds that a link is cut."""
    monkeypatch.setattr("automl.hardware.remote_job._WAIT_S", 1.0)


@pytest.fixture
def agent(link: Link, tmp_path: Path) -> Iterator[AgentProcess]:
    inside = ("ip", "netns", "exec", link.namespace)
    command = (*inside, sys.executable, "-P", "-m", "automl", "agent")
    with AgentProcess(tmp_path / "agent", command=command, host=_THERE) as started:
        yield started


def test_an_agent_on_another_network_is_reached_by_its_address(
    agent: AgentProcess, make_network: Make
) -> None:
    assert "there is no encryption" in agent.greeting
    (m,) = agent.device().measure([make_network().request()])
    assert isinstance(m, Measurement), m
    assert m.host.device == f"http://{_THERE}:{agent.port}"


def test_a_delayed_link_costs_time_and_no_latency(
    link: Link, agent: AgentProcess, make_network: Make
) -> None:
    request = make_network(channels=4).request()
    if link.delay(150):
        answer = _timed(agent.device(), request)
    else:  # this kernel cannot delay packets, so a program in between does
        with Line(_THERE, agent.port, delay_s=0.15) as line:
            answer = _timed(RemoteDevice(line.url, TOKEN), request)
    assert answer.p50_ms.value < 150  # a delay that counted would be in every run


def _timed(device: RemoteDevice, request: MeasureRequest) -> Measurement:
    started = time.monotonic()
    (m,) = device.measure([request])
    assert isinstance(m, Measurement), m
    assert time.monotonic() - started > 4 * 0.15, "facts, job, upload, job, and how far it is"
    return m


def test_a_link_that_is_cut_while_measuring_and_mended_costs_only_time(
    link: Link, agent: AgentProcess, make_network: Make
) -> None:
    call = Call(
        agent.device(patience_s=30.0, answer_s=1.0), [make_network().request(min_seconds=2.0)]
    )
    assert wait_until(agent.workers)
    link.set("down")
    assert wait_until(lambda: any("does not answer" in line for line in call.lines))
    link.set("up")
    (answer,) = call.answers()
    assert isinstance(answer, Measurement), answer
    assert "trying again" not in [line.partition(":")[0] for line in call.lines], "measured once"


def test_a_link_that_stays_cut_fails_the_candidate_and_the_next_measuring_says_why(
    link: Link, agent: AgentProcess, make_network: Make
) -> None:
    device = agent.device(patience_s=2.0, answer_s=1.0)
    request = make_network().request(min_seconds=60.0, max_seconds=60.0)
    call = Call(device, [request])
    assert wait_until(agent.workers)
    link.set("down")
    (answer,) = call.answers()
    assert isinstance(answer, MeasureFailure), answer
    assert answer.error.startswith("the connection was lost and did not come back: ")
    with pytest.raises(AutomlError, match=r"^The device cannot be reached: "):
        device.measure([request])
    link.set("up")
    m = agent.device().host()
    assert m.device == f"http://{_THERE}:{agent.port}"
