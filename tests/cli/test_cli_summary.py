"""What ends up on the terminal: names are text, never commands to the terminal or to the shell."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
import report_records

from automl.cli.summary import finish, print_outcome, print_plan
from automl.errors import NotAttainableError
from automl.records import RunRecord, Scores, Selection

EVIL = "\x1b[31m<script> [bold]x\u202e"
SHOWN = "\\x1b[31m<script> [bold]x\\u202e"


def hostile(*files: str) -> RunRecord:
    """Return a run whose target, class, folder and files try to be more than names."""
    record = report_records.passing()
    assert record.selection is not None
    chosen = record.selection.targets[0]
    claim = replace(chosen.claims[0], requirement=f"recall[{EVIL}] >= 0.9", how=EVIL)
    target = replace(chosen.target, name=EVIL)
    dataset = record.data.dataset
    samples = tuple(replace(dataset.samples[0], path=file) for file in files)
    return replace(
        record,
        folder=f"runs/{EVIL}",
        data=replace(record.data, dataset=replace(dataset, samples=samples)),
        selection=Selection((replace(chosen, target=target, claims=(claim,)),)),
    )


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcome(hostile(f"{EVIL}.jpg"))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert f"Target '{SHOWN}'" in out
    assert f"Report: runs/{SHOWN}/report.html" in out
    assert f"Bundle: runs/{SHOWN}/bundle/{SHOWN}" in out
    command = out.splitlines()[-1].removeprefix("Try a new image: ")
    assert command == (
        f"automl predict 'runs/{SHOWN}/bundle/{SHOWN}' {shlex.quote(f'/data/{SHOWN}.jpg')}"
    )


def test_the_example_is_a_file_that_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcome(hostile(f"{EVIL}.jpg", "a <script> b.jpg"))
    assert capsys.readouterr().out.endswith(" '/data/a <script> b.jpg'\n")


def test_plan_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    plan = report_records.passing().plan
    verdicts = tuple(replace(verdict, target=EVIL, reason=EVIL) for verdict in plan.verdicts)
    print_plan(replace(plan, verdicts=verdicts, notes=(EVIL,)))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert f"Note: {SHOWN}" in out


def test_what_is_not_met_cannot_steer_the_terminal() -> None:
    record = hostile("a.jpg")
    assert record.selection is not None
    chosen = record.selection.targets[0]
    missed = replace(chosen, claims=(replace(chosen.claims[0], holds=False),))
    with pytest.raises(NotAttainableError) as caught:
        finish(replace(record, selection=Selection((missed,))), as_json=False)
    assert str(caught.value).startswith(f"Target '{SHOWN}' misses 'recall[{SHOWN}] >= 0.9': got ")


def test_a_model_that_guesses_is_not_praised(capsys: pytest.CaptureFixture[str]) -> None:
    record = report_records.passing()
    assert record.selection is not None
    print_outcome(record)
    assert "guessing" not in capsys.readouterr().out
    scores = Scores({"balanced-accuracy": 0.5}, ((0, 90), (0, 102)), 192)
    chosen = replace(record.selection.targets[0], test_scores=scores)
    print_outcome(replace(record, selection=Selection((chosen,))))
    assert "It is no better than guessing: " in capsys.readouterr().out
