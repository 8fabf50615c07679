"""How plans and outcomes are printed: tables on a terminal, plain text elsewhere. On stdout."""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import Any

from automl.errors import NotAttainableError
from automl.pipeline.outcome import unmet
from automl.records import Plan, RunRecord, TargetSelection, Verdict
from automl.report.chance import describe_guessing
from automl.spec.problems import escape
from automl.units import format_duration, format_latency, format_size, plural

__all__ = ["console", "finish", "outcome_json", "print_outcome", "print_plan"]


def console() -> Any:
    """Return the terminal, or plain text of a fixed width elsewhere."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    return Console(highlight=False, width=width)


def print_plan(plan: Plan) -> None:
    """Print the verdict on every candidate, those that fit first."""
    from rich.table import Table

    screen = console()
    fits = len(plan.feasible())
    for target in dict.fromkeys(v.target for v in plan.verdicts):
        table = Table(title=f"Plan for target '{_safe(target)}'", title_justify="left")
        for column in ("candidate", "verdict", "p50", "p95", "size", "why"):
            table.add_column(column, overflow="fold", no_wrap=column in ("p50", "p95", "size"))
        verdicts = [v for v in plan.verdicts if v.target == target]
        for verdict in sorted(verdicts, key=_plan_order):
            table.add_row(*_plan_row(verdict))
        screen.print(table)
    for note in plan.notes:
        screen.print(f"Note: {_safe(note)}")
    screen.print(
        f"Worth training: {plural(fits, 'candidate')} of "
        f"{plural(len(plan.architectures), 'architecture')}. "
        f"{plural(plan.measured, 'file')} measured, {_predicted_files(plan)}{plan.cached} known from "
        "before, "
        f"in {format_duration(plan.seconds)}."
    )


def _predicted_files(plan: Plan) -> str:
    return f"{plan.predicted} predicted, " if plan.predicted else ""


def _plan_order(verdict: Verdict) -> tuple[bool, float]:
    known = verdict.evidence
    return (not verdict.status.is_feasible, known.p50_ms.value if known else float("inf"))


def _plan_row(verdict: Verdict) -> tuple[str, ...]:
    known = verdict.evidence
    colour = "green" if verdict.status.is_feasible else "red"
    source = "" if verdict.forecast is None else " [yellow]predicted[/]"
    return (
        _safe(verdict.candidate.key),
        f"[{colour}]{verdict.status.value}[/]{source}",
        format_latency(known.p50_ms.value) if known else "-",
        format_latency(known.p95_ms.value) if known else "-",
        format_size(known.size_bytes) if known else "-",
        _safe(verdict.reason),
    )


def finish(record: RunRecord, *, as_json: bool) -> None:
    """Print the outcome of a run.

    Raises:
        NotAttainableError: a requirement is not met, so that the exit code says it.
    """
    if as_json:
        print(json.dumps(outcome_json(record), indent=1, ensure_ascii=False))
    else:
        print_outcome(record)
    problems = unmet(record)
    if problems:
        lines = "\n".join(problems).split("\n")
        raise NotAttainableError("\n".join(map(escape, lines)))


def print_outcome(record: RunRecord) -> None:
    """Print, for each target, what was asked and got, and where everything is."""
    screen = console()
    if record.selection is not None:
        for chosen in record.selection.targets:
            if chosen.winner is not None:
                _print_winner(screen, record, chosen)
    ended = format_duration(record.seconds)
    screen.print(f"{_counted(record)} in {ended}.")
    report = escape(_shown(os.path.join(record.folder, "report.html")))
    screen.print(f"Report: {report}", soft_wrap=True, markup=False)
    if record.selection is None:
        return
    for chosen in record.selection.targets:
        if chosen.winner is not None:
            bundle = _shown(os.path.join(record.folder, "bundle", chosen.target.name))
            screen.print(f"Bundle: {escape(bundle)}", soft_wrap=True, markup=False)
            screen.print(
                f"Try a new image: automl predict {_quoted(bundle)} {_quoted(_example(record))}",
                soft_wrap=True,
                markup=False,
            )


def _counted(record: RunRecord) -> str:
    """Return how many trainings there were, and how many cheaper looks at networks."""
    trained = sum(trial.rung == "train" for trial in record.trials)
    looks = len(record.trials) - trained
    cheaper = f" and {plural(looks, 'cheaper look')} at networks" if looks else ""
    return f"{plural(trained, 'trial')}{cheaper}"


def _print_winner(screen: Any, record: RunRecord, chosen: TargetSelection) -> None:
    from rich.table import Table

    assert chosen.candidate is not None
    table = Table(
        title=f"Target '{_safe(chosen.target.name)}': {_safe(chosen.candidate.key)}",
        title_justify="left",
    )
    how = "how it was measured" if chosen.proven else "how it is known"
    for column in ("asked", "got", "holds", how):
        table.add_column(column, overflow="fold")
    for claim in chosen.claims:
        holds = "[green]yes[/]" if claim.holds else "[red]no[/]"
        if not claim.proven:
            holds = f"[yellow]{'yes' if claim.holds else 'unsure'}, predicted[/]"
        table.add_row(_safe(claim.requirement), _safe(claim.got), holds, _safe(claim.how))
    screen.print(table)
    if not chosen.proven:
        bundle = _shown(os.path.join(record.folder, "bundle", chosen.target.name))
        screen.print(
            "Predicted, not proven. To prove it, start 'automl agent' on the device, then run: "
            f"automl verify {_quoted(bundle)} --device http://DEVICE:8420",
            soft_wrap=True,
            markup=False,
            style="yellow",
        )
    guessing = describe_guessing(chosen.test_scores, record.spec.objective, task=record.spec.task)
    if guessing:
        screen.print(f"[yellow]{guessing}[/]")


def outcome_json(record: RunRecord) -> dict[str, Any]:
    """Return the outcome for machines: one entry a target."""
    targets = []
    for chosen in record.selection.targets if record.selection is not None else ():
        targets.append(
            {
                "target": chosen.target.name,
                "fits": chosen.winner is not None and all(c.holds for c in chosen.claims),
                "proven": chosen.winner is not None and chosen.proven,
                "candidate": chosen.candidate.key if chosen.candidate else None,
                "bundle": os.path.join(record.folder, "bundle", chosen.target.name)
                if chosen.winner
                else None,
                "sha256": chosen.winner.sha256 if chosen.winner else None,
                "test_scores": chosen.test_scores.values if chosen.test_scores else None,
                "claims": [
                    {
                        "requirement": c.requirement,
                        "got": c.got,
                        "how": c.how,
                        "holds": c.holds,
                        "proven": c.proven,
                    }
                    for c in chosen.claims
                ],
                "best_reached": chosen.best_reached,
                "binding": chosen.binding,
                "relaxation": chosen.relaxation,
            }
        )
    return {
        "run": record.folder,
        "report": os.path.join(record.folder, "report.html"),
        "seconds": record.seconds,
        "trials": sum(trial.rung == "train" for trial in record.trials),
        "looks": sum(trial.rung != "train" for trial in record.trials),
        "targets": targets,
    }


def _safe(text: str) -> str:
    """Return a name or a sentence that neither steers the terminal nor is read as rich's markup."""
    from rich.markup import escape as escape_markup

    return escape_markup(escape(text))


def _quoted(path: str) -> str:
    """Return a path to paste into a shell."""
    return escape(shlex.quote(path))


def _shown(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _example(record: RunRecord) -> str:
    """Return an image of the test split to try the command on; one that can be typed, if any."""
    from automl.records import Split

    dataset = record.data.dataset
    paths = [dataset.samples[i].path for i in dataset.indices(Split.TEST)]
    path = next((path for path in paths if path.isprintable()), paths[0])
    return _shown(os.path.join(dataset.root, path))
