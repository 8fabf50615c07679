"""What ends a run at once: a second Ctrl-C, and a node that does not wait for what takes too long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from run_maker import marked_processes, wait_for

BUSY = """\
import subprocess, sys, time
import click
from automl import cli
from automl.pipeline.last_words import last_words

@click.command()
def busy():
    with last_words(lambda: "Stopped. Go on with: automl resume runs/x"):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        try:
            print("ready", flush=True)
            time.sleep(600)
        finally:
            print("ending", flush=True)
            time.sleep(600)  # a library that takes its time to end

cli.cli.add_command(busy)
cli.COMMANDS = {**cli.COMMANDS, "busy": cli.Entry("__main__:busy", "")}
sys.exit(cli.main(["busy"]))
"""
MARK = f"AUTOML_TEST_MARK=stopping-{os.getpid()}"


def stop(signals: Sequence[int]) -> tuple[int, str, float]:
    """Return exit code, what was said, and how long it took from the first signal."""
    name, _, value = MARK.partition("=")
    with subprocess.Popen(
        [sys.executable, "-c", BUSY],
        env={**os.environ, name: value},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        process.send_signal(signals[0])
        assert process.stdout.readline() == "ending\n"
        for number in signals[1:]:
            process.send_signal(number)
        _, said = process.communicate(timeout=60)
        return process.returncode, said, time.monotonic() - started


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ((signal.SIGINT, signal.SIGINT), 130),
        ((signal.SIGTERM, signal.SIGTERM), 143),
        ((signal.SIGTERM, signal.SIGINT), 143),
    ],
)
def test_a_second_signal_ends_at_once_with_all_that_was_started(
    signals: tuple[int, int], code: int
) -> None:
    ended, said, seconds = stop(signals)
    assert (ended, said) == (code, "Interrupted. Stopped at once.\n")
    assert seconds < 5.0
    assert wait_for(lambda: not marked_processes(MARK), seconds=5.0)


def test_what_takes_too_long_to_end_is_ended_within_ten_seconds() -> None:
    code, said, seconds = stop([signal.SIGTERM])
    assert (code, said) == (143, "Interrupted. Stopped. Go on with: automl resume runs/x\n")
    assert seconds < 10.0
    assert wait_for(lambda: not marked_processes(MARK), seconds=5.0)
