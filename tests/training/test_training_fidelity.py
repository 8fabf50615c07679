"""What the epochs before the first judging look at: less, and a training that is stopped there goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from record_makers import RECIPE, architecture
from torch import Tensor, nn

from automl.data.truth import LabelTruth
from automl.models.freezing import frozen_norms
from automl.predictor import decode_image
from automl.records import Recipe, TaskOptions
from automl.storage import DamagedFileError
from automl.tasks.classification import ClassificationTask
from automl.training import loop
from automl.training.batches import Batches
from automl.training.course import Course, EarlyLook
from automl.training.examples import ArrayImages, Examples
from automl.training.fidelity import (
    FIRST_JUDGED_PERCENT,
    early_epochs,
    early_side,
    percent_done,
)
from automl.training.loop import Trainer

SIDE, LOW = 64, 32
RECIPE_5 = replace(RECIPE, learning_rate=3e-3, epochs=5, batch_size=8)
RECIPE_8 = replace(RECIPE_5, epochs=8)
TASK = ClassificationTask(("fail", "pass"), TaskOptions())
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def frames(paper_images: Path) -> NDArray[np.uint8]:
    """Photographs of paper, those of a class in turn."""
    files = [sorted((paper_images / name).iterdir())[:20] for name in ("fail", "pass")]
    ordered = [file for pair in zip(*files, strict=True) for file in pair]
    return np.stack([decode_image(file.read_bytes())[:SIDE, :SIDE] for file in ordered])


def examples(frames: NDArray[np.uint8], side: int) -> Examples:
    pixels = frames[:, :: SIDE // side, :: SIDE // side]
    truths = [LabelTruth(number % 2) for number in range(len(frames))]
    return Examples(ArrayImages(pixels), truths, (side, side), frozenset({0, 1}))


def trainer(
    frames: NDArray[np.uint8], recipe: Recipe, *, images: int = 32, side: int = LOW
) -> Trainer:
    torch.manual_seed(0)
    network = TASK.build(architecture("test_efficientnet", size=SIDE), weights=None)
    return Trainer(
        network,
        TASK,
        recipe,
        train=examples(frames[:32], SIDE),
        val=examples(frames[32:], SIDE),
        objective="balanced-accuracy",
        eval_norms=frozen_norms(network.module),
        device="cpu",
        seed=0,
        early=EarlyLook(examples(frames[:32], side), images),
    )


def finish(learning: Trainer) -> dict[str, Tensor]:
    while len(learning.epochs) < learning.total_epochs:
        learning.run_epoch()
    return {name: value.clone() for name, value in learning._module.state_dict().items()}


@pytest.mark.parametrize(
    ("total", "early"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2), (8, 3), (10, 3), (11, 4)]
)
def test_the_epochs_before_the_first_judging_are_early(total: int, early: int) -> None:
    assert early_epochs(total, planned=total) == early
    percents = [percent_done(n, total, is_early=n <= early) for n in range(1, total + 1)]
    assert percents == [100 * n // total for n in range(1, total + 1)]
    assert [p < FIRST_JUDGED_PERCENT for p in percents] == [True] * early + [False] * (
        total - early
    )


def test_an_early_epoch_is_not_judged_in_a_training_that_was_made_short() -> None:
    assert early_epochs(2, planned=8) == 1
    assert percent_done(1, 2, is_early=True) == FIRST_JUDGED_PERCENT - 1
    assert percent_done(2, 2, is_early=False) == 100
    assert percent_done(1, 2, is_early=False) == 50


@pytest.mark.parametrize(
    ("side", "early"), [(32, 32), (64, 48), (96, 80), (128, 112), (224, 192), (384, 320)]
)
def test_early_images_have_about_three_quarters_of_the_pixels(side: int, early: int) -> None:
    assert early_side(side) == early


def test_early_epochs_see_small_images_and_later_ones_full_images(
    frames: NDArray[np.uint8],
) -> None:
    learning = trainer(frames, RECIPE_8)
    learning._compute_in("float32")
    seen: list[tuple[bool, int, int]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append((module.training, *inputs[0].shape[2:]))

    learning._module.register_forward_pre_hook(note)
    trained = []
    for _ in range(8):
        seen.clear()
        learning.run_epoch()
        trained.append({tuple(size) for is_training, *size in seen if is_training})
        assert {tuple(size) for is_training, *size in seen if not is_training} == {(SIDE, SIDE)}
    assert trained == [{(LOW, LOW)}] * 3 + [{(SIDE, SIDE)}] * 5
    assert [epoch.is_early for epoch in learning.epochs] == [True] * 3 + [False] * 5


def test_precision_is_chosen_on_full_images(
    frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[torch.Size] = []

    def choose(module: nn.Module, images: Tensor, *_: object, name: str) -> str:
        given.append(images.shape)
        return "float32"

    monkeypatch.setattr(loop, "choose_precision", choose)
    trainer(frames, RECIPE_8).run_epoch()
    assert given == [torch.Size((8, 3, SIDE, SIDE))]


@pytest.mark.parametrize("done", [1, 2])
def test_a_training_stopped_at_small_images_ends_with_the_same_weights(
    frames: NDArray[np.uint8], tmp_path: Path, done: int
) -> None:
    """After one of five epochs the next is the first full one; of eight, an early one follows."""
    recipe = RECIPE_5 if done == 1 else RECIPE_8
    whole = trainer(frames, recipe, images=16)
    expected = finish(whole)
    stopped = trainer(frames, recipe, images=16)
    for _ in range(done):
        stopped.run_epoch()
    stopped.checkpoint(tmp_path / "training.safetensors")
    torch.rand(1000)  # whatever else this process does
    resumed = trainer(frames, recipe, images=16)
    resumed.restore(tmp_path / "training.safetensors")
    got = finish(resumed)
    assert [replace(e, seconds=0.0) for e in resumed.epochs] == [
        replace(e, seconds=0.0) for e in whole.epochs
    ]
    assert set(got) == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in got.items())


def test_early_epochs_draw_some_images_anew_and_the_rate_falls_to_the_very_last_step(
    frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    learning = trainer(frames, RECIPE_8, images=17, side=SIDE)
    orders: list[list[NDArray[np.int64]]] = []
    epoch = Batches.epoch

    def noted(batches: Batches) -> list[NDArray[np.int64]]:
        orders.append(epoch(batches))
        return orders[-1]

    monkeypatch.setattr(Batches, "epoch", noted)
    finish(learning)
    assert [len(batches) for batches in orders] == [2] * 3 + [4] * 5
    chosen = [set(np.concatenate(batches).tolist()) for batches in orders]
    assert [len(images) for images in chosen] == [16] * 3 + [32] * 5
    assert len({frozenset(images) for images in chosen[:3]}) == 3
    steps = 3 * 2 + 5 * 4
    assert learning._schedule.last_epoch == learning._course.steps == steps
    assert learning._average.count == steps
    rates = [learning._schedule.lr_lambdas[0](step) for step in range(steps + 1)]
    assert rates[-1] == pytest.approx(4e-6)
    assert rates[-2] > 10 * rates[-1]


def test_a_training_made_short_after_an_early_epoch_counts_the_steps_that_were_done(
    frames: NDArray[np.uint8], tmp_path: Path
) -> None:
    learning = trainer(frames, RECIPE_8, images=16)
    learning._left_s = lambda: 1e-9
    learning.run_epoch()
    assert learning.total_epochs == 2
    learning.checkpoint(tmp_path / "training.safetensors")
    resumed = trainer(frames, RECIPE_8, images=16)
    resumed.restore(tmp_path / "training.safetensors")
    finish(resumed)
    assert resumed.total_epochs == 2
    assert resumed._schedule.last_epoch == resumed._course.steps == 2 + 4


@pytest.mark.parametrize(("images", "side"), [(16, LOW), (32, SIDE)])
def test_a_training_that_looked_at_other_images_first_does_not_go_on(
    frames: NDArray[np.uint8], tmp_path: Path, images: int, side: int
) -> None:
    begun = trainer(frames, RECIPE_5)
    begun.run_epoch()
    begun.checkpoint(tmp_path / "training.safetensors")
    other = trainer(frames, RECIPE_5, images=images, side=side)
    with pytest.raises(DamagedFileError, match="early_steps"):
        other.restore(tmp_path / "training.safetensors")


def course(frames: NDArray[np.uint8], *, epochs: int) -> Course:
    """Early epochs have a quarter of the pixels and half of the images."""
    recipe = replace(RECIPE_8, epochs=epochs)
    order = np.random.default_rng(0)
    full = Batches(TASK, recipe, examples(frames[:32], SIDE), order)
    early = Batches(TASK, recipe, examples(frames[:32], LOW), order, most_images=16)
    return Course(full, early, epochs=epochs)


def test_full_epochs_are_expected_to_take_longer_by_their_pixels(
    frames: NDArray[np.uint8],
) -> None:
    plan = course(frames, epochs=8)
    plan.note(1, steps_s=1.0, rest_s=0.5)
    assert [plan.expected_s(n) for n in range(2, 9)] == [1.5, 1.5] + [8.5] * 5
    plan.note(4, steps_s=6.0, rest_s=0.4)
    assert plan.expected_s(5) == pytest.approx(6.4)


@pytest.mark.parametrize(
    ("left_s", "epochs"),
    [(1e9, 8), (48.0, 8), (47.0, 7), (20.0, 3), (10.0, 2), (0.0, 2), (-1.0, 2)],
)
def test_a_cheap_first_epoch_does_not_promise_cheap_ones(
    frames: NDArray[np.uint8], left_s: float, epochs: int
) -> None:
    """Eight epochs: 2 more of 1.5 s and 5 of 8.5 s are 45.5 s, with a twentieth 47.8 s."""
    plan = course(frames, epochs=8)
    plan.note(1, steps_s=1.0, rest_s=0.5)
    plan.shorten(left_s)
    assert plan.epochs == epochs
