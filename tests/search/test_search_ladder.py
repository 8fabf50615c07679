"""What is looked at, in which order and how closely, before anything is trained in full."""

from __future__ import annotations

from dataclasses import replace

import pytest
from record_makers import architecture, space, trial

from automl.records import (
    Architecture,
    Epoch,
    PlannedArchitecture,
    Probe,
    Rung,
    TrialResult,
    TrialStatus,
    TruthKind,
)
from automl.search.climb import Climb
from automl.search.ladder import Ladder, Step, low_resolution, probe_id, rungs_of
from automl.search.study import StudySpace

SMALL = [architecture("net_a", depth=d) for d in (3, 4, 5)]
LARGE = [architecture("net_b", depth=d) for d in (4, 5)]
SCRATCH = architecture("net_c")
ALL = (*SMALL, *LARGE, SCRATCH)
PROBE_A, PROBE_B = "probe-net_a-128", "probe-net_b-128"


def planned(
    *architectures: Architecture, weights: str | None = "package"
) -> list[PlannedArchitecture]:
    return [
        PlannedArchitecture(a, 1_000, 20_000_000 * (a.depth or 9), weights) for a in architectures
    ]


FOUR = [*planned(*SMALL, *LARGE), *planned(architecture("net_d", depth=4))]


def ladder(
    *,
    rungs: tuple[Rung, ...] = ("features", "probe", "glance", "train"),
    time_s: float = 600.0,
    trials: int | None = None,
    images: int = 800,
    plans: list[PlannedArchitecture] | None = None,
) -> Ladder:
    known = [*planned(*SMALL, *LARGE), *planned(SCRATCH, weights=None)] if plans is None else plans
    architectures = tuple(p.architecture for p in known)
    return Ladder(
        study=StudySpace(replace(space(*architectures), epochs=(4, 8)), architectures),
        planned=tuple(known),
        rungs=rungs,
        expected={a.key: 0.5 + 0.05 * i for i, a in enumerate(architectures[:-1])}
        | {architectures[-1].key: 0.3},
        images=images,
        time_s=time_s,
        cores=2,
        trial_cores=2,
        trials=trials,
    )


def asked(of: Ladder, climb: Climb) -> tuple[str, str, str]:
    step = of.next(climb)
    assert isinstance(step, Step)
    return step.rung, step.architecture.key, step.place


def climbed() -> Climb:
    """All features known, the best head delivered and its network trained shortly."""
    climb = Climb()
    climb.note_features(PROBE_A, {a.key: 0.90 + 0.01 * i for i, a in enumerate(SMALL)}, 5.0)
    climb.note_features(PROBE_B, {a.key: 0.95 - 0.01 * i for i, a in enumerate(LARGE)}, 5.0)
    climb.note("probe", LARGE[0], 0.95, 0.0)
    climb.note("train", LARGE[0], 0.96, 0.0)
    return climb


def test_features_of_every_backbone_with_weights_come_first_the_most_promising_ahead() -> None:
    climb = Climb()
    assert asked(ladder(), climb) == ("features", "net_b-d5-128", "probe 1/2")
    climb.note_features(PROBE_B, {a.key: 0.9 for a in LARGE}, 5.0)
    assert asked(ladder(), climb) == ("features", "net_a-d5-128", "probe 2/2")


def test_the_best_probe_is_delivered_before_the_rest_is_looked_at() -> None:
    plans = [p for n in "abcd" for p in planned(architecture(f"net_{n}", depth=4))]
    of, climb = ladder(plans=plans), Climb()
    for name, score in (("net_c", 0.8), ("net_b", 0.9)):
        assert asked(of, climb)[0] == "features"
        climb.note_features(f"probe-{name}-128", {f"{name}-d4-128": score}, 5.0)
    assert asked(of, climb) == ("probe", "net_b-d4-128", "best probe")
    step = of.next(climb)
    assert isinstance(step, Step)
    assert (step.recipe.epochs, step.recipe.freeze) == (0, "backbone")


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (0.96, ("probe", "net_a-d3-128", "best probe")),
        (0.91, ("glance", "net_b-d4-128", "glance 1/4")),
    ],
)
def test_a_later_probe_is_delivered_too_when_it_is_clearly_better(
    later: float, expected: tuple[str, str, str]
) -> None:
    climb = Climb()
    climb.note_features(PROBE_B, {LARGE[0].key: 0.9, LARGE[1].key: 0.85}, 5.0)
    climb.note("probe", LARGE[0], 0.9, 0.0)
    climb.note("train", LARGE[0], 0.92, 0.0)
    climb.note_features(PROBE_A, {SMALL[0].key: later, SMALL[1].key: 0.7, SMALL[2].key: 0.7}, 5.0)
    rung, key, place = asked(ladder(), climb)
    assert (rung, place) == (expected[0], expected[2])
    assert rung == "glance" or key == expected[1]


