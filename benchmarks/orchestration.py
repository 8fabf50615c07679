"""What a search costs beside its trials: 1,000 trials of nothing, and the report of them.

    python -m benchmarks.orchestration [--trials 1000] [--at-once 1] [--only search,report] [--json]

Ray Tune, Optuna, the run folder, the listener and the report are those of a real run. A trial has one step,
which draws a result and writes it as every trial does. Prints seconds a trial at the beginning and at the
end, how much the driver's memory grew since the tenth trial, and time and size of the report.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import psutil

from automl.hardware.host import local_host
from automl.pipeline.climbing import open_ladder
from automl.pipeline.compute import search_resources
from automl.pipeline.folder import RunFolder
from automl.pipeline.listener import Listener
from automl.pipeline.observer import Silent
from automl.pipeline.pace import Pace
from automl.resources import shipped
from automl.search.executor import StepReport, search
from automl.search.study import Assignment
from automl.units import format_size
from benchmarks.commands import automl_command, say, wall_s
from benchmarks.figures import Figure, machine_facts, render_json, render_table
from benchmarks.made_run import begin_run, end_run, made_result

__all__ = ["main"]

PARTS = ("search", "report")
_TRIALS_S = 300.0
_TRIAL_S = 0.3
_FLAT = 1.5
"""Trials at the end may take so many times what trials at the beginning take."""
_GROWTH_BYTES = 100 * 10**6
_REPORT_S = 10.0
_REPORT_BYTES = 3 * 10**6
_SETTLED = 10
"""After so many trials the driver has loaded all that it loads."""
_WINDOW = 50
_SEED = 7
_HOURS_S = 36_000.0


@dataclass(frozen=True)
class InstantFactory:
    """Starts trials that end in their first step; pickled to the worker process."""

    folder: str

    def __call__(self, assignment: Assignment) -> InstantSession:
        return InstantSession(RunFolder(Path(self.folder)), assignment)


class InstantSession:
    """Writes a drawn result and says so."""

    def __init__(self, folder: RunFolder, assignment: Assignment) -> None:
        self._folder = folder
        self._assignment = assignment

    def step(self) -> StepReport:
        result = made_result(self._assignment, seed=_SEED)
        self._folder.write_trial(result)
        return StepReport(result.objective or 0.0, len(result.epochs), 100, True, "drawn")


class _Watched(Listener):
    """The listener of a run, which also notes when each trial ended and the driver's memory."""

    def begin(self) -> None:
        self.ends: list[float] = []
        self.resident: list[int] = []
        self._process = psutil.Process()

    def stepped(self, assignment: Assignment, report: StepReport) -> None:
        super().stepped(assignment, report)
        self.ends.append(time.perf_counter())
        self.resident.append(int(self._process.memory_info().rss))


