"""The training loop on real photographs: it learns, repeats itself, keeps what is frozen, gives up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from record_makers import RECIPE, architecture
from torch import Tensor, nn

from automl.data.truth import LabelTruth
from automl.models.freezing import freeze_parts, frozen_norms
from automl.predictor import decode_image
from automl.records import Recipe, TaskOptions
from automl.records.candidates import Freeze
from automl.tasks.classification import ClassificationTask
from automl.training.checkpoint import save_weights
from automl.training.examples import ArrayImages, Examples
from automl.training.loop import DivergedError, Trainer
from automl.training.schedule import one_cycle

SIDE = 32
QUICK = replace(RECIPE, learning_rate=3e-3, epochs=4, batch_size=8)
TASK = ClassificationTask(("fail", "pass"), TaskOptions())


def read(folder: Path, positions: slice) -> Examples:
    """Return some photographs of paper, half of each class, with the defects made plain to see."""
    frames, labels = [], []
    for label, name in enumerate(("fail", "pass")):
        for path in sorted((folder / name).iterdir())[positions]:
            frame = decode_image(path.read_bytes())[:SIDE, :SIDE]
            frames.append(frame // 2 if label == 0 else frame)
            labels.append(label)
    return examples(np.stack(frames), labels)


def examples(pixels: np.ndarray, labels: Sequence[int]) -> Examples:
    truths = [LabelTruth(int(label)) for label in labels]
    return Examples(ArrayImages(pixels), truths, (SIDE, SIDE), frozenset(labels))


@pytest.fixture(scope="module")
def train(paper_images: Path) -> Examples:
    return read(paper_images, slice(0, 24))


@pytest.fixture(scope="module")
def val(paper_images: Path) -> Examples:
    return read(paper_images, slice(24, 32))


def trainer(
    train: Examples,
    val: Examples,
    *,
    recipe: Recipe = QUICK,
    seed: int = 0,
    backbone: str = "test_efficientnet",
    weights: str | None = None,
) -> Trainer:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = TASK.build(architecture(backbone, size=SIDE), weights=weights)
    freeze_parts(network, recipe.freeze)
    return Trainer(
        network,
        TASK,
        recipe,
        train=train,
        val=val,
        objective="balanced-accuracy",
        eval_norms=frozen_norms(network.module),
        device="cpu",
        seed=seed,
    )


def state(of: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in of._module.state_dict().items()}


def test_the_loss_falls_on_real_photographs(train: Examples, val: Examples) -> None:
    learning = trainer(train, val, recipe=replace(QUICK, epochs=12), backbone="test_resnet")
    for _ in range(12):
        learning.run_epoch()
    epochs = learning.epochs
    assert [e.number for e in epochs] == list(range(1, 13))
    assert epochs[-1].train_loss < 0.5 * epochs[0].train_loss
    assert epochs[-1].val_loss < epochs[0].val_loss
    assert epochs[-1].val_score > 0.9
    assert all(e.seconds > 0 for e in epochs)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet"])
def test_images_and_weights_of_a_step_lie_with_their_channels_last(
    train: Examples, val: Examples, backbone: str
) -> None:
    learning = trainer(train, val, backbone=backbone)
    convolutions = [m for m in learning._module.modules() if isinstance(m, nn.Conv2d)]
    batches: list[Tensor] = []

    def note(convolution: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if convolution.training:
            batches.append(inputs[0])

    convolutions[0].register_forward_pre_hook(note)
    learning.run_epoch()
    weights = [
        c.weight for c in convolutions if c.in_channels > c.groups and c.kernel_size > (1, 1)
    ]
    assert len(batches) >= 6, "steps of an epoch"
    assert len(weights) > 1
    assert all(is_channels_last(one) for one in (*batches, *weights))


def is_channels_last(tensor: Tensor) -> bool:
    """Whether it lies so, and not as well in the usual order, as what has one channel or pixel does."""
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def test_a_seed_repeats_a_training_exactly(train: Examples, val: Examples) -> None:
    losses, states = [], []
    for seed in (7, 7, 8):
        learning = trainer(train, val, seed=seed)
        learning.run_epoch()
        learning.run_epoch()
        losses.append([(e.train_loss, e.val_loss, e.val_score) for e in learning.epochs])
        states.append(state(learning))
    assert losses[0] == losses[1] != losses[2]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert any(not torch.equal(value, states[2][name]) for name, value in states[0].items())


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A source of weights that were learnt before: frozen parts keep these."""
    path = tmp_path_factory.mktemp("weights") / "test_resnet.safetensors"
    torch.manual_seed(1)
    save_weights(timm.create_model("test_resnet"), path)
    return f"file {path}"


