"""A model that guesses is never praised, however well it fits its limits."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from automl.records import RunRecord, Scores, Selection
from automl.report.answer import Outcome
from automl.report.chance import describe_guessing
from automl.report.view import build_view


@pytest.mark.parametrize(
    ("confusion", "objective", "chance"),
    [
        (((0, 20), (0, 180)), "balanced-accuracy", "a balanced accuracy of 50.0 %"),
        (((0, 20), (0, 180)), "accuracy", "an accuracy of 90.0 %"),
        (((52, 48), (46, 54)), "balanced-accuracy", "a balanced accuracy of 50.0 %"),
        (((3, 0, 0), (0, 0, 3), (3, 0, 0)), "auroc", "a balanced accuracy of 33.3 %"),
        (((16, 4), (30, 150)), "balanced-accuracy", None),
        (((90, 10), (12, 88)), "accuracy", None),
        (((5, 0), (0, 5)), "balanced-accuracy", None),
        ((), "accuracy", None),
    ],
)
def test_guessing_is_told_from_knowing(
    confusion: tuple[tuple[int, ...], ...], objective: str, chance: str | None
) -> None:
    said = describe_guessing(
        Scores({}, confusion, sum(map(sum, confusion))), objective, task="classification"
    )
    if chance is None:
        assert said == ""
        return
    assert said.startswith(
        f"It is no better than guessing: giving the same class for every image would reach {chance}"
    )


def guessing(runs: ModuleType) -> RunRecord:
    record: RunRecord = runs.passing()
    assert record.selection is not None
    scores = Scores({"balanced-accuracy": 0.5}, ((0, 90), (0, 102)), 192)
    chosen = replace(record.selection.targets[0], test_scores=scores)
    return replace(record, selection=Selection((chosen,)))


def test_answer_says_first_that_the_model_guesses(runs: ModuleType) -> None:
    view = build_view(guessing(runs))
    assert view.outcome is Outcome.PARTLY
    assert view.headline == "A model was chosen, but it is no better than guessing."
    assert view.targets[0].answer.sentences[0] == (
        "It is no better than guessing: giving the same class for every image would reach a "
        "balanced accuracy of 50.0 %, and with 192 test images the difference may be chance."
    )