@dataclass(frozen=True)
class Searched:
    """What a search of drawn trials took."""

    trials: int
    seconds: float
    ends: tuple[float, ...]
    resident: tuple[int, ...]

    @property
    def first_s(self) -> float:
        """Median seconds from one trial's end to the next, after the first few."""
        return self._median(_SETTLED, _SETTLED + _WINDOW)

    @property
    def last_s(self) -> float:
        """The same of the last trials."""
        return self._median(-_WINDOW - 1, None)

    @property
    def growth_bytes(self) -> int:
        """How much more memory the driver held at its most than after the first trials."""
        settled = self.resident[min(_SETTLED, len(self.resident)) - 1]
        return max(self.resident) - settled

    def _median(self, start: int, stop: int | None) -> float:
        gaps = [later - sooner for sooner, later in pairwise(self.ends[start:stop])]
        return statistics.median(gaps) if gaps else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for and print the table."""
    options = _options(arguments)
    machine = machine_facts()
    with tempfile.TemporaryDirectory(prefix="automl-orchestration-") as name:
        path = (options.output or Path(name)) / "run"
        figures = list(_measure(options, path))
    print(render_json(machine, figures) if options.json else render_table(machine, figures))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures what a search costs beside its trials.")
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument(
        "--at-once", type=int, help="trials; as many as the cores allow if not said"
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=Path, help="keep the run below this folder")
    options = parser.parse_args(arguments)
    options.parts = [part.strip() for part in options.only.split(",")]
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part '{unknown[0]}'; known: {', '.join(PARTS)}")
    return options


def _measure(options: argparse.Namespace, path: Path) -> Iterator[Figure]:
    if "search" in options.parts:
        yield from _search_figures(run_trials(path, options.trials, options.at_once))
    else:
        write_trials(path, options.trials)
    if "report" in options.parts:
        yield from _report_figures(path)


def run_trials(path: Path, trials: int, at_once: int | None) -> Searched:
    """Search a made run in which a trial takes no time, and return what it took all the same."""
    say(f"a search of {trials:,} trials")
    folder, study = begin_run(path, shipped("specs", "quickstart.yaml"))
    spec, plan, data, state = (
        folder.read_spec(),
        folder.read_plan(),
        folder.read_data(),
        folder.read_state(),
    )
    if plan is None or data is None or state is None:
        raise SystemExit(f"'{path}' was not written.")
    resources = search_resources(spec, local_host())
    if at_once is not None:
        resources = replace(
            resources, concurrent=at_once, threads=max(1, resources.cores // at_once)
        )
    pace = Pace(folder, left_s=lambda: _HOURS_S)
    listener = _Watched(
        folder,
        Silent(),
        tried=(),
        left_s=lambda: _HOURS_S,
        changed=lambda: folder.write_state(state),
    )
    listener.begin()
    started = time.perf_counter()
    search(
        study,
        factory=InstantFactory(str(path.resolve())),
        listener=listener,
        resources=resources,
        seed=_SEED,
        ladder=open_ladder(spec, plan, data, study, resources),
        first=(),
        tried=(),
        trials=trials,
        may_start=pace.may_start,
        elapsed_s=lambda: time.perf_counter() - started,
        time_budget_s=_HOURS_S,
    )
    listener.close()
    seconds = time.perf_counter() - started
    return Searched(
        len(folder.read_trials()), seconds, tuple(listener.ends), tuple(listener.resident)
    )


def write_trials(path: Path, trials: int) -> None:
    """Write a made run with drawn trials, without a search."""
    import random

    folder, study = begin_run(path, shipped("specs", "quickstart.yaml"))
    space, chance = study.space, random.Random(_SEED)
    for number in range(1, trials + 1):
        point = {
            "architecture": chance.choice(study.architectures).key,
            "learning_rate": chance.uniform(*space.learning_rate),
            "weight_decay": chance.uniform(*space.weight_decay),
            "epochs": chance.choice(space.epochs),
            "batch_size": chance.choice(space.batch_sizes),
            "freeze": chance.choice(space.freezes),
            "label_smoothing": chance.choice(space.label_smoothings),
            "augmentation": chance.choice(space.augmentations).name,
            "crop": chance.choice(space.crops),
        }
        folder.write_trial(made_result(study.assignment(point, number=number), seed=_SEED))


def _search_figures(seen: Searched) -> Iterator[Figure]:
    how = f"{seen.trials:,} trials of one instant step, each writing its result; Ray's start is counted"
    yield Figure(
        f"a search of {seen.trials:,} trials that do nothing",
        f"{_TRIALS_S:.0f} s",
        f"{seen.seconds:.0f} s",
        seen.seconds <= _TRIALS_S,
        how,
    )
    yield Figure(
        "a trial of these",
        f"{_TRIAL_S} s",
        f"{seen.seconds / seen.trials:.3f} s",
        seen.seconds / seen.trials <= _TRIAL_S,
        "the whole, divided by the trials",
    )
    yield Figure(
        "the same, first and last",
        f"at most {_FLAT:g}x",
        f"{seen.first_s:.3f} s and {seen.last_s:.3f} s ({seen.last_s / seen.first_s:.2f}x)",
        seen.last_s <= _FLAT * seen.first_s,
        f"median gap between two ends: {_WINDOW} trials after the first {_SETTLED}, and the last "
        f"{_WINDOW}",
    )
    yield Figure(
        f"growth of the driver since trial {_SETTLED}",
        format_size(_GROWTH_BYTES),
        format_size(seen.growth_bytes),
        seen.growth_bytes <= _GROWTH_BYTES,
        f"resident memory, at its most; {format_size(seen.resident[_SETTLED - 1])} then",
    )


def _report_figures(path: Path) -> Iterator[Figure]:
    folder = RunFolder(path)
    trials = len(folder.read_trials())
    end_run(folder)
    say(f"a report of {trials:,} trials")
    seconds = wall_s(automl_command("report", str(path)))
    size = folder.report.stat().st_size
    yield Figure(
        f"the report of {trials:,} trials",
        f"{_REPORT_S:.0f} s",
        f"{seconds:.1f} s",
        seconds <= _REPORT_S,
        "`automl report`, one process, from reading the folder to the file",
    )
    yield Figure(
        "its size",
        format_size(_REPORT_BYTES),
        format_size(size),
        size <= _REPORT_BYTES,
        "one HTML file, pictures and charts in it",
    )


if __name__ == "__main__":
    sys.exit(main())
