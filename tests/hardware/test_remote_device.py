"""Measuring on a real agent in another process, over lines that break and agents that die."""

from __future__ import annotations

import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from agent_process import TOKEN, AgentProcess, Line, free_port, wait_until

from automl.errors import AutomlError, SpecError
from automl.hardware.device import Device, MeasureFailure, MeasureRequest
from automl.hardware.local import LocalDevice
from automl.hardware.remote import RemoteDevice, open_remote
from automl.hardware.remote_address import parse_url
from automl.records import Measurement, Scope, dump_record, load_record

Make = Callable[..., Any]
Answers = tuple[Measurement | MeasureFailure, ...]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path_factory.mktemp("agent"), "--max-upload", "4MiB") as started:
        yield started


def _measured(answer: Measurement | MeasureFailure) -> Measurement:
    assert isinstance(answer, Measurement), answer
    return answer


def _failed(answer: Measurement | MeasureFailure) -> str:
    assert isinstance(answer, MeasureFailure), answer
    return answer.error


class _Call:
    """A measuring in another thread, with its lines of progress."""

    def __init__(self, device: RemoteDevice, requests: Sequence[MeasureRequest]) -> None:
        self.lines: list[str] = []
        self._pool = ThreadPoolExecutor(1)
        self._answers = self._pool.submit(device.measure, requests, progress=self.lines.append)

    def answers(self) -> Answers:
        with self._pool:
            return self._answers.result(60)


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("with_image", [False, True])
def test_each_scope_is_measured_on_the_device_with_sane_numbers(
    agent: AgentProcess, make_network: Make, paper_images: Path, scope: Scope, with_image: bool
) -> None:
    network = make_network()
    image = str(next((paper_images / "pass").glob("*.jpg"))) if with_image else None
    clock = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    device: Device = agent.device(clock=lambda: clock)
    m = _measured(device.measure([network.request(scope=scope, image=image)])[0])
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
    there = _measured(agent.device().measure([request])[0])
    here = _measured(LocalDevice().measure([request])[0])
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
    requests = [make_network(f"net-{n}.onnx", channels=n).request() for n in (4, 5)]
    call = _Call(agent.device(), requests)
    assert all(isinstance(answer, Measurement) for answer in call.answers())
    assert "sending 1 of 2: net-" in call.lines[0]
    assert {line.partition(": ")[0] for line in call.lines[-1:]} == {"measured 2 of 2"}
    assert {line.partition(": ")[2] for line in call.lines[2:]} <= {"net-4.onnx", "net-5.onnx"}


def test_a_file_that_was_sent_is_not_sent_again(agent: AgentProcess, make_network: Make) -> None:
    requests = [make_network(channels=6).request()]
    assert "sending" in " ".join(_lines_of(agent.device(), requests))
    assert "sending" not in " ".join(_lines_of(agent.device(), requests))


def _lines_of(device: RemoteDevice, requests: Sequence[MeasureRequest]) -> list[str]:
    call = _Call(device, requests)
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
    assert _failed(answers[0]).startswith("the file changed: its SHA-256 should be ")
    assert _failed(answers[2]).startswith("a file cannot be read: ")
    assert "bytes and the agent takes 4,194,304; start it with a larger" in _failed(answers[3])
    assert _failed(answers[4]).startswith("the model was refused: it uses operators of the domain")
    assert _failed(answers[5]).startswith("a file cannot be read: ")
    assert _measured(answers[1]).threads == 1
    assert _measured(answers[6]).threads == 2


def _saved(kind: Any, path: Path, model: onnx.ModelProto) -> Any:
    import hashlib

    content = model.SerializeToString()
    path.write_bytes(content)
    return kind(path, hashlib.sha256(content).hexdigest())


def test_a_network_that_gets_its_process_killed_fails_and_the_rest_is_measured(
    agent: AgentProcess, make_network: Make
) -> None:
    endless = make_network("endless.onnx", endless=True).request()
    good = make_network("good.onnx", channels=9).request()
    with _Killer(agent, times=2):
        failure, m = agent.device().measure([endless, good])
    assert failure == MeasureFailure(
        endless.path,
        "the measuring process was killed by SIGKILL (as systems do when memory runs out), "
        "twice (the second time alone)",
    )
    assert isinstance(m, Measurement)


class _Killer:
    """Kills measuring processes that last longer than a good network needs, as a system does."""

    def __init__(self, agent: AgentProcess, *, times: int, name: str = "worker") -> None:
        self._agent = agent
        self.left = times
        self._name = name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        seen: dict[int, float] = {}
        while self.left and not self._stop.wait(0.1):
            for worker in self._agent.workers():
                first = seen.setdefault(worker.pid, time.monotonic())
                if time.monotonic() - first > 1.5:
                    victim = worker if self._name == "worker" else worker.parent()
                    if victim is not None:
                        victim.kill()
                    self.left -= 1


