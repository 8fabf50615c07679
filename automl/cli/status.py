"""``automl status``: how far a run is, of one that goes on, ended, or was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["status"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def status(run: Path, as_json: bool) -> None:
    """Show the stage, the trials and the best score of RUN (its folder)."""
    import json

    from automl.pipeline.folder import RunFolder

    folder = RunFolder.existing(run)
    facts = _facts(folder)
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):>16}: {value}")


def _facts(folder: Any) -> dict[str, Any]:
    from automl.records import TrialStatus
    from automl.units import format_duration

    spec, state, plan = folder.read_spec(), folder.read_state(), folder.read_plan()
    trials, selection = folder.read_trials(), folder.read_selection()
    running = folder.is_locked()
    if selection is not None:
        phase = "finished"
    elif running:
        phase = "running"
    else:
        phase = f"interrupted; go on with: automl resume {folder.path}"
    scores = [t.objective for t in trials if t.status is TrialStatus.FINISHED and t.objective]
    return {
        "run": str(folder.path),
        "phase": phase,
        "stages_done": ", ".join(s.stage for s in state.stages) if state else "",
        "time_used": format_duration(state.elapsed_s) if state else "unknown",
        "time_allowed": format_duration(spec.search.time_s),
        "candidates_fit": len(plan.feasible()) if plan else None,
        "trials_finished": sum(t.status is TrialStatus.FINISHED for t in trials),
        "trials_stopped": sum(t.status is TrialStatus.STOPPED for t in trials),
        "trials_failed": sum(t.status is TrialStatus.FAILED for t in trials),
        "best_score": max(scores, default=None),
        "objective": spec.objective,
    }
