"""Measuring real networks in fresh processes, and surviving those that bring a process down."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from killer import Killer

from automl import registry
from automl.hardware.device import MeasureFailure
from automl.hardware.local import LocalDevice
from automl.records import LatencyBudget, Measurement, Scope, dump_record, load_record

Budget = Callable[[float], tuple[LatencyBudget, ...]]
Make = Callable[..., Any]


def _measured(answer: Measurement | MeasureFailure) -> Measurement:
    assert isinstance(answer, Measurement), answer
    return answer


def test_the_local_device_is_registered() -> None:
    assert registry.load("device", "local") is LocalDevice


@pytest.mark.parametrize("scope", list(Scope))
def test_each_scope_is_measured_with_sane_numbers(make_network: Make, scope: Scope) -> None:
    network = make_network()
    clock = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    device = LocalDevice(clock=lambda: clock)
    m = _measured(device.measure([network.request(scope=scope, min_seconds=0.1)])[0])
    assert m.source == "measured"
    assert m.artifact_sha256 == network.sha256
    assert m.host == device.host()
    assert (m.threads, m.scope, m.frame_size) == (1, scope, (64, 48))
    assert m.runs >= 32
    assert m.seconds >= 0.1
    assert m.seconds == pytest.approx(m.mean_ms * m.runs / 1e3)
    for interval in (m.p50_ms, m.p90_ms, m.p95_ms, m.p99_ms):
        assert 0 < interval.low <= interval.value <= interval.high
    assert m.p50_ms.value <= m.p90_ms.value <= m.p95_ms.value <= m.p99_ms.value
    assert m.cpu_ms > 0
    assert m.size_bytes == network.path.stat().st_size
    assert m.memory_bytes is None
    assert m.fresh_process
    assert not m.stopped_early
    assert m.measured_at == "2026-01-02T03:04:05+00:00"
    assert load_record(Measurement, dump_record(m)) == m


def test_decoding_counts_for_a_file_and_not_for_a_frame(
    make_network: Make, paper_images: Path
) -> None:
    network = make_network()
    image = str(next((paper_images / "pass").glob("*.jpg")))
    frame, file = (
        _measured(a)
        for a in LocalDevice().measure(
            [network.request(scope=scope, image=image) for scope in (Scope.FRAME, Scope.FILE)]
        )
    )
    assert file.p50_ms.value > frame.p50_ms.value
    assert frame.frame_size == (64, 48)
    assert file.frame_size != (64, 48), "the size of the image itself, as it was timed"


def test_a_larger_network_is_slower_and_takes_more_memory(make_network: Make) -> None:
    small = make_network("small.onnx").request(memory=True)
    size = (224, 224)
    large = make_network("large.onnx", channels=48, size=size).request(
        memory=True, frame_size=size, min_runs=8
    )
    lines: list[str] = []
    first, second = (
        _measured(a) for a in LocalDevice().measure([small, large], progress=lines.append)
    )
    assert second.p50_ms.low > first.p50_ms.high
    assert first.memory_bytes is not None
    assert second.memory_bytes is not None
    # onnxruntime and numpy alone take tens of megabytes; this process holds much more than that.
    assert 10 * 10**6 < first.memory_bytes < 200 * 10**6
    # Two planes of 48 channels of 224 x 224 floats are 19 MB.
    assert second.memory_bytes > first.memory_bytes + 10 * 10**6
    assert sorted(lines) == sorted(["measured 1 of 2: small.onnx", "measured 2 of 2: large.onnx"])


def test_networks_with_several_threads_are_compared(make_network: Make) -> None:
    networks = [make_network(f"{number}.onnx") for number in range(2)]
    answers = LocalDevice().measure([network.request(threads=2) for network in networks])
    assert [_measured(answer).threads for answer in answers] == [2, 2]


def test_measuring_stops_early_only_for_what_cannot_fit(make_network: Make, budget: Budget) -> None:
    network = make_network()
    requests = [
        network.request(min_runs=20_000, stop_early=True, budgets=budget(0.001)),
        network.request(min_runs=500, stop_early=True, budgets=budget(1000.0)),
        network.request(min_runs=500, stop_early=False, budgets=budget(0.001)),
    ]
    hopeless, fitting, not_asked = (_measured(a) for a in LocalDevice().measure(requests))
    assert hopeless.stopped_early
    assert hopeless.runs < 20_000
    assert hopeless.p95_ms.low > 0.001
    assert not fitting.stopped_early
    assert fitting.runs >= 500
    assert not not_asked.stopped_early
    assert not_asked.runs >= 500


def test_a_slow_network_is_taken_with_the_runs_it_has(make_network: Make) -> None:
    network = make_network(channels=48, size=(224, 224))
    request = network.request(frame_size=(224, 224), min_runs=10_000, max_seconds=0.5)
    m = _measured(LocalDevice().measure([request])[0])
    assert 1 <= m.runs < 10_000
    assert not m.stopped_early


def test_files_that_cannot_be_measured_do_not_stop_the_others(
    make_network: Make, tmp_path: Path
) -> None:
    good = make_network("good.onnx")
    changed = make_network("changed.onnx")
    changed.path.write_bytes(b"no network")
    garbage = make_network("garbage.onnx").request()
    (tmp_path / "garbage.onnx").write_bytes(b"x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    lost = make_network("lost.onnx")
    lost.path.unlink()
    requests = [
        changed.request(),
        good.request(),
        lost.request(),
        good.request(image="no.jpg"),
        type(good)(tmp_path / "garbage.onnx", digest).request(),
    ]
    answers = LocalDevice().measure(requests)
    assert isinstance(answers[1], Measurement)
    errors = [a.error for a in answers if isinstance(a, MeasureFailure)]
    assert errors[0].startswith("the file changed: its SHA-256 should be ")
    assert errors[1:3] == ["there is no such file", "there is no image 'no.jpg'"]
    assert "INVALID" in errors[3].upper()
    assert garbage.path == answers[4].path  # type: ignore[union-attr]  # asserted above


def test_a_network_that_never_answers_is_given_up_and_the_rest_measured(
    make_network: Make,
) -> None:
    endless = make_network("endless.onnx", endless=True).request(max_seconds=1.0)
    good = make_network("good.onnx").request()
    start = time.monotonic()
    failure, m = LocalDevice(grace_s=1.0).measure([endless, good])
    assert failure == MeasureFailure(
        endless.path, "the measuring process gave no answer within 2 s"
    )
    assert isinstance(m, Measurement)
    assert time.monotonic() - start < 30
    assert not list(_workers())


def _workers() -> Iterator[psutil.Process]:
    """Our measuring processes that have loaded the runtime."""
    for child in psutil.Process().children():
        try:
            runs_worker = "automl.hardware.worker" in child.cmdline()
            if runs_worker and any("onnxruntime" in m.path for m in child.memory_maps()):
                yield child
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory maps of a process")
def test_a_network_that_gets_its_process_killed_twice_fails_and_the_rest_is_measured(
    make_network: Make,
) -> None:
    endless = make_network("endless.onnx", endless=True).request()
    good = make_network("good.onnx").request()
    with Killer(_workers, times=2) as killer:
        failure, m = LocalDevice().measure([endless, good])
    assert killer.left == 0
    assert failure == MeasureFailure(
        endless.path,
        "the measuring process was killed by SIGKILL (as systems do when memory runs out), "
        "twice (the second time alone)",
    )
    assert isinstance(m, Measurement)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory maps of a process")
def test_a_network_whose_process_was_killed_once_is_measured_again(make_network: Make) -> None:
    request = make_network().request(min_seconds=4.0)
    other = make_network("other.onnx").request()
    with Killer(_workers, times=1) as killer:
        answers = LocalDevice().measure([request, other])
    assert killer.left == 0
    assert all(isinstance(answer, Measurement) for answer in answers)


def test_networks_take_turns_so_that_a_slow_spell_hits_all(make_network: Make) -> None:
    jobs = [
        {
            "index": index,
            "path": str(make_network(f"{index}.onnx").path),
            "threads": 1,
            "scope": "frame",
            "frame_size": [64, 48],
            "min_runs": 64,
            "min_seconds": 0.1,
            "max_seconds": 5.0,
            "budgets": [],
            "image": None,
            "provider": "cpu",
            "powercap": "/sys/class/powercap",
        }
        for index in range(3)
    ]
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "automl.hardware.worker"],
        input=json.dumps(jobs), capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    at = [line["at"] for line in lines if "at" in line]
    assert at[:9] == [0, 1, 2] * 3, "loading, then blocks in turn"
    assert {line["done"] for line in lines if "done" in line} == {0, 1, 2}


def test_the_measuring_process_loads_what_the_delivered_model_loads() -> None:
    code = (
        "import sys, automl.hardware.worker;"
        "print([m for m in ('torch', 'onnx', 'pydantic', 'psutil', 'PIL') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_a_users_folder_cannot_take_the_place_of_a_library(
    make_network: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    request = make_network().request(path="small.onnx")
    _measured(LocalDevice().measure([request])[0])


def test_no_requests_need_no_process() -> None:
    assert LocalDevice().measure([]) == ()
