"""A training that was stopped between two epochs ends as one that never was: to the last bit."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from record_makers import RECIPE, architecture
from torch import Tensor

from automl.data.truth import DefectTruth, LabelTruth
from automl.errors import RunError
from automl.models.freezing import freeze_parts, frozen_norms
from automl.records import Architecture, Recipe, TaskOptions
from automl.storage import DamagedFileError
from automl.tasks.anomaly import AnomalyTask
from automl.tasks.classification import ClassificationTask
from automl.training.checkpoint import save_weights
from automl.training.examples import ArrayImages, Examples
from automl.training.fitting import Fitter
from automl.training.loop import Trainer

SIDE = 32
SHORT = replace(RECIPE, learning_rate=3e-3, epochs=4, batch_size=8)
TASK = ClassificationTask(("dark", "bright"), TaskOptions())
pytestmark = pytest.mark.usefixtures("one_thread")


def images(count: int) -> Examples:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 160, (count, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[1::2] += 60
    truths = [LabelTruth(number % 2) for number in range(count)]
    return Examples(ArrayImages(pixels), truths, (SIDE, SIDE), frozenset({0, 1}))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A source of weights that were learnt before, so that some can be frozen."""
    path = tmp_path_factory.mktemp("weights") / "test_efficientnet.safetensors"
    torch.manual_seed(1)
    save_weights(
        TASK.build(architecture("test_efficientnet", size=SIDE), weights=None).module, path
    )
    return f"file {path}"


def trainer(recipe: Recipe = SHORT, *, weights: str | None = None, **changes: int) -> Trainer:
    seed = changes.get("seed", 0)
    torch.manual_seed(seed)
    network = TASK.build(architecture("test_efficientnet", size=SIDE), weights=weights)
    freeze_parts(network, recipe.freeze)
    return Trainer(
        network,
        TASK,
        recipe,
        train=images(changes.get("images", 40)),
        val=images(8),
        objective="balanced-accuracy",
        eval_norms=frozen_norms(network.module),
        device="cpu",
        seed=seed,
    )


def finish(learning: Trainer) -> dict[str, Tensor]:
    while len(learning.epochs) < learning.total_epochs:
        learning.run_epoch()
    return {name: value.clone() for name, value in learning._module.state_dict().items()}


def outcome(learning: Trainer) -> list[tuple[int, float, float, float]]:
    return [(e.number, e.train_loss, e.val_loss, e.val_score) for e in learning.epochs]


@pytest.mark.parametrize("freeze", ["none", "stem", "half", "backbone"])
def test_a_restored_training_ends_with_the_same_weights(
    tmp_path: Path, pretrained: str, freeze: str
) -> None:
    recipe = replace(SHORT, freeze=freeze, epochs=5)
    whole = trainer(recipe, weights=pretrained)
    expected = finish(whole)
    stopped = trainer(recipe, weights=pretrained)
    stopped.run_epoch()
    stopped.run_epoch()
    stopped.checkpoint(tmp_path / "training.safetensors")
    torch.rand(1000)  # whatever else this process does
    resumed = trainer(recipe, weights=pretrained)
    torch.rand(7)
    resumed.restore(tmp_path / "training.safetensors")
    got = finish(resumed)
    assert outcome(resumed) == outcome(whole)
    assert set(got) == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in got.items())


