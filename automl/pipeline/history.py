"""A run as one record, put together from the files of its folder: what the report and the CLI read."""

from __future__ import annotations

import shlex
from pathlib import Path

from automl.errors import RunError
from automl.pipeline.folder import RunFolder, RunState
from automl.pipeline.quality import with_clean_score
from automl.records import (
    Candidate,
    Plan,
    PreparedData,
    RunRecord,
    Selection,
    Spec,
    StageTime,
    TrialResult,
)

__all__ = ["first_deployable_s", "make_record", "read_run"]


def read_run(path: Path) -> RunRecord:
    """Return what a run folder holds, of a finished run or one under way.

    Raises:
        RunError: when there is no run, or it has not come as far as a plan.
    """
    folder = RunFolder.existing(path)
    data, plan, state = folder.read_data(), folder.read_plan(), folder.read_state()
    if data is None or plan is None or state is None:
        command = f"automl resume {shlex.quote(str(path))}"
        raise RunError(f"'{path}' has no plan yet. Go on with: {command}")
    return make_record(
        folder, folder.read_spec(), data, plan, folder.read_trials(), folder.read_selection(), state
    )


def first_deployable_s(trials: tuple[TrialResult, ...], plan: Plan) -> float | None:
    """Return when the first file that may be delivered was written, in seconds of the run."""
    feasible = set(plan.feasible())
    times = [
        t.finished_after_s
        for t in trials
        if any(
            a.rejected is None and Candidate(t.architecture, a.scheme) in feasible
            for a in t.artifacts
        )
    ]
    return min(times, default=None)


def make_record(
    folder: RunFolder,
    spec: Spec,
    data: PreparedData,
    plan: Plan,
    trials: tuple[TrialResult, ...],
    selection: Selection | None,
    state: RunState,
) -> RunRecord:
    """Return a run as one record."""
    return RunRecord(
        name=folder.path.name,
        folder=str(folder.path),
        spec=spec,
        data=data,
        plan=plan,
        trials=trials,
        selection=selection,
        stages=_summed(state.stages),
        first_deployable_s=state.first_deployable_s,
        seconds=state.elapsed_s,
        versions=state.versions,
        started_at=state.started_at,
        resumed=state.resumed,
        quality=with_clean_score(folder.read_quality(), selection, spec.objective),
        probes=folder.read_probes(),
    )


def _summed(stages: tuple[StageTime, ...]) -> tuple[StageTime, ...]:
    """Add up the parts of a stage that a resumed run went through more than once."""
    total: dict[str, float] = {}
    for stage in stages:
        total[stage.stage] = total.get(stage.stage, 0.0) + stage.seconds
    return tuple(StageTime(name, round(seconds, 3)) for name, seconds in total.items())
