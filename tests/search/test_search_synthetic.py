"""Scores that rest on made-up images choose between candidates and are held against no requirement."""

from __future__ import annotations

from automl.records import Requirement, Scores
from automl.search.selection import choosing_requirements, requirement_missed


def test_requirements_are_not_held_against_synthetic_scores() -> None:
    area = Requirement("image-auroc", None, ">=", 0.99)
    alarms = Requirement("false-alarm-rate", None, "<=", 0.05)
    values = {"image-auroc": 0.9, "false-alarm-rate": 0.2}
    made = Scores(values, (), 35, synthetic=("image-auroc",))
    assert choosing_requirements((area, alarms), made) == (alarms,)
    assert requirement_missed(choosing_requirements((area, alarms), made), values) == (
        "false-alarm-rate <= 0.05",
        "false-alarm-rate was 0.2000 on the validation images",
    )
    real = Scores(values, (), 35)
    assert choosing_requirements((area, alarms), real) == (area, alarms)
