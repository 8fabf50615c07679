"""Which earlier runs are learnt from, how much they count, and how their recipes fit today's space."""

from __future__ import annotations

from dataclasses import replace

import pytest
from record_makers import RECIPE, architecture, space

from automl.records import (
    Augmentation,
    DataDescription,
    PastRun,
    PastTrial,
    Recollection,
)
from automl.search.recollection import recalled_points, recollect, similarity
from automl.search.study import StudySpace

TODAY = DataDescription(
    task="classification",
    objective="accuracy",
    fingerprint="a" * 64,
    images=600,
    classes=4,
    height=480,
    width=640,
    balance=1.0,
    look=(0.5, 0.5, 0.5, 0.1, 0.1, 0.1),
)
ELSEWHERE = replace(TODAY, fingerprint="b" * 64)
NETS = [architecture(f"net_{letter}") for letter in "abcde"]
KEYS = [net.key for net in NETS]


def past(
    *scores: float, data: DataDescription = TODAY, name: str = "one", **recipe: object
) -> PastRun:
    """A run that trained net_a, net_b … with these scores."""
    base = PastTrial("", 2e-3, 1e-4, 4, 32, "none", 0.0, "light", None, 0.0)
    trials = tuple(
        replace(base, architecture=key, score=score, **recipe)  # type: ignore[arg-type]
        for key, score in zip(KEYS, scores, strict=False)
    )
    return PastRun(f"{hash((name, scores)) & (2**64 - 1):064x}", name, "2026-01-01", data, trials)


@pytest.mark.parametrize(
    ("other", "low", "high"),
    [
        (TODAY, 1.0, 1.0),
        (replace(TODAY, fingerprint="c" * 64, images=606), 0.97, 0.98),
        (replace(ELSEWHERE, images=1200), 0.88, 0.89),
        (replace(ELSEWHERE, look=(0.52, 0.52, 0.52, 0.12, 0.12, 0.12)), 0.92, 0.93),
        (replace(ELSEWHERE, look=(0.2, 0.9, 0.5, 0.3, 0.1, 0.2)), 0.3, 0.7),
        (replace(ELSEWHERE, look=()), 0.98, 0.981),
        (replace(TODAY, objective="balanced-accuracy"), 0.81, 0.83),
        (replace(ELSEWHERE, images=40_000, classes=1_000, height=96, width=96), 0.0, 0.2),
        (replace(TODAY, task="segmentation"), 0.0, 0.0),
    ],
)
def test_similarity_falls_with_every_difference(
    other: DataDescription, low: float, high: float
) -> None:
    assert low <= similarity(TODAY, other) <= high
    assert similarity(TODAY, other) == similarity(other, TODAY)


def test_the_same_images_come_first_and_what_is_unlike_not_at_all() -> None:
    found = recollect(
        TODAY,
        [
            past(0.9, data=replace(ELSEWHERE, images=1200), name="near"),
            past(0.9, data=replace(ELSEWHERE, classes=400, images=9), name="far"),
            past(0.8, name="same"),
        ],
        known=KEYS,
    )
    assert [(run.name, run.same_data) for run in found.runs] == [("same", True), ("near", False)]
    assert found.runs[0].similarity == 1.0


def test_scores_count_against_the_median_of_their_run() -> None:
    hard, easy = past(0.5, 0.6, 0.7), past(0.97, 0.98, 0.99, name="two")
    found = dict(recollect(TODAY, [hard, easy], known=KEYS).scores)
    assert [found[key].score for key in KEYS[:3]] == pytest.approx([-0.055, 0.0, 0.055])


def test_data_less_alike_says_less_for_sure() -> None:
    near = dict(recollect(TODAY, [past(0.9)], known=KEYS).scores)[KEYS[0]]
    far = dict(
        recollect(TODAY, [past(0.9, data=replace(ELSEWHERE, images=4_800))], known=KEYS).scores
    )[KEYS[0]]
    twice = dict(recollect(TODAY, [past(0.9), past(0.9, name="two")], known=KEYS).scores)[KEYS[0]]
    assert twice.spread < near.spread == pytest.approx(0.02)
    assert far.spread > 2 * near.spread


