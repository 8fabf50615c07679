"""What ends a run at once: a second Ctrl-C, and a node that does not wait for what takes too long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from run_maker import marked_processes, wait_for

BUSY = """\
import subprocess, sys, time
import click
from automl import cli
from automl.pipeline.last_words import last_words
from automl.search.reaper import reaped

@click.command()
def busy():
    with reaped() as folder, last_words(lambda: "Stopped. Go on with: automl resume runs/x"):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        try:
            print(folder, flush=True)
            time.sleep(600)
        finally:
            print("ending", flush=True)
            time.sleep(600)  # a library that takes its time to end

cli.cli.add_command(busy)
cli.COMMANDS = {**cli.COMMANDS, "busy": cli.Entry("__main__:busy", "")}
sys.exit(cli.main(["busy"]))
"""
DONE = """\
import atexit, sys, time
from automl import cli

@atexit.register
def close():
    print("closing", flush=True)
    time.sleep(600)  # a library that takes its time to close

sys.argv = ["automl", *sys.argv[1:]]
sys.exit(cli.main())
"""
MARK = f"AUTOML_TEST_MARK=stopping-{os.getpid()}"


@dataclass(frozen=True)
class Stopped:
    """How a command ended."""

    code: int
    said: str
    seconds: float
    """From the first signal."""
    folder: Path
    """Where what it started writes; removed when all of that has ended."""


def stop(signals: Sequence[int]) -> Stopped:
    name, _, value = MARK.partition("=")
    with subprocess.Popen(
        [sys.executable, "-c", BUSY],
        env={**os.environ, name: value},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        started = time.monotonic()
        process.send_signal(signals[0])
        assert process.stdout.readline() == "ending\n"
        for number in signals[1:]:
            process.send_signal(number)
        _, said = process.communicate(timeout=60)
        return Stopped(process.returncode, said, time.monotonic() - started, folder)


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
    stopped = stop(signals)
    assert (stopped.code, stopped.said) == (code, "Interrupted. Stopped at once.\n")
    assert stopped.seconds < 5.0
    assert wait_for(lambda: not marked_processes(MARK), seconds=30.0)
    assert not stopped.folder.exists()


def test_what_takes_too_long_to_end_is_ended_within_ten_seconds() -> None:
    stopped = stop([signal.SIGTERM])
    assert stopped.code == 143
    assert stopped.said == "Interrupted. Stopped. Go on with: automl resume runs/x\n"
    assert stopped.seconds < 10.0
    assert wait_for(lambda: not marked_processes(MARK), seconds=30.0)
    assert not stopped.folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("words", "code", "message"), [(["examples"], 0, ""), (["validate", "no.yaml"], 2, "no.yaml")]
)
def test_a_signal_after_the_command_has_ended_leaves_what_it_came_to(
    number: int, words: list[str], code: int, message: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DONE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any(line == "closing\n" for line in process.stdout)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert message in said
    assert "Interrupted" not in said
    assert "Traceback" not in said
