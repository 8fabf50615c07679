"""A frozen start is computed once: both halves are the network, and training is what it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from record_makers import RECIPE
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from automl.data.augment import BatchAugmentation
from automl.data.truth import BoxTruth, LabelTruth, MaskTruth, Truth
from automl.models.backbones import Network
from automl.models.freezing import freeze_parts, frozen_norms
from automl.records import Architecture, Augmentation, Recipe, TaskOptions
from automl.tasks.base import Task, open_task
from automl.training import activations
from automl.training.activations import FrozenStart, free_bytes
from automl.training.examples import ArrayImages, Examples
from automl.training.frozen import cut_at_frozen
from automl.training.loop import Trainer
from automl.training.validation import Normalise

SIDE = 64
STILL = Augmentation("none", 0.0, 1.0, 0.0, 0.0, 0.0, False, False)
RECIPE_6 = replace(RECIPE, learning_rate=3e-3, epochs=6, batch_size=8)
pytestmark = pytest.mark.usefixtures("one_thread")


def built(task: Task, architecture: Architecture, freeze: str) -> Network:
    """Return a network with part of it frozen, as if its weights had been learnt before."""
    torch.manual_seed(0)
    network = replace(task.build(architecture, weights=None), weights="of a test")
    freeze_parts(network, freeze)  # type: ignore[arg-type]  # one of its names
    return network


def classifier(backbone: str, freeze: str, *, depth: int | None = None) -> Network:
    task = open_task("classification", classes=("dark", "bright"))
    return built(task, Architecture("test", backbone, depth, SIDE), freeze)


def images(count: int) -> Examples:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 160, (count, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[1::2] += 60
    truths = [LabelTruth(number % 2) for number in range(count)]
    return Examples(ArrayImages(pixels), truths, (SIDE, SIDE), frozenset({0, 1}))


def trainer(network: Network, recipe: Recipe, *, count: int = 40) -> Trainer:
    return Trainer(
        network,
        open_task("classification", classes=("dark", "bright")),
        recipe,
        train=images(count),
        val=images(10),
        objective="balanced-accuracy",
        eval_norms=frozen_norms(network.module),
        device="cpu",
        seed=3,
    )


def normalised(network: Network, count: int) -> Tensor:
    return Normalise(network, "cpu")(
        torch.from_numpy(images(count).images(range(count))).permute(0, 3, 1, 2)
    )


CLASSIFIERS = [
    ("test_efficientnet", None, "stem"),
    ("test_efficientnet", None, "half"),
    ("test_efficientnet", None, "backbone"),
    ("test_efficientnet", 3, "stem"),
    ("test_efficientnet", 3, "backbone"),
    ("test_resnet", None, "half"),
    ("test_convnext", None, "stem"),
    ("tf_efficientnet_lite0", 4, "half"),
    ("mobilenetv3_small_100", None, "stem"),
    ("resnet18", None, "stem"),
]


@pytest.mark.parametrize(("backbone", "depth", "freeze"), CLASSIFIERS)
def test_both_halves_of_a_classifier_are_the_network(
    backbone: str, depth: int | None, freeze: str
) -> None:
    network = classifier(backbone, freeze, depth=depth)
    module = network.module
    halves = cut_at_frozen(module, normalised(network, 1))
    assert halves is not None
    own = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    assert {id(p) for p in halves.training_rest.parameters() if p.requires_grad} == own
    assert not any(parameter.requires_grad for parameter in halves.start.parameters())
    pixels = normalised(network, 6)
    module.train()
    for part in frozen_norms(module):
        part.eval()
    expected = module(pixels)
    assert torch.allclose(halves.training_rest(*halves.start(pixels)), expected, atol=1e-4)
    module.eval()
    assert torch.allclose(halves.judging_rest(*halves.start(pixels)), module(pixels), atol=1e-4)


@pytest.mark.parametrize(
    ("task", "architecture"),
    [
        ("segmentation", Architecture("test", "test_efficientnet", 3, SIDE, "linknet")),
        ("segmentation", Architecture("test", "test_resnet", 4, SIDE, "unet", 16)),
        ("detection", Architecture("test", "test_efficientnet", 4, SIDE, "fcos", 16)),
    ],
    ids=["linknet", "unet", "fcos"],
)
def test_networks_with_several_feature_maps_are_cut_too(
    task: str, architecture: Architecture
) -> None:
    opened = open_task(task, classes=("background", "spot"))
    network = built(opened, architecture, "backbone")
    halves = cut_at_frozen(network.module, normalised(network, 1))
    assert halves is not None
    pixels = normalised(network, 2)
    network.module.eval()
    passed = halves.start(pixels)
    assert len(passed) > 1
    got, expected = tree_leaves(halves.judging_rest(*passed)), tree_leaves(network.module(pixels))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(got, expected, strict=True))


class Asks(nn.Module):
    """Looks at its input before it decides: it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.first(images)
        return self.last(maps if maps.mean() > 0 else -maps)