def test_jobs_whose_process_dies_are_tried_together_then_alone(
    agent: AgentProcess, make_network: Make
) -> None:
    endless = make_network("endless.onnx", endless=True).request()
    good = make_network("good.onnx", channels=9).request()
    with _Killer(agent, times=4, name="runner") as killer:
        call = _Call(agent.device(sleep=lambda _: None), [endless, good])
        failure, m = call.answers()
    assert killer.left == 0, "twice together, twice alone"
    assert _failed(failure) == (
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
    assert "alloc" in _failed(failure).lower() or "killed" in _failed(failure)
    assert isinstance(m, Measurement)


def test_an_agent_that_is_killed_and_started_again_while_measuring_costs_only_time(
    tmp_path: Path, make_network: Make
) -> None:
    port = free_port()
    agent = AgentProcess(tmp_path / "agent", port=port)
    requests = [make_network(f"{n}.onnx", channels=n).request(min_seconds=2.0) for n in (4, 8)]
    call = _Call(agent.device(), requests)
    assert wait_until(agent.workers)
    agent.stop(signal.SIGKILL)
    assert wait_until(lambda: any("does not answer" in line for line in call.lines))
    with AgentProcess(tmp_path / "agent", port=port) as again:
        answers = call.answers()
        assert [_measured(answer).artifact_sha256 for answer in answers] == [
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
        call = _Call(RemoteDevice(line.url, TOKEN, patience_s=15.0), [request])
        assert wait_until(agent.workers)
        worker = agent.workers()[0].pid
        line.cut()
        time.sleep(0.5)
        line.mend()
        assert wait_until(lambda: any("does not answer" in text for text in call.lines))
        assert [process.pid for process in agent.workers()] in ([worker], [])
        m = _measured(call.answers()[0])
    assert m.host.device == line.url
    # Asked once without the file, once with it; never again.
    assert agent.errors().count("PUT /v1/jobs/") - jobs_before == 2


def test_a_slow_line_delays_the_answers_and_not_the_latency(
    agent: AgentProcess, make_network: Make
) -> None:
    request = make_network(channels=4).request()
    with Line("127.0.0.1", agent.port, delay_s=0.1) as line:
        m = _measured(RemoteDevice(line.url, TOKEN).measure([request])[0])
    assert m.p99_ms.value < 100


def test_a_line_that_stays_cut_fails_what_is_open_and_then_says_how_to_mend_it(
    agent: AgentProcess, make_network: Make
) -> None:
    with Line("127.0.0.1", agent.port) as line:
        device = RemoteDevice(line.url, TOKEN, patience_s=1.0, contact_s=1.0)
        requests = [make_network(f"{n}.onnx", channels=n).request(min_seconds=30.0) for n in (4, 5)]
        call = _Call(device, requests)
        assert wait_until(agent.workers)
        line.cut()
        errors = [_failed(answer) for answer in call.answers()]
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


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://pi.local:8420", ("pi.local", 8420)),
        ("http://PI.local:9000/", ("pi.local", 9000)),
        ("http://192.168.1.20:8420", ("192.168.1.20", 8420)),
        ("http://[fd00::5]:8420", ("fd00::5", 8420)),
    ],
)
def test_addresses_are_understood(url: str, expected: tuple[str, int]) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("pi.local:8420", "only http:// is known"),
        ("https://pi.local:8420", "only http:// is known; for another network, use an SSH tunnel"),
        ("http://pi.local", "the port is missing"),
        ("http://pi.local:port", "Port could not be cast"),
        ("http://user:secret@pi.local:8420", "leave out all but host and port"),
        ("http://pi.local:8420/v1", "leave out all but host and port"),
        ("http://pi.local:8420?token=x", "leave out all but host and port"),
        ("http://pi local:8420", "there is no such name of a host"),
        ("http://-pi:8420", "there is no such name of a host"),
        ("http://:8420", "there is no such name of a host"),
        ("http://[::1:8420", "Invalid IPv6 URL"),
        ("http://pi\r\n.local:8420", "there is no such name of a host"),
        ("http://pí.local:8420", "there is no such name of a host"),
    ],
)
def test_addresses_of_another_form_are_refused(url: str, why: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_url(url)
    assert str(error.value).startswith("device: an agent's address is of the form ")
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_the_token_comes_from_the_environment_that_of_the_host_first(
    agent: AgentProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOML_AGENT_TOKEN", raising=False)
    with pytest.raises(SpecError) as missing:
        open_remote("http://pi-4.local:8420")
    assert str(missing.value) == (
        "The agent at http://pi-4.local:8420 asks for a token. Set AUTOML_AGENT_TOKEN_PI_4_LOCAL (or "
        "AUTOML_AGENT_TOKEN for all agents) to the one that `automl agent` printed there."
    )
    monkeypatch.setenv("AUTOML_AGENT_TOKEN", "a-token-of-another-agent")
    with pytest.raises(AutomlError, match="does not accept the token"):
        open_remote(agent.url).host()
    monkeypatch.setenv("AUTOML_AGENT_TOKEN_127_0_0_1", f" {TOKEN}\n")
    assert open_remote(agent.url).host().device == agent.url


def test_a_token_that_cannot_be_one_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOML_AGENT_TOKEN", "sesame öffne dich, bitte")
    with pytest.raises(SpecError, match="is not one that an agent makes") as error:
        open_remote("http://pi.local:8420")
    assert "sesame" not in str(error.value)


def test_proxies_of_the_environment_are_not_asked(
    agent: AgentProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert agent.device().host().device == agent.url