def test_the_next_best_is_delivered_when_the_best_probe_cannot_be() -> None:
    climb = climbed()
    climb.delivered = {LARGE[0].key: None}
    climb.trained.clear()
    assert asked(ladder(), climb)[:2] == ("probe", "net_b-d5-128")


def test_features_that_cannot_be_made_are_not_asked_for_again() -> None:
    climb = Climb()
    climb.note_features(PROBE_B, {}, 0.0)
    climb.note_features(PROBE_A, {}, 0.0)
    assert asked(ladder(), climb)[0] == "train"


def test_no_more_features_are_made_when_they_have_had_their_share_of_the_time() -> None:
    climb = Climb()
    climb.note_features(PROBE_B, {a.key: 0.9 for a in LARGE}, 100.0)
    assert asked(ladder(), climb) == ("probe", "net_b-d4-128", "best probe")


def test_twice_as_many_are_glanced_at_as_can_be_trained() -> None:
    climb, of, seen = climbed(), ladder(time_s=600.0), []
    while isinstance(step := of.next(climb), Step):
        assert (step.rung, step.recipe.epochs) == ("glance", 1)
        seen.append(step.architecture)
        climb.note("glance", step.architecture, 0.8, 5.0)
    assert step is None
    assert len(seen) == 2 * len(of.survivors(climb)) == 4
    assert SCRATCH not in seen


def test_nothing_is_glanced_at_when_there_is_time_to_train_all() -> None:
    climb = climbed()
    assert ladder(time_s=36_000.0).next(climb) is None
    assert len(ladder(time_s=36_000.0).survivors(climb)) == len(ALL)


def test_glances_reorder_what_the_probes_said_and_the_failed_ones_are_out() -> None:
    climb = climbed()
    before = ladder().ranking(climb)
    assert before[0] in LARGE
    climb.note("glance", SMALL[2], 0.97, 5.0)
    climb.note("glance", LARGE[0], 0.70, 5.0)
    climb.note("glance", LARGE[1], None, 5.0)
    assert ladder().ranking(climb)[0] == SMALL[2]
    assert LARGE[1] not in ladder().survivors(climb)


def delivered() -> Climb:
    """Some features of FOUR known, the best head delivered."""
    climb = Climb()
    climb.note_features(PROBE_B, {a.key: 0.9 - 0.01 * i for i, a in enumerate(LARGE)}, 5.0)
    climb.note_features("probe-net_d-128", {}, 5.0)
    climb.note("probe", LARGE[0], 0.9, 0.0)
    return climb


def test_what_was_delivered_is_trained_shortly_before_the_rest_is_looked_at() -> None:
    of, climb = ladder(plans=FOUR), delivered()
    step = of.next(climb)
    assert isinstance(step, Step)
    assert (step.rung, step.architecture) == ("train", LARGE[0])
    assert (step.recipe.epochs, step.recipe.learning_rate) == (4, 1e-4)
    climb.note("train", step.architecture, 0.95, 20.0)
    assert asked(of, climb)[0] == "features"
    assert [recipe.epochs for _, recipe in of.points(climb)] == [8, 8]


@pytest.mark.parametrize("is_over", [False, True])
def test_an_early_training_is_asked_for_once(is_over: bool) -> None:
    of, climb = ladder(plans=FOUR), delivered()
    climb.begin_training(LARGE[0])
    if is_over:
        climb.note("train", LARGE[0], None, 0.0)
    else:
        climb.under_way.add(f"train {LARGE[0].key}")
    assert asked(of, climb)[0] == "features"
    epochs = [recipe.epochs for _, recipe in of.points(climb)]
    assert epochs == ([4, 8, 8] if is_over else [8, 8]), "another is trained shortly if it failed"


def test_nothing_is_trained_early_when_glances_were_begun() -> None:
    of, climb = ladder(plans=FOUR), delivered()
    climb.note("glance", SMALL[1], 0.8, 3.0)
    assert asked(of, climb)[0] == "features"


def test_a_head_that_is_worse_than_what_was_trained_is_not_delivered() -> None:
    climb = climbed()
    climb.scores[SMALL[0].key] = 0.975
    assert asked(ladder(), climb)[0] == "glance"
    climb.trained.clear()
    climb.note("train", LARGE[1], 0.9, 0.0)
    assert asked(ladder(), climb) == ("probe", SMALL[0].key, "best probe")


@pytest.mark.parametrize(
    ("images", "trials", "trial_cores"), [(8_000, None, 2), (800, 3, 2), (1_600, None, 1)]
)
def test_nothing_is_trained_early_where_that_takes_long_or_few_may_be_trained(
    images: int, trials: int | None, trial_cores: int
) -> None:
    of = replace(ladder(plans=FOUR, images=images, trials=trials), trial_cores=trial_cores)
    assert asked(of, delivered())[0] == "features"
    assert of.points(delivered())[0][1].epochs == 4


