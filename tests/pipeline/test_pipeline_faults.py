"""A run that is killed at random moments ends as the run that nothing happened to.

The long form, with every fault, is ``python -m benchmarks.faults``.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from run_maker import (
    Finished,
    alive,
    command,
    descendants,
    hash_tree,
    marked_processes,
    run_automl,
    shared_run,
    wait_for,
)

from automl.pipeline.engine import read_run
from automl.pipeline.folder import RunFolder
from automl.records import Recipe

MARK = f"AUTOML_TEST_MARK=faults-{os.getpid()}"
SEED = 20_261_123
LATEST_S = 20.0
"""Kills come at most so long after a run has a folder, and not later than its next result."""
PATIENCE_S = 240.0


@dataclass(frozen=True)
class Killed:
    """What a run went through, and how it ended."""

    run: Path
    kept: dict[str, tuple[str, int]]
    """Results that were there at a kill."""
    moments: tuple[float, ...]
    """Seconds."""
    codes: tuple[int, ...]
    """How each driver ended that was killed."""
    last: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def reference(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return shared_run(tmp_path_factory.getbasetemp(), paper_images)


@pytest.fixture(scope="module")
def killed(reference: Finished, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """A run of the reference's spec that is killed twice: with its group, and the driver alone."""
    project = tmp_path_factory.mktemp("faults")
    for name in ("paper.yaml", "space.yaml"):
        shutil.copyfile(reference.project / name, project / name)
    run, rng = project / "runs" / "paper", random.Random(SEED)
    moments = tuple(rng.uniform(0.0, LATEST_S) for _ in range(2))
    first = kill(run, project, moments[0], group=True, begin=("run", "paper.yaml"))
    kept = results(run)
    second = kill(run, project, moments[1], group=False, begin=("resume", "runs/paper"), least=1)
    kept |= results(run)
    last = run_automl("resume", "runs/paper", cwd=project)
    return Killed(run, kept, moments, (first, second), last)


def kill(
    run: Path, project: Path, moment: float, *, group: bool, begin: tuple[str, ...], least: int = 0
) -> int:
    """Kill a driver so long after the run has a folder, or at a new result; return how it ended.

    What the driver left behind may go on for a moment, in which it may still write results.

    Args:
        least: results that there must be first.
    """
    with driver(*begin, cwd=project) as process:
        assert wait_for((run / "run.json").exists, seconds=60.0)
        before = results(run)
        wait_for(lambda: results(run) != before, seconds=moment)
        assert wait_for(lambda: len(results(run)) >= least, seconds=PATIENCE_S)
        assert process.poll() is None, "the driver had ended before the kill"
        family = descendants(process.pid)
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        code = process.wait()
    assert wait_for(lambda: not alive(family), seconds=30.0), alive(family)
    return code


def kill_when_chosen(run: Path, project: Path) -> int:
    """Kill a driver and its group once it has selected; return how it ended."""
    with driver("resume", "runs/paper", cwd=project) as process:
        assert wait_for((run / "selection.json").exists, seconds=PATIENCE_S)
        assert not (run / "report.html").exists()
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def results(run: Path) -> dict[str, tuple[str, int]]:
    """Return content and time of change of every result."""
    return hash_tree(run / "trials", "result.json")


@contextmanager
def driver(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    name, _, value = MARK.partition("=")
    process = subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, name: value},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def recipes(run: Path) -> list[tuple[str, str, Recipe]]:
    return [(t.id, t.rung, t.recipe) for t in RunFolder(run).read_trials()]


def test_the_driver_was_alive_at_each_kill_and_a_trial_had_ended(killed: Killed) -> None:
    assert killed.codes == (-signal.SIGKILL, -signal.SIGKILL), killed.moments
    assert killed.kept


def test_it_ends_with_every_trial_that_had_ended_and_none_is_run_again(killed: Killed) -> None:
    assert killed.last.returncode == 0, (killed.moments, killed.last.stderr)
    assert "Traceback" not in killed.last.stderr
    now = results(killed.run)
    assert {name: now.get(name) for name in killed.kept} == killed.kept


def test_no_trial_is_left_without_a_result(killed: Killed) -> None:
    folder = RunFolder(killed.run)
    assert {t.id for t in folder.read_trials()} == set(folder.trial_ids())
    assert list((killed.run / "trials").glob("*/checkpoint.safetensors")) == []


def test_trials_and_winner_are_those_of_the_run_that_nothing_happened_to(
    killed: Killed, reference: Finished
) -> None:
    assert recipes(killed.run) == recipes(reference.path)
    winners = []
    for run in (killed.run, reference.path):
        selection = RunFolder(run).read_selection()
        assert selection is not None
        (chosen,) = selection.targets
        winners.append((chosen.trial_id, chosen.candidate))
    assert winners[0] == winners[1]


def test_nothing_that_a_killed_driver_started_goes_on(killed: Killed) -> None:
    assert wait_for(lambda: not marked_processes(MARK), seconds=30.0)


def test_a_run_that_is_killed_when_its_winner_was_chosen_ends_with_that_winner(
    reference: Finished, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "paper"
    shutil.copytree(reference.path, run)
    for made in ("selection.json", "report.html"):
        (run / made).unlink()
    before = results(run)
    assert kill_when_chosen(run, tmp_path) == -signal.SIGKILL
    last = run_automl("resume", "runs/paper", cwd=tmp_path)
    assert last.returncode == 0, last.stderr
    assert "Traceback" not in last.stderr
    assert (run / "report.html").exists()
    assert results(run) == before
    winners = [
        found.selection.targets[0].winner
        for found in (read_run(run), reference.record())
        if found.selection
    ]
    assert winners[0] is not None
    assert winners[0].sha256 == winners[1].sha256
