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


@pytest.mark.parametrize(
    ("confusion", "objective", "chance"),
    [
        # 90 of 100 pixels are background: calling all of them so has an IoU of 90 % and 0 %.
        (((90, 0), (10, 0)), "mean-iou", "a mean IoU of 45.0 %"),
        (((90, 0), (10, 0)), "mean-dice", "a mean IoU of 45.0 %"),
        (((85, 5), (10, 0)), "pixel-accuracy", "a share of right pixels of 90.0 %"),
        (((88, 2), (6, 4)), "mean-iou", None),
        (((88, 2), (6, 4)), "pixel-accuracy", None),
        (((100, 0), (0, 0)), "mean-iou", None),
    ],
)
def test_mask_of_the_most_frequent_class_is_a_guess(
    confusion: tuple[tuple[int, ...], ...], objective: str, chance: str | None
) -> None:
    said = describe_guessing(Scores({}, confusion, 4), objective, task="segmentation")
    assert said == (
        ""
        if chance is None
        else "It is no better than guessing: giving the most frequent class to every pixel would "
        f"reach {chance}."
    )


@pytest.mark.parametrize(
    ("area", "good", "defective", "is_guess"),
    [
        # Under guessing the area scatters with sqrt((m + n + 1) / (12 m n)): 0.048 for 60 and 90.
        (0.59, 60, 90, True),
        (0.60, 60, 90, False),
        (0.95, 3, 2, True),
        (0.10, 60, 90, True),
        (None, 60, 90, False),
        (0.5, 60, 0, False),
    ],
)
def test_scores_that_do_not_order_images_are_a_guess(
    area: float | None, good: int, defective: int, is_guess: bool
) -> None:
    values = {} if area is None else {"image-auroc": area}
    scores = Scores(values, ((good, 0), (defective, 0)), good + defective)
    said = describe_guessing(scores, "image-auroc", task="anomaly")
    assert said.startswith("It is no better than guessing: scores drawn") is is_guess
    assert bool(said) is is_guess


def test_boxes_are_not_compared_with_guesses() -> None:
    assert describe_guessing(Scores({"map": 0.0}, (), 9), "map", task="detection") == ""


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
