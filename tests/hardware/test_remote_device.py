"""Measuring on a real agent in another process."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from agent_process import TOKEN, AgentProcess, Call, Line, failed, free_port, measured, wait_until

from automl.errors import AutomlError
from automl.hardware.device import Device, MeasureRequest
from automl.hardware.local import LocalDevice
from automl.hardware.providers import provider_state
from automl.hardware.remote import RemoteDevice
from automl.records import Measurement, Scope, dump_record, load_record

Make = Callable[..., Any]
AGENT_OPTIONS = ("--max-upload", "4MiB")


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("with_image", [False, True])
def test_each_scope_is_measured_on_the_device_with_sane_numbers(
    agent: AgentProcess, make_network: Make, paper_images: Path, scope: Scope, with_image: bool
) -> None:
    network = make_network()
    image = str(next((paper_images / "pass").glob("*.jpg"))) if with_image else None
    clock = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    device: Device = agent.device(clock=lambda: clock)
    m = measured(device.measure([network.request(scope=scope, image=image)])[0])
    assert m.source == "measured"
    assert m.artifact_sha256 == network.sha256
    assert m.host == device.host()
    assert m.host.device == device.name == agent.url
    assert (m.threads, m.scope) == (1, scope)
    if scope is not Scope.FILE or not with_image:
        assert m.frame_size == (64, 48)
    assert m.runs >= 32
    for interval in (m.p50_ms, m.p90_ms, m.p95_ms, m.p99_ms):
        assert 0 < interval.low <= interval.value <= interval.high
    assert m.size_bytes == network.path.stat().st_size
    assert m.memory_bytes is None
    assert m.fresh_process
    assert m.measured_at == "2026-01-02T03:04:05+00:00"
    assert load_record(Measurement, dump_record(m)) == m


def test_the_device_measures_what_this_machine_measures_with_memory(
    agent: AgentProcess, make_network: Make
) -> None:
    network = make_network(channels=32, size=(160, 160))
    request = network.request(frame_size=(160, 160), memory=True, min_runs=100, min_seconds=0.5)
    there = measured(agent.device().measure([request])[0])
    here = measured(LocalDevice().measure([request])[0])
    # It is one machine; processor time, since other work on it delays either.
    assert 0.4 < there.cpu_ms / here.cpu_ms < 2.5
    assert there.memory_bytes is not None
    assert here.memory_bytes is not None
    assert there.memory_bytes == pytest.approx(here.memory_bytes, rel=0.1)
    unlike = {"device", "memory_bytes"}
    ours, theirs = asdict(here.host), asdict(there.host)
    assert {k: v for k, v in ours.items() if k not in unlike} == {
        k: v for k, v in theirs.items() if k not in unlike
    }


def test_progress_names_the_files_as_they_are_called_here(
    agent: AgentProcess, make_network: Make
) -> None:
    requests = [make_network(f"net-{n}.onnx", channels=n).request() for n in (12, 13)]
    call = Call(agent.device(), requests)
    assert all(isinstance(answer, Measurement) for answer in call.answers())
    assert "sending 1 of 2: net-" in call.lines[0]
    assert {line.partition(": ")[0] for line in call.lines[-1:]} == {"measured 2 of 2"}
    assert {line.partition(": ")[2] for line in call.lines[2:]} <= {"net-12.onnx", "net-13.onnx"}


@pytest.mark.parametrize(
    ("constant", "value", "jobs"),
    [
        ("MOST_REQUESTS", 2, 2),
        ("_MEMORY_SHARE", 1e-9, 3),  # nothing fits beside anything, and each must go all the same
    ],
)
def test_more_than_fits_at_once_goes_in_parts(
    agent: AgentProcess,
    make_network: Make,
    monkeypatch: pytest.MonkeyPatch,
    constant: str,
    value: float,
    jobs: int,
) -> None:
    monkeypatch.setattr(f"automl.hardware.remote_measuring.{constant}", value)
    requests = [make_network(f"{n}.onnx", channels=n).request() for n in (4, 5, 6)]
    before = _jobs_taken(agent)
    answers = agent.device().measure(requests)
    assert [measured(answer).artifact_sha256 for answer in answers] == [r.sha256 for r in requests]
    assert _jobs_taken(agent) - before == jobs


def _jobs_taken(agent: AgentProcess) -> int:
    return len(re.findall(r"PUT /v1/jobs/[0-9a-f]+: 200", agent.errors()))


def test_a_file_that_was_sent_is_not_sent_again(agent: AgentProcess, make_network: Make) -> None:
    requests = [make_network(channels=11).request()]
    assert "sending" in " ".join(_lines_of(agent.device(), requests))
    assert "sending" not in " ".join(_lines_of(agent.device(), requests))


def _lines_of(device: RemoteDevice, requests: Sequence[MeasureRequest]) -> list[str]:
    call = Call(device, requests)
    call.answers()
    return call.lines


def test_files_that_cannot_be_measured_do_not_stop_the_others(
    agent: AgentProcess, make_network: Make, tmp_path: Path
) -> None:
    good = make_network("good.onnx")
    changed = make_network("changed.onnx", channels=3)
    changed.path.write_bytes(b"no network")
    lost = make_network("lost.onnx", channels=5)
    lost.path.unlink()
    large = make_network("large.onnx", channels=400)
    foreign = make_network("foreign.onnx", channels=7)
    model = onnx.load(foreign.path)
    model.graph.node[3].domain = "my.company"
    foreign = _saved(type(foreign), tmp_path / "foreign.onnx", model)
    requests = [
        changed.request(),
        good.request(),
        lost.request(),
        large.request(),
        foreign.request(),
        good.request(image="no.jpg"),
        good.request(threads=2),
    ]
    answers = agent.device().measure(requests)
    assert failed(answers[0]).startswith("the file changed: its SHA-256 should be ")
    assert failed(answers[2]).startswith("a file cannot be read: ")
    assert "bytes and the agent takes 4,194,304; start it with a larger" in failed(answers[3])
    assert failed(answers[4]).startswith("the model was refused: it uses operators of the domain")
    assert failed(answers[5]).startswith("a file cannot be read: ")
    assert measured(answers[1]).threads == 1
    assert measured(answers[6]).threads == 2


def _saved(kind: Any, path: Path, model: onnx.ModelProto) -> Any:
    import hashlib

    content = model.SerializeToString()
    path.write_bytes(content)
    return kind(path, hashlib.sha256(content).hexdigest())


def test_a_device_that_is_not_there_is_an_error_with_a_remedy() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    started = time.monotonic()
    with pytest.raises(AutomlError, match=r"^The device cannot be reached: .*refused") as error:
        RemoteDevice(url, TOKEN, contact_s=1.0).host()
    assert time.monotonic() - started < 5
    assert "its --host and --port are those of the address" in str(error.value)


def test_a_wrong_token_is_an_error_that_does_not_show_it(agent: AgentProcess) -> None:
    with pytest.raises(AutomlError) as error:
        RemoteDevice(agent.url, "another-token-1234567890").host()
    assert str(error.value).startswith(f"The agent at {agent.url} does not accept the token.")
    assert "another-token" not in str(error.value)


def test_a_name_that_the_agent_does_not_know_is_an_error_with_its_remedy(
    agent: AgentProcess,
) -> None:
    with (
        Line("127.0.0.1", agent.port, own="127.0.0.3") as line,
        pytest.raises(AutomlError) as error,
    ):
        RemoteDevice(line.url, TOKEN).host()
    assert str(error.value) == (
        f"The agent at {line.url} refuses to answer: '127.0.0.3' is not a name of this device: ask "
        "for its address, or start the agent with --allow-host 127.0.0.3."
    )


def test_something_else_that_answers_is_said_to_be_no_agent(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>a printer</html>")

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(AutomlError, match="is no agent of automl") as error:
            RemoteDevice(url, TOKEN).host()
    assert "start one there with `automl agent`" in str(error.value)


def test_answers_are_those_of_this_machine(
    agent: AgentProcess, make_network: Make, paper_images: Path
) -> None:
    network = make_network()
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (64, 48, 3), np.uint8) for _ in range(70)]
    encoded = next((paper_images / "pass").glob("*.jpg")).read_bytes()
    images = [*frames, encoded]
    there = agent.device().answer(str(network.path), network.sha256, images)
    here = LocalDevice().answer(str(network.path), network.sha256, images)
    assert len(there) == len(here) == 71
    for theirs, ours in zip(there, here, strict=True):
        assert list(theirs) == list(ours) == ["probabilities"]
        np.testing.assert_array_equal(theirs["probabilities"], ours["probabilities"])
    assert len({float(one["probabilities"][0, 0]) for one in there}) > 60
    assert wait_until(lambda: not agent.descendants())
    assert not list(agent.folder.rglob("*.npz"))


def test_answers_of_a_file_that_cannot_be_run_are_an_error(
    agent: AgentProcess, make_network: Make, tmp_path: Path
) -> None:
    network = make_network(channels=4)
    model = onnx.load(network.path)
    with pytest.raises(AutomlError, match="is not the file with the SHA-256"):
        agent.device().answer(str(network.path), "0" * 64, [])
    model.graph.node[2].op_type = "NoSuchOperator"
    broken = _saved(type(network), tmp_path / "broken.onnx", model)
    frame = np.zeros((64, 48, 3), np.uint8)
    with pytest.raises(Exception, match="NoSuchOperator"):
        agent.device().answer(str(broken.path), broken.sha256, [frame])


def test_nothing_is_asked_of_the_device_for_no_requests(agent: AgentProcess) -> None:
    assert agent.device().measure([]) == ()


def test_proxies_of_the_environment_are_not_asked(
    agent: AgentProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert agent.device().host().device == agent.url


@pytest.mark.skipif(provider_state("tensorrt").reason is None, reason="TensorRT is there")
def test_an_agent_is_not_asked_for_what_it_does_not_offer(
    agent: AgentProcess, make_network: Make
) -> None:
    offered = ", ".join(("cpu", *agent.device().facts().accelerators))
    device = RemoteDevice(agent.url, TOKEN, provider="tensorrt")
    assert device.name == f"{agent.url}+tensorrt"
    network = make_network()
    for ask in (device.host, lambda: device.measure([network.request()])):
        with pytest.raises(AutomlError) as error:
            ask()
        assert str(error.value) == (
            f"The agent at {agent.url} cannot run models on TensorRT (provider 'tensorrt'); it offers: "
            f"{offered}. Run `automl doctor` there: it says what is missing. Then start the agent again."
        )
