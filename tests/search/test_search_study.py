"""What Optuna is asked first, and how trials become its parameters and back."""

from __future__ import annotations

from dataclasses import replace

from record_makers import RECIPE, architecture, plan, space, trial, verdict

from automl.records import TrialStatus
from automl.search.study import StudySpace, assignment_parameters, first_points, told_value

LIGHT, MIDDLE, HEAVY = (architecture(f"net_{n}") for n in ("light", "middle", "heavy"))
SCRATCH = architecture("scratch")
PLAN = plan(
    *(verdict(a) for a in (LIGHT, MIDDLE, HEAVY, SCRATCH)),
    weights={"net_light": "package", "net_middle": "package", "net_heavy": "package"},
)


def study() -> StudySpace:
    return StudySpace(
        replace(space(LIGHT, MIDDLE, HEAVY, SCRATCH), epochs=(2, 8)),
        (SCRATCH, MIDDLE, LIGHT, HEAVY),
    )


def test_the_lightest_pretrained_network_opens_briefly_then_the_heaviest() -> None:
    points = first_points(study(), PLAN, tried=())
    assert [(p["architecture"], p["epochs"]) for p in points] == [
        (LIGHT.key, 2),
        (HEAVY.key, 8),
        (MIDDLE.key, 8),
        (SCRATCH.key, 8),
    ]


def test_a_resumed_search_does_not_propose_what_was_tried() -> None:
    points = first_points(study(), PLAN, tried=(trial(LIGHT), trial(HEAVY)))
    assert [p["architecture"] for p in points] == [MIDDLE.key, SCRATCH.key]


def test_every_first_point_lies_in_the_space() -> None:
    distributions = study().distributions()
    for point in first_points(study(), PLAN, tried=()):
        assert point.keys() == distributions.keys()
        for name, value in point.items():
            distributions[name].to_internal_repr(value)


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
