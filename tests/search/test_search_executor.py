"""The search with a real local Ray: sessions of one process after another, past trials told again."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from record_makers import architecture, space, trial

from automl.errors import RunError
from automl.records import PlannedArchitecture, TrialStatus
from automl.search import executor
from automl.search.executor import Resources, StepReport, search
from automl.search.ladder import Ladder
from automl.search.study import Assignment, StudySpace, assignment_parameters

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's and pandas' own, on import and shutdown


@pytest.fixture(autouse=True)
def _importable_in_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ray's processes import this file, whose classes they run."""
    here = Path(__file__).resolve().parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(here), str(here.parent))))


ARCHITECTURES = tuple(architecture(depth=d) for d in (1, 2, 3))


@dataclass
class CountingSession:
    """Scores by depth; the third trial's process dies, as by the kernel when memory runs out."""

    assignment: Assignment
    dies_at: int
    steps: int = 0

    def step(self) -> StepReport:
        self.steps += 1
        if self.assignment.number == self.dies_at and self.steps == 2:
            os.kill(os.getpid(), 9)
        score = 0.1 * (self.assignment.architecture.depth or 0) + 0.01 * self.steps
        return StepReport(
            score, min(self.steps, 3), min(100, 30 * self.steps), self.steps > 3, "step"
        )


@dataclass(frozen=True)
class Factory:
    dies_at: int = 0

    def __call__(self, assignment: Assignment) -> CountingSession:
        return CountingSession(assignment, self.dies_at)


@dataclass
class KeepingSession:
    """Keeps in a folder how many steps each trial made, and goes on from there in any process."""

    assignment: Assignment
    folder: Path

    def step(self) -> StepReport:
        kept = self.folder / self.assignment.id
        steps = 1 + (int(kept.read_text()) if kept.exists() else 0)
        kept.write_text(str(steps))
        return StepReport(0.1, min(steps, 3), min(100, 30 * steps), steps > 3, f"step {steps}")


@dataclass(frozen=True)
class KeepingFactory:
    folder: Path

    def __call__(self, assignment: Assignment) -> KeepingSession:
        with (self.folder / "processes").open("a") as processes:
            processes.write(f"{os.getpid()}\n")
        return KeepingSession(assignment, self.folder)


@dataclass
class Diary:
    begun: list[Assignment] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    ended_early: list[str] = field(default_factory=list)
    died: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    screen: Any = field(default_factory=threading.RLock)
    """A terminal's progress holds such a lock, which cannot be pickled."""

    def started(self, assignment: Assignment) -> None:
        self.begun.append(assignment)

    def stepped(self, assignment: Assignment, report: StepReport) -> None:
        self.steps.append(report.text)
        if report.done:
            self.finished.append(assignment.id)

    def stopped(self, assignment: Assignment) -> None:
        self.ended_early.append(assignment.id)

    def crashed(self, assignment: Assignment, error: str) -> None:
        self.died.append(assignment.id)


def plain_ladder(study: StudySpace, *, trials: int | None = 6) -> Ladder:
    """No rung but training: what an anomaly task has."""
    return Ladder(
        study=study,
        planned=tuple(
            PlannedArchitecture(a, 1_000, 1_000_000 * (a.depth or 0), None)
            for a in study.architectures
        ),
        rungs=("train",),
        expected={a.key: 0.1 * (a.depth or 0) for a in study.architectures},
        images=100,
        time_s=600.0,
        cores=1,
        trial_cores=1,
        trials=trials,
    )


def run_search(diary: Diary, **changes: object) -> None:
    study = StudySpace(space(*ARCHITECTURES, epochs=(3, 4)), ARCHITECTURES)
    settings: dict[str, object] = {
        "factory": Factory(),
        "listener": diary,
        "resources": Resources(1, 1, 0.0, None),
        "seed": 0,
        "ladder": plain_ladder(study),
        "first": [],
        "tried": [],
        "trials": 6,
        "may_start": lambda: True,
        "elapsed_s": lambda: 7.5,
        "time_budget_s": 120.0,
    }
    search(study, **{**settings, **changes})  # type: ignore[arg-type]  # a table


def test_a_killed_trial_ends_alone_and_weak_ones_end_early() -> None:
    diary = Diary()
    recipe = trial(ARCHITECTURES[0]).recipe
    first = [
        {**assignment_parameters(a, recipe), "epochs": 3, "learning_rate": 1e-3}
        for a in (ARCHITECTURES[2], ARCHITECTURES[0], ARCHITECTURES[1])
    ]
    run_search(diary, factory=Factory(dies_at=3), first=first)
    begun = [(a.architecture.depth, a.recipe.epochs) for a in diary.begun[:5]]
    # The lightest, then what is expected to be best, then what the caller knows and was not begun yet.
    assert begun == [(1, 3), (3, 3), (2, 3), (3, 4), (2, 4)]
    assert diary.finished[0] == "0001-net_a-d1-128"
    assert diary.died == ["0003-net_a-d2-128"]
    assert len(diary.begun) == 6
    accounted = {*diary.finished, *diary.ended_early, *diary.died}
    assert accounted == {a.id for a in diary.begun}


def test_a_trial_that_is_paused_goes_on_in_another_process_from_what_its_session_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No scheduler of a search pauses; Tune can, and what its actor does then must hold."""
    from ray.tune import TuneConfig
    from ray.tune.schedulers import FIFOScheduler

    class PausingOnce(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
        """Pauses each trial after its first step: Tune saves it, and restores it when it goes on."""

        def __init__(self) -> None:
            super().__init__()
            self._paused: set[str] = set()

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            if trial.trial_id in self._paused:
                return str(self.CONTINUE)
            self._paused.add(trial.trial_id)
            return str(self.PAUSE)

    def without_reuse(**given: Any) -> Any:
        return TuneConfig(**{**given, "reuse_actors": False})

    monkeypatch.setattr(executor, "_scheduler", lambda trials: PausingOnce())
    monkeypatch.setattr("ray.tune.TuneConfig", without_reuse)
    diary = Diary()
    run_search(diary, factory=KeepingFactory(tmp_path), trials=1)
    assert diary.died == []
    assert diary.steps == ["step 1", "step 2", "step 3", "step 4"]
    before, after = (tmp_path / "processes").read_text().split()
    assert before != after


def test_a_resumed_search_counts_past_trials_and_goes_on_with_their_numbers() -> None:
    diary = Diary()
    tried = [
        trial(ARCHITECTURES[0], number=4, objective=0.4),
        trial(ARCHITECTURES[1], number=5, status=TrialStatus.FAILED, error="NaN"),
    ]
    run_search(diary, tried=tried, trials=3)
    assert [a.number for a in diary.begun] == [6]


def test_no_trial_starts_when_none_may() -> None:
    diary = Diary()
    run_search(diary, may_start=lambda: False)
    assert diary.begun == []


def test_trials_that_no_machine_can_hold_are_refused_at_once() -> None:
    diary = Diary()
    with pytest.raises(RunError) as caught:
        run_search(diary, resources=Resources(1, 1, 64.0, None))
    assert str(caught.value).startswith("A trial needs 64 GPU, but Ray has ")
    assert diary.begun == []
