"""Measurements kept between runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from automl.hardware.cache import MeasurementCache, answers, measurement_key
from automl.hardware.device import MeasureRequest
from automl.records import Host, Interval, LatencyBudget, Measurement, Scope

_HOST = Host(
    device="local",
    cpu="A processor",
    cores=2,
    memory_bytes=8 * 10**9,
    instruction_sets=("avx2",),
    system="Linux",
    python="3.11",
    onnxruntime="1.32.0",
    provider="CPUExecutionProvider",
)
_MEASUREMENT = Measurement(
    source="measured",
    artifact_sha256="0" * 64,
    host=_HOST,
    threads=1,
    scope=Scope.FRAME,
    frame_size=(64, 48),
    runs=100,
    seconds=1.2,
    p50_ms=Interval(12.0, 11.0, 13.0),
    p90_ms=Interval(13.0, 12.0, 14.0),
    p95_ms=Interval(14.123456789, 13.0, 15.0),
    p99_ms=Interval(16.0, 15.0, 18.0),
    mean_ms=12.5,
    cpu_ms=12.4,
    load=0.1,
    memory_bytes=None,
    size_bytes=1000,
    fresh_process=True,
    stopped_early=False,
    measured_at="2026-01-01T00:00:00+00:00",
)
_REQUEST = MeasureRequest(
    path="model.onnx",
    sha256="0" * 64,
    threads=1,
    scope=Scope.FRAME,
    frame_size=(64, 48),
    min_runs=64,
    min_seconds=1.0,
    budgets=(LatencyBudget("p95", 10.0),),
    stop_early=True,
    memory=False,
)


def _key(**changes: object) -> str:
    plain: dict[str, object] = {
        "graph_hash": "abc",
        "host": _HOST,
        "threads": 1,
        "scope": Scope.FRAME,
        "frame_size": (64, 48),
    }
    return measurement_key(**(plain | changes))  # type: ignore[arg-type]  # a test names real ones


def test_a_measurement_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = MeasurementCache(tmp_path)
    assert cache.get(_key()) is None
    cache.put(_key(), _MEASUREMENT)
    assert MeasurementCache(tmp_path).get(_key()) == _MEASUREMENT


def test_the_default_folder_is_in_the_users_cache() -> None:
    MeasurementCache().put(_key(graph_hash="default"), _MEASUREMENT)
    assert MeasurementCache().get(_key(graph_hash="default")) == _MEASUREMENT


@pytest.mark.parametrize(
    "change",
    [
        {"graph_hash": "abd"},
        {"host": replace(_HOST, onnxruntime="1.33.0")},
        {"host": replace(_HOST, provider="CUDAExecutionProvider")},
        {"host": replace(_HOST, accelerator="NVIDIA L4")},
        {"host": replace(_HOST, instruction_sets=("avx2", "avx512_vnni"))},
        {"threads": 2},
        {"scope": Scope.MODEL},
        {"frame_size": (48, 64)},
    ],
)
def test_what_latency_depends_on_changes_the_key(change: dict[str, object]) -> None:
    assert _key(**change) != _key()


def test_what_latency_does_not_depend_on_keeps_the_key() -> None:
    assert _key(host=replace(_HOST, python="3.13", memory_bytes=1)) == _key()


def test_the_image_that_is_timed_counts_where_it_is_decoded() -> None:
    keys = [_key(scope=Scope.FILE, image_sha256=sha) for sha in (None, "a" * 64, "b" * 64)]
    assert len(set(keys)) == 3
    assert keys[1] == _key(scope=Scope.FILE, image_sha256="a" * 64)
    assert _key(scope=Scope.FRAME, image_sha256="a" * 64) == _key(scope=Scope.FRAME)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"kind": "Measurement"}'])
def test_a_damaged_entry_is_a_miss_and_is_said(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cache = MeasurementCache(tmp_path)
    cache.put(_key(), _MEASUREMENT)
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert cache.get(_key()) is None
    assert f"Measuring again: '{entry}' is damaged" in caplog.text
    cache.put(_key(), _MEASUREMENT)
    assert cache.get(_key()) == _MEASUREMENT


def test_an_altered_number_is_a_miss(tmp_path: Path) -> None:
    cache = MeasurementCache(tmp_path)
    cache.put(_key(), _MEASUREMENT)
    (entry,) = tmp_path.iterdir()
    entry.write_text(entry.read_text().replace("14.123456789", "4.123456789"))
    assert cache.get(_key()) is None


def test_a_cache_that_cannot_be_written_costs_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        MeasurementCache(tmp_path / "file").put(_key(), _MEASUREMENT)
    assert "A measurement could not be kept for later runs" in caplog.text


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^A key is 64 hexadecimal digits, from measurement_key"):
        MeasurementCache(tmp_path).get("../secrets")


_EARLY = replace(_MEASUREMENT, stopped_early=True, runs=16, seconds=0.2)


@pytest.mark.parametrize(
    ("measurement", "request_", "expected"),
    [
        pytest.param(_MEASUREMENT, _REQUEST, True, id="measured as long as asked"),
        pytest.param(_MEASUREMENT, replace(_REQUEST, min_runs=1000), False, id="too few runs"),
        pytest.param(_MEASUREMENT, replace(_REQUEST, min_seconds=9.0), False, id="too short"),
        pytest.param(
            _MEASUREMENT,
            replace(_REQUEST, min_runs=1000, max_seconds=3.0),
            True,
            id="took what time there is",
        ),
        pytest.param(_MEASUREMENT, replace(_REQUEST, memory=True), False, id="memory unknown"),
        pytest.param(_EARLY, _REQUEST, True, id="stopped early, misses this budget too"),
        pytest.param(
            _EARLY,
            replace(_REQUEST, budgets=(LatencyBudget("p95", 20.0),)),
            False,
            id="stopped early, may meet this budget",
        ),
        pytest.param(_EARLY, replace(_REQUEST, stop_early=False), False, id="wanted in full"),
    ],
)
def test_an_earlier_measurement_answers_only_what_it_can(
    measurement: Measurement, request_: MeasureRequest, expected: bool
) -> None:
    assert answers(measurement, request_) is expected


def test_both_faces_of_the_package_are_light(tmp_path: Path, make_network: Callable) -> None:  # type: ignore[type-arg]
    import automl.hardware

    assert automl.hardware.MeasureRequest is MeasureRequest
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        automl.hardware.Nothing  # noqa: B018