@pytest.mark.parametrize("freeze", ["stem", "half", "backbone"])
def test_frozen_parts_do_not_move(
    train: Examples, val: Examples, pretrained: str, freeze: Freeze
) -> None:
    recipe = replace(QUICK, freeze=freeze, weight_decay=0.5)
    learning = trainer(train, val, recipe=recipe, backbone="test_resnet", weights=pretrained)
    module = learning._module
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    trained = {name for name, _ in module.named_parameters()} - frozen
    statistics = {
        f"{prefix}.{name}"
        for prefix, part in module.named_modules()
        if any(part is one for one in frozen_norms(module))
        for name, _ in part.named_buffers()
    }
    before = state(learning)
    learning.run_epoch()
    moved = {n for n, value in state(learning).items() if not torch.equal(value, before[n])}
    assert frozen
    assert statistics
    assert not moved & (frozen | statistics)
    assert trained <= moved


def labelled(one: Examples, position: int) -> int:
    truth = one.truth(position)
    assert isinstance(truth, LabelTruth)
    return truth.label


def run_all(learning: Trainer) -> None:
    for _ in range(learning._recipe.epochs):
        learning.run_epoch()


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_vit"])
def test_a_training_that_diverges_says_so(train: Examples, val: Examples, backbone: str) -> None:
    absurd = replace(QUICK, learning_rate=1e30, epochs=20)
    learning = trainer(train, val, recipe=absurd, backbone=backbone)
    with pytest.raises(DivergedError) as caught:
        run_all(learning)
    epoch = len(learning.epochs) + 1
    assert str(caught.value) in (
        f"The {what} loss of epoch {epoch} is not a number: the training diverged. "
        "A lower learning rate in the search space avoids it."
        for what in ("training", "validation")
    )
    assert all(np.isfinite([e.train_loss, e.val_loss]).all() for e in learning.epochs)


@pytest.mark.parametrize(
    ("images", "batch_size", "epochs"),
    [(48, 48, 1), (48, 16, 1), (48, 32, 3), (20, 32, 3), (48, 16, 5), (3, 2, 1), (2, 32, 7)],
)
def test_any_number_of_images_and_epochs_can_be_trained(
    train: Examples, val: Examples, images: int, batch_size: int, epochs: int
) -> None:
    last = np.arange(len(train))[-images:]
    few = examples(train.images(last), [labelled(train, i) for i in last])
    recipe = replace(QUICK, batch_size=batch_size, epochs=epochs)
    learning = trainer(few, val, recipe=recipe)
    for _ in range(epochs):
        learning.run_epoch()
    assert len(learning.epochs) == epochs


def test_images_of_a_file_that_is_only_read_can_be_used(train: Examples, val: Examples) -> None:
    sets = []
    for one in (train, val):
        pixels = one.images(range(len(one)))
        pixels.setflags(write=False)
        sets.append(examples(pixels, [labelled(one, i) for i in range(len(one))]))
    before = train.images(range(len(train)))
    trainer(sets[0], sets[1]).run_epoch()
    assert np.array_equal(sets[0].images(range(len(before))), before)


def test_validation_does_not_change_the_network(train: Examples, val: Examples) -> None:
    learning = trainer(train, val)
    before = state(learning)
    assert learning.validate() == learning.validate()
    assert all(torch.equal(value, before[name]) for name, value in state(learning).items())


def test_normalisation_and_biases_are_not_decayed(train: Examples, val: Examples) -> None:
    learning = trainer(train, val, recipe=replace(QUICK, weight_decay=0.5))
    decayed, plain = learning._optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.5, 0.0)
    norms = [m for m in learning._module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(any(m.weight is p for p in plain["params"]) for m in norms)
    assert all(p.ndim > 1 for p in decayed["params"])


def test_learning_rate_rises_for_a_quarter_and_falls_to_nothing() -> None:
    shares = [one_cycle(part / 100) for part in range(101)]
    assert shares[0] == pytest.approx(0.04)
    assert shares[25] == pytest.approx(1.0)
    assert shares[:26] == sorted(shares[:26])
    assert shares[25:] == sorted(shares[25:], reverse=True)
    assert shares[100] < 1e-5
    assert one_cycle(1.2) == shares[100]


@pytest.mark.parametrize(("seconds", "epochs"), [(1e9, 4), (0.0, 2)])
def test_a_training_is_made_as_short_as_time_is(
    train: Examples, val: Examples, seconds: float, epochs: int
) -> None:
    learning = trainer(train, val)
    learning._left_s = lambda: seconds
    learning.run_epoch()
    assert learning.total_epochs == epochs
    while len(learning.epochs) < learning.total_epochs:
        learning.run_epoch()
    if seconds > 0:
        assert learning._schedule.get_last_lr()[0] < 1e-4 * QUICK.learning_rate
