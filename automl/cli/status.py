"""``automl status``: how far a run, a batch, or a job of a cluster is, of one that goes on or ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["status"]


@click.command()
@click.argument("run", required=False)
@click.option("--address", metavar="URL", help="A cluster's dashboard, such as http://head:8265.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def status(run: str | None, address: str | None, as_json: bool) -> None:
    """Show how far RUN is: the folder of a run or of a batch, or a run's address such as s3://….

    With --address: the batches of a cluster, or with the id of one its last lines as well.
    """
    import json

    if address is not None:
        facts = _job_facts(address, run)
    elif run is None:
        raise click.UsageError("Give the folder of a run, or --address of a cluster.")
    else:
        facts = _facts_of(run)
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for number, one in enumerate(facts if isinstance(facts, list) else [facts]):
        if number:
            click.echo()
        _print(one)


def _print(facts: dict[str, Any]) -> None:
    from automl.spec.problems import escape

    for name, value in facts.items():
        if isinstance(value, list):
            for line in value:
                click.echo(escape(str(line)))
        else:
            click.echo(escape(f"{name.replace('_', ' '):>16}: {value}"))


def _facts_of(run: str) -> dict[str, Any]:
    from automl.pipeline.batch import known_batch
    from automl.pipeline.folder import RunFolder
    from automl.pipeline.mirror import peek_run

    found = known_batch(Path(run))
    if found is not None:
        return _batch_facts(run, found)
    with peek_run(run) as (folder, is_running):
        return _facts(RunFolder.existing(folder), run, is_running=is_running)


def _job_facts(address: str, job: str | None) -> list[dict[str, Any]] | dict[str, Any]:
    from dataclasses import asdict

    from automl.errors import RunError
    from automl.pipeline.job import jobs, tail

    known = jobs(address)
    if job is None:
        return [asdict(one) for one in known]
    found = [one for one in known if one.id == job]
    if not found:
        raise RunError(
            f"The cluster at '{address}' knows of no batch '{job}'. 'automl status --address "
            f"{address}' lists those it knows."
        )
    return {**asdict(found[0]), "log": list(tail(address, job))}


def _batch_facts(run: str, found: Any) -> dict[str, Any]:
    from automl.pipeline.folder import RunFolder
    from automl.report.batch_page import batch_cost, batch_headline

    is_running = RunFolder(Path(run)).is_locked()
    return {
        "batch": run,
        "phase": "running" if is_running else "ended; the same command goes on with the rest",
        "outcome": batch_headline(found),
        "took": batch_cost(found),
        "specs": [f"{e.number:>16}: {e.name}: {e.status.value}" for e in found.entries],
    }


def _facts(folder: Any, run: str, *, is_running: bool) -> dict[str, Any]:
    from automl.records import TrialStatus
    from automl.units import format_duration

    spec, state, plan = folder.read_spec(), folder.read_state(), folder.read_plan()
    trials, selection = folder.read_trials(), folder.read_selection()
    if selection is not None:
        phase = "finished"
    elif is_running:
        phase = "running"
    else:
        phase = f"interrupted; go on with: automl resume {run}"
    scores = [t.objective for t in trials if t.status is TrialStatus.FINISHED and t.objective]
    return {
        "run": run,
        "phase": phase,
        "stages_done": ", ".join(s.stage for s in state.stages) if state else "",
        "time_used": format_duration(state.elapsed_s) if state else "unknown",
        "time_allowed": format_duration(spec.search.time_s),
        "candidates_fit": len(plan.feasible()) if plan else None,
        "trials_finished": sum(
            t.status is TrialStatus.FINISHED and t.rung == "train" for t in trials
        ),
        "trials_stopped": sum(t.status is TrialStatus.STOPPED for t in trials),
        "trials_failed": sum(t.status is TrialStatus.FAILED for t in trials),
        "looks_before_training": len(folder.read_probes()) + sum(t.rung != "train" for t in trials),
        "best_score": max(scores, default=None),
        "objective": spec.objective,
    }
