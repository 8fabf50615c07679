"""What the sampler remembers of a long search, and that its cost does not grow with it."""

from __future__ import annotations

import statistics
import time

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from automl.search.sampling import NumberedSampler, _Past

SPACE = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "decay": FloatDistribution(1e-5, 1e-2, log=True),
    "network": CategoricalDistribution(["a", "b", "c"]),
}


def past(count: int) -> list[FrozenTrial]:
    """Return trials whose score depends on their number alone."""
    return [
        create_trial(
            params={
                "rate": 1e-4 * 1.003 ** (n % 1000),
                "decay": 1e-4,
                "network": "abc"[n % 3],
            },
            distributions=dict(SPACE),
            value=(n * 37 % 1000) / 1000,
        )
        for n in range(count)
    ]


def study_of(count: int) -> tuple[optuna.Study, NumberedSampler]:
    sampler = NumberedSampler(7)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(past(count))
    return study, sampler


def propose(study: optuna.Study, sampler: NumberedSampler, number: int) -> dict[str, object]:
    sampler.begin(number)
    return dict(study.ask(SPACE).params)


@pytest.mark.parametrize("count", [0, 1, 249, 250])
def test_a_short_search_is_remembered_whole(count: int) -> None:
    study, _ = study_of(count)
    assert [t.number for t in _Past(study)._get_trials()] == list(range(count))


def test_a_long_search_is_remembered_by_its_best_and_its_latest() -> None:
    study, _ = study_of(1000)
    trials = study.get_trials()
    kept = _Past(study)._get_trials()
    best = sorted(trials[:800], key=lambda trial: -(trial.value or 0.0))[:50]
    assert [t.number for t in kept] == [*sorted(t.number for t in best), *range(800, 1000)]


def test_a_trial_under_way_is_remembered_and_found_by_its_state() -> None:
    study, _ = study_of(300)
    running = study.ask()
    states = (TrialState.RUNNING,)
    assert [t.number for t in _Past(study)._get_trials(states=states)] == [running.number]


def test_a_proposal_follows_from_seed_number_and_past() -> None:
    first, second = (propose(*study_of(1000), number=1001) for _ in range(2))
    assert first == second
    assert propose(*study_of(1000), number=1002) != first


def test_a_proposal_after_many_trials_takes_hardly_longer_than_after_some() -> None:
    few, many = (study_of(count) for count in (250, 4000))
    seconds: tuple[list[float], list[float]] = [], []
    for number in range(1, 8):
        for (study, sampler), taken in zip((few, many), seconds, strict=True):
            started = time.process_time()
            propose(study, sampler, number)
            taken.append(time.process_time() - started)
    assert statistics.median(seconds[1]) < 2.5 * statistics.median(seconds[0])
