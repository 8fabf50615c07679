"""The time of a run: the same in all its processes, and deaf to whoever sets the machine's clock."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from automl.pipeline.clock import RunClock, SharedClock

AS_A_WORKER = (
    "import pickle, sys, time\n"
    "clock = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
    "print(time.monotonic() - clock.began_here(3.0))"
)


def seconds_in_another_process(clock: SharedClock) -> float:
    made = subprocess.run(
        [sys.executable, "-c", AS_A_WORKER, pickle.dumps(clock).hex()],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(made.stdout)


def test_what_earlier_parts_took_counts() -> None:
    clock = RunClock(100.0, 160.0)
    assert 100.0 <= clock.elapsed_s < 101.0
    assert 59.0 < clock.left_s <= 60.0


def test_a_worker_on_this_machine_knows_the_time_of_the_run() -> None:
    clock = RunClock(100.0, 160.0)
    before = clock.elapsed_s
    found = seconds_in_another_process(clock.shared())
    assert before <= found <= clock.elapsed_s


def test_a_worker_on_another_machine_counts_from_when_its_trial_was_handed_out() -> None:
    elsewhere = replace(RunClock(100.0, 160.0).shared(), boot="another machine's")
    assert seconds_in_another_process(elsewhere) == pytest.approx(3.0, abs=0.5)


def test_no_system_clock_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = RunClock(5.0, 10.0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 5.0 <= clock.elapsed_s < 6.0
    assert 5.0 <= time.monotonic() - clock.shared().began_here(0.0) < 6.0
