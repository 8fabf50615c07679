"""One run that is killed, interrupted, locked, meddled with and finished all the same.

The story is told once, by real processes; each test looks at one part of it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from run_maker import (
    Finished,
    alive,
    command,
    descendants,
    hash_tree,
    marked_processes,
    run_automl,
    running,
    shared_run,
    wait_for,
    write_space,
    write_spec,
)

from automl.pipeline.folder import RunFolder
from automl.records import Plan, TrialStatus
from automl.storage import read_record, sha256_file

TRIALS = 5
PATIENCE_S = 240.0
MARK = f"AUTOML_TEST_MARK=story-{os.getpid()}"

Ended = subprocess.CompletedProcess[str]


@dataclass
class Story:
    """What happened, in its order."""

    run: Path
    second: Ended | None = None
    status_running: Ended | None = None
    left_after_kill: list[object] = field(default_factory=list)
    status_killed: Ended | None = None
    report_killed: Ended | None = None
    kept: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The results that were there when the driver was killed."""
    interrupted: Ended | None = None
    left_after_interrupt: list[object] = field(default_factory=list)
    changed: Ended | None = None
    last: Ended | None = None


def results(run: Path) -> dict[str, tuple[str, int]]:
    """Return content and time of every trial's result; a driver may write other files meanwhile."""
    return hash_tree(run / "trials", "result.json")


def left_over(family: Sequence[psutil.Process]) -> list[object]:
    """Wait for all that a driver started to end; return what did not."""

    def left() -> list[object]:
        return [*alive(family), *marked_processes(MARK)]

    wait_for(lambda: not left(), seconds=30.0)
    return left()


def begun(run: Path) -> int:
    """Return how many trials were started so far."""
    diary = run / "events.jsonl"
    return diary.read_text().count('"trial started"') if diary.exists() else 0


@pytest.fixture(scope="module")
def story(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    shared = shared_run(tmp_path_factory.getbasetemp(), paper_images)
    project = tmp_path_factory.mktemp("story")
    write_space(project / "space.yaml")
    write_spec(project / "story.yaml", shared.data, time_s=600, trials=TRIALS)
    told = Story(project / "runs" / "story")
    _kill(told, project)
    _interrupt(told, project)
    _meddle(told, project, shared, sorted((paper_images / "pass").iterdir())[60])
    told.last = run_automl("resume", "runs/story", cwd=project)
    return told


def _kill(told: Story, project: Path) -> None:
    with running(command("run", "story.yaml"), cwd=project, mark=MARK) as process:
        assert wait_for(lambda: begun(told.run), seconds=PATIENCE_S)
        told.second = run_automl("resume", "runs/story", cwd=project)
        told.status_running = run_automl("status", "runs/story", cwd=project)
        assert wait_for(lambda: results(told.run), seconds=PATIENCE_S)
        family = descendants(process.pid)
        process.kill()
    told.kept = results(told.run)
    told.left_after_kill = left_over(family)
    told.status_killed = run_automl("status", "runs/story", cwd=project)
    told.report_killed = run_automl("report", "runs/story", cwd=project)


def _interrupt(told: Story, project: Path) -> None:
    before = begun(told.run)
    with running(command("resume", "runs/story"), cwd=project, mark=MARK) as process:
        assert wait_for(lambda: begun(told.run) > before, seconds=PATIENCE_S)
        time.sleep(0.2)
        family = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
        out, err = process.communicate(timeout=120)
        told.interrupted = Ended(process.args, process.returncode, out, err)
    told.left_after_interrupt = left_over(family)


def _meddle(told: Story, project: Path, shared: Finished, new: Path) -> None:
    image = shared.data / "pass" / "added_0.jpg"
    image.write_bytes(new.read_bytes())
    try:
        told.changed = run_automl("resume", "runs/story", cwd=project)
    finally:
        image.unlink()
    plan = told.run / "plan.json"
    plan.write_bytes(plan.read_bytes()[:-200])


def test_a_second_process_on_the_same_run_is_refused(story: Story) -> None:
    assert story.second is not None
    assert story.second.returncode == 2
    assert re.search(
        r"runs/story' is in use by process \d+ on \S+ since \d{4}-\d\d-\d\dT[\d:]+\+00:00\. Wait",
        story.second.stderr,
    ), story.second.stderr
    assert "Traceback" not in story.second.stderr


def test_status_says_that_a_run_goes_on_or_was_cut_off(story: Story) -> None:
    assert story.status_running is not None
    assert story.status_killed is not None
    assert "phase: running" in story.status_running.stdout
    expected = "phase: interrupted; go on with: automl resume runs/story"
    assert expected in story.status_killed.stdout


def test_a_killed_driver_leaves_no_processes_behind(story: Story) -> None:
    assert story.left_after_kill == []
    assert story.left_after_interrupt == []


def test_an_unfinished_run_has_a_report(story: Story) -> None:
    assert story.report_killed is not None
    assert (story.report_killed.returncode, story.report_killed.stdout) == (
        0,
        "runs/story/report.html\n",
    )


def test_ctrl_c_ends_with_the_command_that_goes_on(story: Story) -> None:
    assert story.interrupted is not None
    assert story.interrupted.returncode == 130, story.interrupted.stderr
    assert story.interrupted.stderr.splitlines()[-1].endswith(
        "Everything finished is kept; go on with: automl resume runs/story"
    )
    assert "Traceback" not in story.interrupted.stderr


def test_changed_data_is_refused_with_the_file(story: Story) -> None:
    assert story.changed is not None
    assert story.changed.returncode == 2
    assert "changed since this run began: 1 file differs (pass/added_0.jpg)" in (
        story.changed.stderr
    )


def test_no_finished_trial_is_lost_or_run_again(story: Story) -> None:
    now = results(story.run)
    assert story.kept
    assert {name: now[name] for name in story.kept} == story.kept
    trials = RunFolder(story.run).read_trials()
    assert len({t.id for t in trials}) == len({t.number for t in trials}) == len(trials) == TRIALS


def test_the_run_ends_with_a_winner_in_spite_of_all(story: Story) -> None:
    assert story.last is not None
    assert story.last.returncode == 0, story.last.stderr
    selection = RunFolder(story.run).read_selection()
    assert selection is not None
    (chosen,) = selection.targets
    assert chosen.winner is not None
    assert sha256_file(story.run / "bundle" / "local" / "model.onnx") == chosen.winner.sha256
    state = RunFolder(story.run).read_state()
    assert state is not None
    assert state.resumed >= 2
    assert any(t.status is TrialStatus.FINISHED for t in RunFolder(story.run).read_trials())


def test_a_damaged_plan_is_made_again(story: Story) -> None:
    assert read_record(story.run / "plan.json", Plan).feasible()