def test_the_best_recipe_of_each_of_the_three_best_networks_is_kept() -> None:
    run = past(0.90, 0.96, 0.94, 0.95, 0.80)
    second = replace(run.trials[1], score=0.91, learning_rate=9e-3)
    found = recollect(TODAY, [replace(run, trials=(*run.trials, second))], known=KEYS)
    assert [(t.architecture, t.score) for t in found.trials] == [
        (KEYS[1], 0.96),
        (KEYS[3], 0.95),
        (KEYS[2], 0.94),
    ]


def test_the_recipe_comes_from_the_most_similar_run() -> None:
    near = past(0.7, learning_rate=1e-3)
    far = past(0.99, data=replace(ELSEWHERE, images=1200), name="far", learning_rate=4e-3)
    found = recollect(TODAY, [far, near], known=KEYS)
    assert [trial.learning_rate for trial in found.trials] == [1e-3]


def test_networks_that_may_not_be_trained_now_are_left_out() -> None:
    found = recollect(TODAY, [past(0.9, 0.8), past(0.5, name="none known")], known=[KEYS[1]])
    assert [run.name for run in found.runs] == ["one"]
    assert [key for key, _ in found.scores] == [KEYS[1]]


def test_nothing_recalled_says_nothing() -> None:
    assert recollect(TODAY, [], known=KEYS) == Recollection()
    assert Recollection().describe() is None


def test_what_was_recalled_is_said_in_a_sentence() -> None:
    runs = [past(0.9, 0.8), past(0.9, data=ELSEWHERE, name="two")]
    assert recollect(TODAY, runs, known=KEYS).describe() == (
        "The search begins with what worked on the same images in 'one' (2 earlier runs, 1 recipe). They "
        "only change what is tried first; 'search: {reuse: false}' does without."
    )
    assert "on images like these in 'two' (1 earlier run," in str(
        recollect(TODAY, runs[1:], known=KEYS).describe()
    )


TODAYS = replace(
    space(*NETS, epochs=(2, 8)),
    learning_rate=(1e-3, 1e-2),
    batch_sizes=(16, 64),
    freezes=("stem", "half"),
    label_smoothings=(0.0, 0.1),
    augmentations=(RECIPE.augmentation, Augmentation("strong", 9, 0.5, 0, 0, 0, True, True)),
    crops=(None, 128),
)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({"learning_rate": 5e-3}, {"learning_rate": 5e-3}),
        ({"learning_rate": 1e-6}, {"learning_rate": 1e-3}),
        ({"learning_rate": 99.0}, {"learning_rate": 1e-2}),
        ({"weight_decay": 50.0}, {"weight_decay": TODAYS.weight_decay[1]}),
        ({"epochs": 7}, {"epochs": 8}),
        ({"epochs": 10**9}, {"epochs": 8}),
        ({"batch_size": 1}, {"batch_size": 16}),
        ({"freeze": "half"}, {"freeze": "half"}),
        ({"freeze": "backbone"}, {"freeze": "stem"}),
        ({"label_smoothing": 0.9}, {"label_smoothing": 0.1}),
        ({"augmentation": "strong"}, {"augmentation": "strong"}),
        ({"augmentation": "of another space"}, {"augmentation": "light"}),
        ({"crop": 128}, {"crop": 128}),
        ({"crop": 96}, {"crop": None}),
    ],
)
def test_a_recipe_is_moved_into_todays_space(
    recipe: dict[str, object], expected: dict[str, object]
) -> None:
    study = StudySpace(TODAYS, tuple(NETS))
    (parameters,) = recalled_points(recollect(TODAY, [past(0.9, **recipe)], known=KEYS), study)
    assert parameters["architecture"] == KEYS[0]
    assert expected.items() <= parameters.items()
    distributions = study.distributions()
    assert parameters.keys() == distributions.keys()
    for name, value in parameters.items():
        assert distributions[name]._contains(distributions[name].to_internal_repr(value))


def test_a_network_that_does_not_fit_today_is_not_proposed() -> None:
    found = recollect(TODAY, [past(0.9, 0.8)], known=KEYS)
    assert recalled_points(found, StudySpace(TODAYS, (NETS[4],))) == []
