"""Jobs of an agent in this process: who waits too long, who asks for too much."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from agent_process import wait_until

from automl.hardware.agent.checks import RefusedError
from automl.hardware.agent.jobs import Jobs
from automl.hardware.agent.protocol import MeasureOrder
from automl.hardware.agent.store import FileStore

Make = Callable[..., Any]


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files", max_upload_bytes=10**6, max_store_bytes=10**7)


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def jobs(
    tmp_path: Path, store: FileStore, clock: _Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Jobs]:
    monkeypatch.setattr("automl.hardware.agent.jobs._WATCH_S", 0.05)
    made = Jobs(store, tmp_path / "outputs", lease_s=600.0, clock=clock)
    yield made
    made.close()


def _order(store: FileStore, make_network: Make, *, seconds: float) -> MeasureOrder:
    network = make_network()
    content = network.path.read_bytes()
    store.receive("models", network.sha256, len(content), io.BytesIO(content))
    request = network.request(min_seconds=seconds, max_seconds=60.0)
    return MeasureOrder((replace(request, path=""),))


def _processes() -> set[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return {child for child in children if child.status() != psutil.STATUS_ZOMBIE}


def _is_known(jobs: Jobs, name: str) -> bool:
    try:
        jobs.wait(name, seen=0, timeout_s=0)
    except RefusedError as error:
        return error.status != 404
    return True


def test_a_job_that_nobody_asks_for_any_more_is_ended_with_its_processes(
    jobs: Jobs, store: FileStore, clock: _Clock, make_network: Make
) -> None:
    order, before = _order(store, make_network, seconds=60.0), _processes()
    jobs.submit("a", order)
    assert wait_until(lambda: len(_processes() - before) == 2), "the job's, the measuring process"
    clock.now += 599.0
    assert jobs.wait("a", seen=0, timeout_s=0).state == "running"
    clock.now += 599.0
    assert not wait_until(lambda: not _processes() - before, seconds=0.5), (
        "it was asked for meanwhile"
    )
    clock.now += 2.0
    assert wait_until(lambda: not _processes() - before)
    assert not _is_known(jobs, "a")


def test_the_result_of_a_job_is_kept_until_nobody_asks(
    jobs: Jobs, store: FileStore, clock: _Clock, make_network: Make
) -> None:
    jobs.submit("a", _order(store, make_network, seconds=0.0))
    assert wait_until(lambda: jobs.wait("a", seen=0, timeout_s=1).state == "done")
    result = jobs.wait("a", seen=0, timeout_s=0).result
    assert result is not None
    assert result["answers"][0]["measurement"]["runs"] >= 32
    clock.now += 601.0
    assert wait_until(lambda: "a" not in jobs._jobs)


def test_a_waiting_client_is_told_of_news_at_once(
    jobs: Jobs, store: FileStore, make_network: Make
) -> None:
    jobs.submit("a", _order(store, make_network, seconds=0.0))
    status = jobs.wait("a", seen=0, timeout_s=30)
    assert status.notes == 1
    assert status.note.startswith("measured 1 of 1: ")
    assert jobs.wait("a", seen=1, timeout_s=30).state == "done"


def test_more_jobs_than_are_kept_are_refused(
    jobs: Jobs, store: FileStore, make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl.hardware.agent.jobs._MOST_JOBS", 2)
    order = _order(store, make_network, seconds=60.0)
    jobs.submit("a", order)
    jobs.submit("b", order)
    jobs.submit("a", order)
    with pytest.raises(RefusedError, match="2 jobs are kept already") as refused:
        jobs.submit("c", order)
    assert (refused.value.status, refused.value.code) == (503, "busy")
    assert wait_until(lambda: jobs.wait("a", seen=0, timeout_s=0).state == "running")
    status = jobs.wait("b", seen=0, timeout_s=0)
    assert (status.state, status.ahead) == ("waiting", 1)


def test_a_job_that_is_ended_before_its_turn_is_never_begun(
    jobs: Jobs, store: FileStore, make_network: Make
) -> None:
    order = _order(store, make_network, seconds=60.0)
    jobs.submit("a", order)
    jobs.submit("b", order)
    jobs.end("b")
    jobs.end("a")
    jobs.end("never there")
    jobs.submit("c", replace(order, requests=(replace(order.requests[0], min_seconds=0.0),)))
    assert wait_until(lambda: jobs.wait("c", seen=0, timeout_s=1).state == "done")
    assert not _is_known(jobs, "a")


def test_a_job_with_no_outputs_has_none(jobs: Jobs, store: FileStore, make_network: Make) -> None:
    jobs.submit("a", _order(store, make_network, seconds=0.0))
    with pytest.raises(RefusedError, match="this job has no outputs"):
        jobs.outputs("a")
