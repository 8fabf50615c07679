"""Every registered device: says what it is, and measures a real file or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_maker import shared_bundle

from automl import registry
from automl.hardware.device import Device, MeasureFailure, MeasureRequest
from automl.records import Measurement, Scope
from automl.storage import sha256_file


def request(path: Path, *, scope: Scope = Scope.FRAME, memory: bool = False) -> MeasureRequest:
    return MeasureRequest(
        path=str(path),
        sha256=sha256_file(path) if path.exists() else "0" * 64,
        threads=1,
        scope=scope,
        frame_size=(64, 64),
        min_runs=80,
        min_seconds=0.0,
        budgets=(),
        stop_early=False,
        memory=memory,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, paper_images: Path) -> Path:
    made = shared_bundle(tmp_path_factory.getbasetemp(), paper_images)
    return made.bundle.path / "model.onnx"


@pytest.mark.parametrize("name", registry.names("device"))
def test_device_measures_every_scope(name: str, model: Path) -> None:
    device: Device = registry.load("device", name)()
    host = device.host()
    assert device.name == name
    assert host.cores >= 1
    answers = device.measure([request(model, scope=scope, memory=True) for scope in Scope])
    for scope, answer in zip(Scope, answers, strict=True):
        assert isinstance(answer, Measurement), answer
        assert (answer.source, answer.scope, answer.host) == ("measured", scope, host)
        assert answer.artifact_sha256 == sha256_file(model)
        assert answer.runs >= 80
        assert 0 < answer.p50_ms.low <= answer.p50_ms.value <= answer.p50_ms.high
        assert answer.p50_ms.value <= answer.p95_ms.value <= answer.p99_ms.value
        assert answer.memory_bytes
        assert answer.fresh_process


@pytest.mark.parametrize("name", registry.names("device"))
def test_device_names_what_it_cannot_measure_and_measures_the_rest(
    name: str, model: Path, tmp_path: Path
) -> None:
    device: Device = registry.load("device", name)()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    first, second, third = device.measure(
        [request(broken), request(model), request(tmp_path / "absent.onnx")]
    )
    assert isinstance(first, MeasureFailure)
    assert isinstance(second, Measurement)
    assert isinstance(third, MeasureFailure)
    assert third.error == "there is no such file"
