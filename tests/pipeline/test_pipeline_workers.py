"""Our own worker processes: answers in order, failures as values, deaths that cost one job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_jobs import (
    Answer,
    Number,
    answer_no_number,
    break_down,
    die_at_three,
    double,
    exit_quietly,
    note_and_wait,
    refuse,
    sleep,
)

from automl.pipeline.workers import JobFailure, WorkerPool


@pytest.fixture(autouse=True)
def _importable_in_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parent))


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2, threads=1) as made:
        yield made


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def values(results: Iterator[Answer | JobFailure]) -> list[int]:
    found = []
    for result in results:
        assert isinstance(result, Answer), result
        found.append(result.value)
    return found


def processes(pool: WorkerPool) -> set[int]:
    """Return the processes that answered some jobs."""
    found = set()
    for result in pool.map(double, [Number(n) for n in range(6)]):
        assert isinstance(result, Answer), result
        found.add(result.process)
    return found


def test_answers_come_in_the_order_of_the_questions(pool: WorkerPool) -> None:
    numbers = [Number(n, "ä\n\u2028") for n in range(8)]
    assert values(pool.map(double, numbers)) == [2 * n for n in range(8)]
    assert list(pool.map(double, [])) == []


def test_processes_are_kept_for_the_next_job(pool: WorkerPool) -> None:
    pool.warm_up()
    first, second = processes(pool), processes(pool)
    assert len(first | second) <= 2
    assert os.getpid() not in first


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (refuse, "No image 5."),
        (break_down, "ZeroDivisionError: integer division or modulo by zero"),
        (exit_quietly, "its process ended with code 5"),
        (
            answer_no_number,
            "ValueError: Out of range float values are not JSON compliant",
        ),
    ],
)
def test_a_job_that_fails_is_a_value_and_the_pool_goes_on(
    pool: WorkerPool, job: object, error: str
) -> None:
    (failed,) = pool.map(job, [Number(5)])  # type: ignore[arg-type]  # a table
    assert isinstance(failed, JobFailure)
    assert failed.error.startswith(error)
    assert values(pool.map(double, [Number(1)])) == [2]


def test_a_killed_worker_costs_one_job(pool: WorkerPool) -> None:
    results = list(pool.map(die_at_three, [Number(n) for n in range(6)]))
    assert results[3] == JobFailure(
        "its process ended with code -9 (killed: most often the machine ran out of memory)"
    )
    assert [r.value for r in results if isinstance(r, Answer)] == [0, 2, 4, 8, 10]


def test_a_worker_killed_while_it_waits_costs_no_job() -> None:
    with WorkerPool(1, threads=1) as pool:
        (before,) = pool.map(double, [Number(1)])
        assert isinstance(before, Answer)
        os.kill(before.process, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while _state(before.process) not in ("Z", "") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert values(pool.map(double, [Number(4)])) == [8]


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def test_a_job_that_takes_too_long_is_ended_and_said_so() -> None:
    with WorkerPool(1, threads=1, timeout_s=4.0) as pool:
        assert values(pool.map(double, [Number(1)])) == [2]
        for _ in range(2):
            (failed,) = pool.map(sleep, [Number(60)])
            assert failed == JobFailure("took longer than 4 s and was ended")
        assert values(pool.map(double, [Number(1)])) == [2]


def test_closing_leaves_no_process_and_the_pool_can_be_used_again() -> None:
    pool = WorkerPool(2, threads=1)
    pool.warm_up()
    before = processes(pool)
    pool.close()
    assert not any(is_alive(process) for process in before)
    (again,) = pool.map(double, [Number(21)])
    assert isinstance(again, Answer)
    assert again.process not in before
    pool.close()
    assert not is_alive(again.process)
    pool.close()


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    here, noted = Path(__file__).resolve().parent, tmp_path / "process"
    script = tmp_path / "driver.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from automl.pipeline.workers import WorkerPool
            from worker_jobs import Number, note_and_wait
            list(WorkerPool(1, threads=1).map(note_and_wait, [Number(1, sys.argv[1])]))
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(here)}
    driver = subprocess.Popen([sys.executable, str(script), str(noted)], env=environment)
    deadline = time.monotonic() + 30
    while not (noted.exists() and noted.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    worker = int(noted.read_text())
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 10
    while _state(worker) not in ("Z", "") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _state(worker) in ("Z", "")


def test_workers_serve_a_plain_script_without_a_guard(tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(
        textwrap.dedent(
            """
            from automl.pipeline.workers import WorkerPool
            from worker_jobs import Number, double
            with WorkerPool(2, threads=1) as pool:
                print([answer.value for answer in pool.map(double, [Number(1), Number(2)])])
            """
        )
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "[2, 4]\n", "")


def test_a_job_is_given_its_threads_only(pool: WorkerPool) -> None:
    assert note_and_wait.__module__ == "worker_jobs"
    (answer,) = pool.map(double, [Number(1)])
    assert isinstance(answer, Answer)
    environment = Path(f"/proc/{answer.process}/environ").read_bytes().split(b"\0")
    assert b"OMP_NUM_THREADS=1" in environment
