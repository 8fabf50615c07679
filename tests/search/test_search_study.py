"""What Optuna is asked first, and how trials become its parameters and back."""

from __future__ import annotations

from dataclasses import replace

from record_makers import RECIPE, architecture, space, trial

from automl.records import TrialStatus
from automl.search.study import StudySpace, assignment_parameters, middle_recipe, told_value

LIGHT, MIDDLE, HEAVY = (architecture(f"net_{n}") for n in ("light", "middle", "heavy"))
SCRATCH = architecture("scratch")


def study() -> StudySpace:
    return StudySpace(
        replace(space(LIGHT, MIDDLE, HEAVY, SCRATCH), epochs=(2, 8)),
        (SCRATCH, MIDDLE, LIGHT, HEAVY),
    )


def test_the_middle_recipe_lies_in_the_space_of_every_architecture() -> None:
    whole = study()
    distributions = whole.distributions()
    for known in whole.architectures:
        point = assignment_parameters(known, middle_recipe(whole.space))
        assert point.keys() == distributions.keys()
        assert point["epochs"] == 8
        for name, value in point.items():
            distributions[name].to_internal_repr(value)


def test_a_set_of_features_is_named_after_its_backbone_and_size_alone() -> None:
    parameters = assignment_parameters(LIGHT, RECIPE) | {"rung": "features", "place": "probe 1/2"}
    assignment = study().assignment(parameters, number=0)
    assert (assignment.id, assignment.rung) == ("probe-net_light-128", "features")


def test_parameters_and_assignments_are_inverse() -> None:
    whole = StudySpace(space(LIGHT, epochs=(4,)), (LIGHT,))
    assignment = whole.assignment(assignment_parameters(LIGHT, RECIPE), number=7)
    assert (assignment.id, assignment.architecture, assignment.recipe) == (
        "0007-net_light-full-128",
        LIGHT,
        RECIPE,
    )


def test_a_trial_that_gave_nothing_is_told_as_worthless() -> None:
    assert told_value(trial(LIGHT, status=TrialStatus.FAILED, error="NaN")) == 0.0
    assert told_value(trial(LIGHT, status=TrialStatus.STOPPED, objective=0.4)) == 0.4