def test_the_best_survivor_is_trained_shortly_then_each_at_length() -> None:
    climb = climbed()
    climb.trained.clear()
    points = ladder().points(climb)
    first, *others = [(a.key, recipe.epochs) for a, recipe in points]
    assert (first[1], others[0]) == (4, (first[0], 8))
    assert all(epochs == 8 for _, epochs in others)
    assert len({key for key, _ in others}) == len(others) == 2
    assert ladder().points(climbed()) == points[1:], "not shortly where one was trained already"


def test_networks_with_a_fitted_head_begin_with_small_steps() -> None:
    climb, of = climbed(), ladder()
    smallest, middle = 1e-4, pytest.approx(1e-3)
    glance = of.next(climb)
    assert isinstance(glance, Step)
    assert (glance.rung, glance.recipe.learning_rate) == ("glance", smallest)
    climb.trained.clear()
    rates = [recipe.learning_rate for _, recipe in of.points(climb)]
    assert rates == [smallest, middle, middle]
    climb.scores.clear()
    assert [recipe.learning_rate for _, recipe in of.points(climb)] == [middle] * 3


@pytest.mark.parametrize("trials", [1, 3, None])
def test_few_trials_leave_few_survivors(trials: int | None) -> None:
    of = ladder(trials=trials, time_s=7_200.0)
    assert (len(of.survivors(climbed())) == 2) == (trials is not None)


def test_without_pretrained_weights_the_lightest_opens_and_glances_follow() -> None:
    plans = planned(*SMALL, *LARGE, weights=None)
    of = ladder(plans=plans, rungs=rungs_of("label", plans))
    climb = Climb()
    assert of.rungs == ("glance", "train")
    assert asked(of, climb) == ("train", "net_a-d3-128", "")
    climb.note("train", SMALL[0], 0.5, 0.0)
    assert asked(of, climb)[0] == "glance"


def test_what_learns_in_one_pass_has_no_cheaper_rung() -> None:
    of = ladder(rungs=rungs_of("defect", planned(*SMALL)))
    climb = Climb()
    climb.begin_training(SMALL[0])
    assert of.next(climb) is None
    assert of.survivors(climb)[-1] == SCRATCH
    assert len(of.survivors(climb)) == len(ALL)


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ("label", ("features", "probe", "glance", "train")),
        ("mask", ("glance", "train")),
        ("boxes", ("glance", "train")),
        ("defect", ("train",)),
    ],
)
def test_each_kind_of_truth_has_its_rungs(truth: TruthKind, expected: tuple[Rung, ...]) -> None:
    assert rungs_of(truth, planned(*SMALL)) == expected


def test_an_idle_worker_waits_for_what_decides() -> None:
    climb = Climb(under_way={f"features {PROBE_A}", f"features {PROBE_B}"})
    assert ladder().next(climb) == "wait"
    climb = climbed()
    of = ladder()
    while isinstance(step := of.next(climb), Step):
        climb.under_way.add(f"{step.rung} {step.architecture.key}")
    assert step == "wait"


def test_an_earlier_part_of_a_run_gives_the_same_climb_as_one_that_went_on() -> None:
    live = climbed()
    live.note("glance", SMALL[1], 0.88, 3.0)
    live.note("train", SMALL[1], 0.97, 20.0)
    probes = [
        Probe(
            PROBE_A,
            "net_a",
            128,
            dict(list(live.scores.items())[:3]),
            {},
            {},
            9,
            None,
            {"a": 5.0},
            1.0,
        ),
        Probe(
            PROBE_B,
            "net_b",
            128,
            dict(list(live.scores.items())[3:]),
            {},
            {},
            9,
            None,
            {"b": 5.0},
            2.0,
        ),
    ]
    trials: list[TrialResult] = [
        replace(trial(LARGE[0], objective=0.95), rung="probe"),
        trial(LARGE[0], objective=0.96),
        replace(
            trial(SMALL[1]),
            rung="glance",
            objective=None,
            epochs=(Epoch(1, 0.1, 0.1, 0.88, 2.0),),
            seconds={"setup": 9.0, "train": 3.0},
        ),
        trial(SMALL[1], objective=0.97),
    ]
    told = Climb.of(probes, trials)
    assert told == live
    failed = Climb.of([], [replace(trials[2], status=TrialStatus.FAILED, epochs=())])
    assert failed.glances == {SMALL[1].key: None}


@pytest.mark.parametrize(
    ("size", "expected"), [(224, 160), (128, 96), (96, 64), (64, 32), (32, 32), (518, 352)]
)
def test_a_glance_sees_about_half_the_pixels(size: int, expected: int) -> None:
    assert low_resolution(size) == expected


def test_all_depths_of_a_backbone_share_their_features() -> None:
    assert {probe_id(a) for a in SMALL} == {PROBE_A}