def test_writing_changes_nothing_and_a_restored_network_is_the_averaged_one(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    written, plain = trainer(), trainer()
    expected = finish(plain)
    torch.manual_seed(0)
    written = trainer()
    for _ in range(SHORT.epochs):
        written.run_epoch()
        before = {n: v.clone() for n, v in written._module.state_dict().items()}
        written.checkpoint(path)
        after = written._module.state_dict()
        assert all(torch.equal(v, after[n]) for n, v in before.items())
        restored = trainer()
        state = torch.random.get_rng_state()
        restored.restore(path)
        own = restored._module.state_dict()
        assert all(torch.equal(v, own[n]) for n, v in before.items())
        torch.random.set_rng_state(state)
        restored.restore(path)
    assert all(torch.equal(v, expected[n]) for n, v in written._module.state_dict().items())
    assert [entry.name for entry in tmp_path.iterdir()] == ["training.safetensors"]


def test_a_training_that_was_made_shorter_stays_short(tmp_path: Path) -> None:
    learning = trainer()
    learning._left_s = lambda: 0.0
    learning.run_epoch()
    learning.checkpoint(tmp_path / "training.safetensors")
    resumed = trainer()
    resumed.restore(tmp_path / "training.safetensors")
    assert resumed.total_epochs == learning.total_epochs == 2
    learning._left_s = lambda: math.inf
    expected = finish(learning)
    torch.random.manual_seed(0)
    resumed.restore(tmp_path / "training.safetensors")
    assert all(torch.equal(v, expected[n]) for n, v in finish(resumed).items())


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (trainer, None),
        (lambda: trainer(seed=1), "its seed is 0, here it is 1"),
        (lambda: trainer(images=41), "its images is 40, here it is 41"),
        (lambda: trainer(replace(SHORT, epochs=5)), "its recipe is "),
    ],
    ids=["same", "seed", "images", "recipe"],
)
def test_only_the_same_training_goes_on(
    tmp_path: Path, other: object, difference: str | None
) -> None:
    path = tmp_path / "training.safetensors"
    first = trainer()
    first.run_epoch()
    first.checkpoint(path)
    assert callable(other)
    second = other()
    if difference is None:
        second.restore(path)
        return
    with pytest.raises(DamagedFileError) as caught:
        second.restore(path)
    assert str(caught.value).startswith(f"'{path}' is of another training: {difference}")
    assert str(caught.value).endswith("Delete it: the training will begin again.")
    assert isinstance(caught.value, RunError)


def test_a_torn_or_altered_file_is_damaged_wherever_it_is_hit(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    learning = trainer()
    learning.run_epoch()
    learning.checkpoint(path)
    content = path.read_bytes()
    generator = np.random.default_rng(5)
    fresh = trainer()
    for place in [0, 7, 8, 20, *generator.integers(0, len(content), 40).tolist()]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(generator.integers(8))
        for damaged in (bytes(flipped), content[:place]):
            path.write_bytes(damaged)
            with pytest.raises(DamagedFileError):
                fresh.restore(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        fresh.restore(path)
    path.write_bytes(content)
    fresh.restore(path)


def fitter() -> Fitter:
    task = AnomalyTask(("good", "defect"), TaskOptions())
    torch.manual_seed(0)
    network = task.build(Architecture("test", "test_efficientnet", 3, 64, "padim"), weights=None)
    pixels = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), dtype=np.uint8)
    seen = Examples(ArrayImages(pixels), [DefectTruth(0, None)] * 12, (64, 64), frozenset({0}))
    return Fitter(
        network,
        task,
        RECIPE,
        train=seen,
        val=seen,
        objective=task.default_objective,
        eval_norms=(),
        device="cpu",
        seed=0,
    )


def test_a_fitted_memory_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    fitted, fresh = fitter(), fitter()
    fitted.run_epoch()
    fitted.checkpoint(path)
    fresh.restore(path)
    assert fresh.epochs == fitted.epochs
    own = fresh._module.state_dict()
    assert all(torch.equal(v, own[n]) for n, v in fitted._module.state_dict().items())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError):
        fresh.restore(path)


def test_float16_scales_its_loss_and_goes_on_with_the_same_scale(tmp_path: Path) -> None:
    whole = trainer()
    whole._compute_in("float16")
    expected = finish(whole)
    stopped, resumed = trainer(), trainer()
    torch.manual_seed(0)
    stopped._compute_in("float16")
    stopped.run_epoch()
    stopped._scaler.update(512.0)
    stopped.checkpoint(tmp_path / "training.safetensors")
    resumed.restore(tmp_path / "training.safetensors")
    assert resumed._precision == "float16"
    assert resumed._scaler.get_scale() == 512.0
    assert all(torch.isfinite(value).all() for value in finish(resumed).values())
    assert all(torch.isfinite(value).all() for value in expected.values())
    assert whole.epochs[-1].train_loss < whole.epochs[0].train_loss
