"""A trial that hangs is ended by its own process, wherever it hangs, and the others go on."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_maker import copy_images, make_spec
from record_makers import RECIPE, architecture

from automl.data import prepare
from automl.pipeline.clock import RunClock
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.listener import Listener
from automl.pipeline.observer import Silent
from automl.pipeline.time_limit import hang_text, longest_seconds
from automl.records import PlannedArchitecture, TrialStatus
from automl.search.study import Assignment

NET = architecture("test_efficientnet", size=32)
ASSIGNMENT = Assignment(f"0001-{NET.key}", 1, NET, RECIPE)
WAITS = "import time; time.sleep(600)"
HOLDS_THE_INTERPRETER = "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')"
PROGRAM = """\
import sys
from pathlib import Path
from automl.pipeline.folder import RunFolder
from automl.pipeline.time_limit import LimitedSession

class Hanging:
    def step(self):
        exec(sys.argv[2])

LimitedSession(Hanging(), RunFolder(Path(sys.argv[1])), sys.argv[3], longest_s=1.0).step()
"""
ENDS_IN_TIME = "pass"


def run_step(folder: RunFolder, what: str) -> tuple[int, float]:
    """Return how a process ended that did a step, and after how many seconds."""
    started = time.monotonic()
    command = [sys.executable, "-c", PROGRAM, folder.path, what, ASSIGNMENT.id]
    ended = subprocess.run(command, check=False, timeout=60)
    return ended.returncode, time.monotonic() - started


@pytest.mark.parametrize("hang", [WAITS, HOLDS_THE_INTERPRETER])
def test_a_process_that_hangs_ends_and_says_where_it_was(hang: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    code, seconds = run_step(folder, hang)
    assert code == 1
    assert seconds < 30.0
    assert hang_text(folder, ASSIGNMENT.id) == (
        "it took longer than a trial may take and was ended. "
        "'search.trial_time' says how long one may take."
    )


def test_a_process_that_ends_in_time_leaves_nothing(tmp_path: Path) -> None:
    assert run_step(RunFolder(tmp_path), ENDS_IN_TIME)[0] == 0
    assert hang_text(RunFolder(tmp_path), ASSIGNMENT.id) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_trial_that_hung_is_recorded_as_that(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    listener = Listener(folder, Silent(), tried=[], left_s=lambda: 60.0, changed=lambda: None)
    listener.started(ASSIGNMENT)
    run_step(folder, WAITS)
    listener.crashed(ASSIGNMENT, "its process ended")
    (result,) = folder.read_trials()
    assert result.status is TrialStatus.FAILED
    assert result.error is not None
    assert result.error.startswith("it took longer than a trial may take")


@pytest.fixture(scope="module")
def context(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> TrialContext:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    data = copy_images(paper_images, tmp_path_factory.mktemp("data"), each=24)
    spec = make_spec(data, limit_ms=100.0, bound=0.0, size_bytes=10**8)
    folder.write_data(prepare(spec.data, truth="label", stored_side=64))
    return TrialContext(
        folder=str(folder.path),
        spec=spec,
        schemes={NET.key: ("float32",)},
        planned=(PlannedArchitecture(NET, 400_000, 4_000_000_000, None),),
        weights={},
        instruction_sets=(),
        threads=1,
        gpus=0.0,
        clock=RunClock(0.0, 0.0).shared(),
        ends_after_s=600.0,
    )


def test_without_a_limit_a_trial_may_take_ten_times_what_its_size_suggests(
    context: TrialContext,
) -> None:
    day = longest_seconds(context, ASSIGNMENT, left_s=86_400.0)
    longer = replace(ASSIGNMENT, recipe=replace(RECIPE, epochs=10 * RECIPE.epochs))
    assert 300.0 < day < 86_400.0
    assert longest_seconds(context, longer, left_s=86_400.0) - 300.0 == pytest.approx(
        10 * (day - 300.0)
    )


def test_no_trial_goes_on_for_long_after_the_search(context: TrialContext) -> None:
    assert longest_seconds(context, ASSIGNMENT, left_s=5.0) == 65.0


def test_a_spec_says_how_long_a_trial_may_take(context: TrialContext) -> None:
    search = replace(context.spec.search, trial_time_s=20.0)
    limited = replace(context, spec=replace(context.spec, search=search))
    assert longest_seconds(limited, ASSIGNMENT, left_s=86_400.0) == 40.0
