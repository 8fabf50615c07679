"""How the ladder's looks and Optuna's proposals meet, and that a resumed search proposes the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from record_makers import trial
from test_search_ladder import FOUR, LARGE, PROBE_A, PROBE_B, SMALL, ladder

from automl.records import Probe, TrialResult, TrialStatus
from automl.search.ladder import Ladder
from automl.search.proposals import History, LadderSearch
from automl.search.study import Assignment

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's and pandas' own, on import


def opened(
    of: Ladder,
    history: History | None = None,
    *,
    seed: int = 3,
    trials: int | None = None,
    first: Sequence[dict[str, object]] = (),
) -> LadderSearch:
    return LadderSearch(
        of.study,
        of,
        history=history or History(),
        seed=seed,
        first=first,
        trials=trials,
        may_start=lambda: True,
        elapsed_s=lambda: 1.5,
    )


def score_of(assignment: Assignment) -> float:
    """A landscape with its top at a rate of 0.002 and the deepest network."""
    depth = assignment.architecture.depth or 0
    return round(0.5 + 0.05 * depth - 50 * (assignment.recipe.learning_rate - 0.002) ** 2, 6)


def step(search: LadderSearch, trial_id: str) -> Assignment | str | None:
    """Ask for one trial and end it at once."""
    config = search.suggest(trial_id)
    if not isinstance(config, dict):
        return config
    assignment = search._study.assignment(config, number=config["number"])
    score = score_of(assignment)
    result = {"objective": score, "failed": False, "train_s": 2.0, "scores": "{}"}
    if assignment.rung == "features":
        keys = [p.architecture.key for p in search._ladder.planned]
        own = {k: 0.8 for k in keys if k.startswith(assignment.architecture.backbone)}
        result["scores"] = str(own).replace("'", '"')
    search.on_trial_complete(trial_id, result)
    return assignment


def results_of(begun: Sequence[Assignment]) -> History:
    """Return what the files of a run hold after these ended."""
    probes, tried = [], []
    for one in begun:
        if one.rung == "features":
            members = SMALL if one.architecture.backbone == "net_a" else LARGE
            id_ = PROBE_A if members is SMALL else PROBE_B
            scores = {a.key: 0.8 for a in members}
            probes.append(
                Probe(id_, one.architecture.backbone, 128, scores, {}, {}, 9, None, {"a": 2.0}, 1.0)
            )
            continue
        known = trial(one.architecture, number=one.number, objective=score_of(one))
        tried.append(replace(known, recipe=one.recipe, rung=one.rung, seconds={"train": 2.0}))
    return History(tried=_with_glance_scores(tried), probes=probes)


def _with_glance_scores(tried: Sequence[TrialResult]) -> list[TrialResult]:
    from automl.records import Epoch

    return [
        replace(t, objective=None, epochs=(Epoch(1, 0.1, 0.1, t.objective or 0.0, 1.0),))
        if t.rung == "glance"
        else t
        for t in tried
    ]


def test_the_ladder_is_climbed_before_optuna_proposes() -> None:
    search = opened(ladder(), trials=9)
    begun: list[Assignment] = []
    while isinstance(one := step(search, f"t{len(begun)}"), Assignment):
        begun.append(one)
    rungs = ["features"] * 2 + ["probe", "train"] + ["glance"] * 4 + ["train"] * 8
    assert [one.rung for one in begun] == rungs
    assert [one.number for one in begun] == [0, 0, *range(1, 15)]
    trained = {one.architecture for one in begun if one.rung == "train"}
    assert len(trained) == 3  # of nine trainings, three each
    assert one == "FINISHED"


@pytest.mark.parametrize("killed_after", [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16])
def test_a_search_that_was_killed_proposes_what_it_would_have_proposed(killed_after: int) -> None:
    whole = opened(ladder(), trials=16)
    uninterrupted = [step(whole, f"t{i}") for i in range(23)]
    before = [one for one in uninterrupted[:killed_after] if isinstance(one, Assignment)]
    resumed = opened(ladder(), results_of(before), trials=16)
    after = [step(resumed, f"r{i}") for i in range(23 - killed_after)]
    assert after == uninterrupted[killed_after:]


def test_another_seed_proposes_others() -> None:
    drawn = []
    for seed in (1, 2):
        search = opened(ladder(), seed=seed, trials=16)
        begun = [step(search, f"t{i}") for i in range(20)]
        drawn.append([one.recipe for one in begun if isinstance(one, Assignment)])
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("count", [4, 10], ids=["trained-early", "trained-later"])
def test_a_training_that_was_cut_off_goes_on_first_under_its_own_number(count: int) -> None:
    whole = opened(ladder(), trials=9)
    begun = [one for i in range(count) if isinstance(one := step(whole, f"t{i}"), Assignment)]
    assert begun[-1].rung == "train"
    history = results_of(begun[:-1])
    cut_off = begun[-1]
    progress = replace(
        trial(cut_off.architecture, number=cut_off.number, status=TrialStatus.STOPPED),
        recipe=cut_off.recipe,
    )
    resumed = opened(ladder(), replace(history, unfinished=[progress]), trials=9)
    assert step(resumed, "r0") == cut_off
    assert step(resumed, "r1") == step(whole, "t10")


def test_of_several_workers_one_trains_early_and_the_others_go_on() -> None:
    search = opened(ladder(plans=FOUR), trials=9)
    for number in range(3):
        step(search, f"t{number}")
    asked = [search.suggest(f"u{number}") for number in range(3)]
    assert [one["rung"] if isinstance(one, dict) else one for one in asked] == [
        "train",
        "features",
        None,
    ]


def test_a_trial_that_died_counts_as_worthless_and_the_search_goes_on() -> None:
    search = opened(ladder(rungs=("train",)), trials=3)
    for number in range(3):
        assert isinstance(search.suggest(f"t{number}"), dict)
        search.on_trial_complete(f"t{number}", None, error=True)
    assert search.suggest("t3") == "FINISHED"
    assert search._climb.under_way == set()


def test_points_outside_of_the_survivors_space_are_left_out() -> None:
    foreign = {"architecture": "nowhere-full-128", "epochs": 8}
    search = opened(ladder(rungs=("train",)), trials=3, first=[foreign])
    begun = [step(search, f"t{i}") for i in range(3)]
    assert all(isinstance(one, Assignment) for one in begun)


def test_nothing_is_proposed_when_nothing_may_start() -> None:
    search = opened(ladder())
    search._may_start = lambda: False
    assert search.suggest("t") == "FINISHED"