class Skips(nn.Module):
    """Uses the image again after its frozen start."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.last(self.first(images) + self.last.bias[0] * images)
        return result


@pytest.mark.parametrize("kind", [Asks, Skips])
def test_what_cannot_be_cut_is_left_whole(kind: type[nn.Module]) -> None:
    module = kind().train()
    assert isinstance(module.first, nn.Module)
    module.first.requires_grad_(False)
    assert cut_at_frozen(module, torch.rand(1, 3, 16, 16)) is None
    assert module.training


def test_modes_are_left_as_they_were() -> None:
    network = classifier("test_efficientnet", "half")
    module = network.module.train()
    for part in frozen_norms(module):
        part.eval()
    before = {name: part.training for name, part in module.named_modules()}
    assert cut_at_frozen(module, normalised(network, 1)) is not None
    assert {name: part.training for name, part in module.named_modules()} == before


@pytest.mark.parametrize("freeze", ["stem", "half", "backbone"])
def test_a_training_from_kept_activations_is_the_plain_one(freeze: str) -> None:
    """Where nothing is varied, both see the same images, but for the rounding to 16 bits."""
    recipe = replace(RECIPE_6, augmentation=STILL, epochs=3)
    ends = []
    for plain in (False, True):
        learning = trainer(classifier("test_efficientnet", freeze), recipe)
        assert learning._start is not None
        if plain:
            learning._start = None
        learning._precision = "float32"
        for _ in range(3):
            learning.run_epoch()
        ends.append(learning)
    for kept, whole in zip(ends[0].epochs, ends[1].epochs, strict=True):
        assert kept.train_loss == pytest.approx(whole.train_loss, rel=0.02)
        assert kept.val_loss == pytest.approx(whole.val_loss, rel=0.02)
    own, other = (one._module.state_dict() for one in ends)
    frozen = [n for n, p in ends[0]._module.named_parameters() if not p.requires_grad]
    assert frozen
    assert all(torch.equal(own[name], other[name]) for name in frozen)


def test_each_view_is_computed_once_and_all_take_part() -> None:
    learning = trainer(classifier("test_efficientnet", "backbone"), RECIPE_6)
    start = learning._start
    assert start is not None
    assert start.views == 3
    seen: list[int] = []
    start._halves.start.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    counts = []
    for _ in range(6):
        before = sum(seen)
        learning.run_epoch()
        counts.append(sum(seen) - before)
    assert counts == [40 + 10, 40, 40, 0, 0, 0]  # and the validation images, once
    rows = [set(start.rows(np.arange(40), epoch=epoch).tolist()) for epoch in range(4)]
    assert not rows[0] & rows[1]
    assert not rows[1] & rows[2]
    assert rows[0] == rows[3]
    assert len(set().union(*rows)) == 120
    assert len({row // 40 for row in rows[0]}) == 3  # an epoch mixes the views


@pytest.mark.parametrize(
    ("epochs", "augmentation", "most_bytes", "views"),
    [
        (20, RECIPE.augmentation, 10**9, 4),
        (6, RECIPE.augmentation, 10**9, 3),
        (3, RECIPE.augmentation, 10**9, 0),
        (20, STILL, 10**9, 1),
        (1, STILL, 10**9, None),
        (20, RECIPE.augmentation, 0, None),
    ],
)
def test_views_are_as_many_as_pay_and_fit(
    epochs: int, augmentation: Augmentation, most_bytes: int, views: int | None
) -> None:
    start = frozen_start(epochs, augmentation, most_bytes)
    assert (None if start is None else start.views) == views


def frozen_start(
    epochs: int, augmentation: Augmentation, most_bytes: int, freeze: str = "backbone"
) -> FrozenStart | None:
    network = classifier("test_efficientnet", freeze)
    return FrozenStart.of(
        network.module,
        epochs=epochs,
        train=images(40),
        val=images(10),
        augment=BatchAugmentation(augmentation, size=(SIDE, SIDE)),
        normalise=Normalise(network, "cpu"),
        seed=0,
        device="cpu",
        most_bytes=most_bytes,
    )


def test_less_memory_gives_fewer_views_and_is_not_overdrawn() -> None:
    whole = frozen_start(20, RECIPE.augmentation, 10**9)
    assert whole is not None
    image_bytes = sum(value[0].nbytes for value in whole._kept._values)
    for kept, views in ((170, 4), (169, 3), (91, 2), (90, 2), (89, 0), (10, 0), (9, None)):
        start = frozen_start(20, RECIPE.augmentation, kept * image_bytes)
        assert (None if start is None else start.views) == views
        if start is not None:
            stores = [*start._kept._values, *start._judged._values]
            assert sum(value.nbytes for value in stores) <= kept * image_bytes
    assert 0 < free_bytes() <= 10**9


def test_a_large_rest_sees_images_anew_but_validation_is_kept() -> None:
    start = frozen_start(20, RECIPE.augmentation, 10**9, "half")
    assert start is not None
    assert start.views == 0
    learning = trainer(classifier("test_efficientnet", "half"), RECIPE_6)
    plain = trainer(classifier("test_efficientnet", "half"), RECIPE_6)
    plain._start = None
    for one in (learning, plain):
        torch.manual_seed(3)
        one._precision = "float32"
        for _ in range(3):
            one.run_epoch()
    for kept, whole in zip(learning.epochs, plain.epochs, strict=True):
        assert kept.train_loss == whole.train_loss
        assert kept.val_loss == pytest.approx(whole.val_loss, rel=0.01)


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_truths_move_with_the_views_that_are_kept(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bright square is where its mask or box says, in the very images that the start has seen."""
    monkeypatch.setattr(activations, "_SMALL_REST", 1.0)
    size = (SIDE, SIDE)
    pixels = np.zeros((12, SIDE, SIDE, 3), np.uint8)
    truths: list[Truth] = []
    for number, frame in enumerate(pixels):
        top, left = 16 + number, 28 - number
        frame[top : top + 14, left : left + 14] = 255
        mask = (frame[:, :, 0] > 0).astype(np.uint8)
        box = np.array([[left, top, left + 14, top + 14]], np.float32)
        boxes = BoxTruth(box, np.array([0]), np.array([False]))
        truths.append(MaskTruth(mask) if task == "segmentation" else boxes)
    seen = Examples(ArrayImages(pixels), truths, size, frozenset({0, 1}))
    decoder = ("linknet", None) if task == "segmentation" else ("fcos", 16)
    opened = open_task(task, classes=("background", "spot"), options=TaskOptions())
    network = built(
        opened, Architecture("test", "test_efficientnet", 4, SIDE, *decoder), "backbone"
    )
    moving = replace(RECIPE.augmentation, rotate_deg=20.0, crop=0.6, flip_horizontal=True)
    learning = Trainer(
        network,
        opened,
        replace(RECIPE_6, augmentation=moving, batch_size=6),
        train=seen,
        val=seen,
        objective=opened.default_objective,
        eval_norms=frozen_norms(network.module),
        device="cpu",
        seed=0,
    )
    start = learning._start
    assert start is not None
    given: list[Tensor] = []
    start._halves.start.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    positions = np.array([1, 4, 7, 10])
    rows = start.rows(positions, epoch=1)
    start.values(rows, torch.float32)
    targets = learning._batches.targets(positions, start.variation(rows))
    (views,) = given
    for row, view in enumerate(views):
        bright = view[0] > view[0].mean() + view[0].std()
        if task == "segmentation":
            assert (bright != (targets[row] == 1)).float().mean() < 0.03
        else:
            ys, xs = torch.nonzero(bright, as_tuple=True)
            left, top, right, bottom = targets[row]["boxes"][0].tolist()
            assert abs(left - xs.min()) < 3
            assert abs(top - ys.min()) < 3
            assert abs(right - xs.max()) < 3
            assert abs(bottom - ys.max()) < 3
    assert np.isfinite(learning.run_epoch().train_loss)
