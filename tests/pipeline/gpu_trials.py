"""Runs searches on a cluster as a program of its own, and prints when each trial held which GPU.

Ray reads how it authenticates once a process, so that a test cannot be the driver itself.

Usage: gpu_trials.py FOLDER 'TOGETHER COMPUTE'…: how many trials may run together, and ``search.compute`` of
the spec.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from record_makers import HOST, architecture, space
from run_maker import wait_for

from automl.pipeline.compute import search_resources
from automl.records import PlannedArchitecture
from automl.search.executor import StepReport, search
from automl.search.ladder import Ladder
from automl.search.study import Assignment, StudySpace
from automl.spec import parse_spec

START_S = 90.0
"""So long the processes of trials that may run together take to start on a busy computer."""
LINGER_S = 6.0
"""So long the first trial waits for one more than may run with it: several times what a process of Ray's
takes to start."""


@dataclass(frozen=True)
class HoldingSession:
    """A trial that holds what it was given until those that may run with it have begun."""

    number: int
    folder: Path
    together: int

    def step(self) -> StepReport:
        began = time.monotonic()
        (self.folder / str(self.number)).touch()
        wait_for(lambda: self._begun() >= self.together, seconds=START_S)
        if self._begun() == self.together:
            wait_for(lambda: self._begun() > self.together, seconds=LINGER_S)
        held = Held(began, time.monotonic(), os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        return StepReport(0.5, 1, 100, done=True, text=json.dumps(dataclasses.asdict(held)))

    def _begun(self) -> int:
        return len(list(self.folder.iterdir()))


@dataclass(frozen=True)
class Held:
    """When a trial ran, in seconds of one clock, and the GPUs that Ray let it see."""

    began: float
    ended: float
    gpus: str


@dataclass(frozen=True)
class Factory:
    folder: Path
    together: int

    def __call__(self, assignment: Assignment) -> HoldingSession:
        return HoldingSession(assignment.number, self.folder, self.together)


@dataclass
class Diary:
    """Keeps what every trial said in the end."""

    said: list[str]

    def started(self, assignment: Assignment) -> None:
        pass

    def stepped(self, assignment: Assignment, report: StepReport) -> None:
        self.said.append(report.text)

    def stopped(self, assignment: Assignment) -> None:
        pass

    def crashed(self, assignment: Assignment, error: str) -> None:
        raise AssertionError(error)


def held_by(compute: str, folder: Path, *, together: int) -> list[Held]:
    """Return what each trial of a search held, of one trial more than may run together."""
    folder.mkdir()
    start = "task: classification\ndata: /images\ntarget: {device: local, latency: 10ms}\n"
    text = f"{start}search: {{compute: {compute}}}\n"
    spec = parse_spec(text, source="spec.yaml", base=folder)
    networks = tuple(architecture(depth=depth) for depth in range(1, 4))
    study = StudySpace(space(*networks, epochs=(3, 4)), networks)
    trials = together + 1
    diary = Diary([])
    search(
        study,
        factory=Factory(folder, together),
        listener=diary,
        resources=search_resources(spec, HOST),
        seed=0,
        ladder=Ladder(
            study=study,
            planned=tuple(PlannedArchitecture(a, 1_000, 1_000_000, None) for a in networks),
            rungs=("train",),
            expected={a.key: 0.1 for a in networks},
            images=100,
            time_s=600.0,
            cores=1,
            trial_cores=1,
            trials=trials,
        ),
        first=[],
        tried=[],
        trials=trials,
        may_start=lambda: True,
        elapsed_s=lambda: 1.0,
        time_budget_s=240.0,
    )
    return [Held(**json.loads(text)) for text in diary.said]


def main(place: Path, cases: list[str]) -> None:
    for number, case in enumerate(cases):
        together, compute = case.split(maxsplit=1)
        held = held_by(compute, place / str(number), together=int(together))
        print(json.dumps([dataclasses.asdict(one) for one in held]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
