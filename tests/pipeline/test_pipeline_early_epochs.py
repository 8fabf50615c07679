"""Which trainings look at less in their early epochs, seen by what their real networks are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import timm
import torch
from bundle_maker import copy_images, make_spec
from record_makers import RECIPE, architecture
from safetensors.torch import save_file
from torch import Tensor

from automl.data import prepare
from automl.pipeline import preparing
from automl.pipeline.clock import RunClock
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.preparing import build_network, open_learner
from automl.pipeline.probing import FeaturesSession
from automl.pipeline.session import Session, _best_comparable
from automl.records import Epoch, PlannedArchitecture, Recipe
from automl.search.ladder import probe_id
from automl.search.study import Assignment
from automl.training.fidelity import FIRST_JUDGED_PERCENT
from automl.training.loop import Trainer
from automl.training.validation import Normalise

SIDE, LOW = 64, 48
QUICK = replace(RECIPE, epochs=4, batch_size=8)
"""One early epoch, and three full ones."""
HEADED = ("test_efficientnet", "test_vit")
"""Those that have weights, and so a head that was fitted."""


@dataclass(frozen=True)
class Prepared:
    """A run folder with its data, weights and heads."""

    context: TrialContext

    def trainer(self, backbone: str, recipe: Recipe) -> Trainer:
        """Return the training of a trial, before its first epoch."""
        net = architecture(backbone, size=SIDE)
        given = Assignment(f"0001-{net.key}", 1, net, recipe)
        torch.set_num_threads(1)
        network = build_network(self.context, given)
        learner = open_learner(self.context, given, network, left_s=lambda: 1e9)
        assert isinstance(learner, Trainer)
        return learner


@pytest.fixture(scope="module")
def prepared(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    path = tmp_path_factory.mktemp("early")
    weights = {}
    for backbone in HEADED:
        file = path / f"{backbone}.safetensors"
        save_file(timm.create_model(backbone, pretrained=False).state_dict(), file)
        weights[backbone] = f"file {file}"
    folder = RunFolder(path / "run")
    folder.path.mkdir()
    data = copy_images(paper_images, path / "data")
    spec = make_spec(data, limit_ms=100.0, bound=0.0, size_bytes=10**8)
    folder.write_data(prepare(spec.data, truth="label", stored_side=SIDE))
    nets = [architecture(backbone, size=SIDE) for backbone in HEADED]
    context = TrialContext(
        folder=str(folder.path),
        spec=spec,
        schemes={net.key: ("float32",) for net in nets},
        planned=tuple(
            PlannedArchitecture(net, 400_000, 10_000_000, weights[net.backbone]) for net in nets
        ),
        weights=weights,
        instruction_sets=("avx2",),
        threads=1,
        gpus=0.0,
        clock=RunClock(100.0, 0.0).shared(),
        ends_after_s=10_000.0,
    )
    for net in nets:
        probe = Assignment(probe_id(net), 0, net, QUICK, rung="features")
        assert not FeaturesSession(context, probe).step().failed
    return Prepared(context)


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a set of a few dozen images count as a large one."""
    monkeypatch.setattr(preparing, "GLANCE_IMAGES", 8)


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The sides of all images that are given to a network, of training and validation."""
    seen: set[int] = set()
    normalise = Normalise.__call__

    def noted(self: Normalise, images: Tensor) -> Tensor:
        seen.add(images.shape[-1])
        return normalise(self, images)

    monkeypatch.setattr(Normalise, "__call__", noted)
    return seen


@pytest.mark.parametrize(
    ("backbone", "recipe", "early"),
    [
        ("test_efficientnet", QUICK, {LOW, SIDE}),
        ("test_efficientnet", replace(QUICK, freeze="stem"), {LOW, SIDE}),
        ("test_efficientnet", replace(QUICK, freeze="backbone"), {SIDE}),
        ("test_efficientnet", replace(QUICK, epochs=2), {SIDE}),
        ("test_vit", QUICK, {SIDE}),
        ("test_resnet", QUICK, {SIDE}),
    ],
    ids=["convolutions", "some-frozen", "kept-views", "two-epochs", "transformer", "random-head"],
)
def test_only_a_fitted_head_on_what_takes_any_size_begins_with_small_images(
    prepared: Prepared,
    sides: set[int],
    backbone: str,
    recipe: Recipe,
    early: set[int],
) -> None:
    learning = prepared.trainer(backbone, recipe)
    seen = []
    for _ in range(2):
        sides.clear()
        learning.run_epoch()
        seen.append(set(sides))
    assert seen == [early, {SIDE}]


def test_crops_and_tiles_are_the_same_in_all_epochs(prepared: Prepared) -> None:
    context = prepared.context
    spec = context.spec
    tiled = replace(context, spec=replace(spec, options=replace(spec.options, input="tiles")))
    net = architecture("test_efficientnet", size=SIDE)
    network = build_network(context, Assignment("0001", 1, net, QUICK))
    cropped = replace(QUICK, crop=LOW)
    for one, recipe, is_early in (
        (context, QUICK, True),
        (context, cropped, False),
        (tiled, QUICK, False),
    ):
        look = preparing._early_look(one, Assignment("0001", 1, net, recipe), network)
        assert (look is not None) == is_early


@pytest.mark.parametrize("task", ["segmentation", "detection", "anomaly"])
def test_masks_and_boxes_stay_at_their_size(prepared: Prepared, task: str) -> None:
    context = prepared.context
    network = prepared.trainer("test_efficientnet", QUICK)._network
    assert preparing._begins_small(context, QUICK, network)
    other = replace(context, spec=replace(context.spec, task=task))
    assert not preparing._begins_small(other, QUICK, network)


def test_early_epochs_of_a_large_set_look_at_half_of_it(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, backbone = replace(QUICK, batch_size=2), "test_efficientnet"
    images = len(prepared.trainer(backbone, pairs)._train)
    assert images > 8
    for glanced, expected in ((images - 2, images - 2), (2, images // 2)):
        monkeypatch.setattr(preparing, "GLANCE_IMAGES", glanced)
        learning = prepared.trainer(backbone, pairs)
        early, full = learning._course.batches(1), learning._course.batches(2)
        assert (len(early), len(full)) == (expected // 2, images // 2)
        assert early.augment._size == (LOW, LOW)
        assert full.augment._size == (SIDE, SIDE)


def session(prepared: Prepared, *, ends_after_s: float) -> Session:
    net = architecture("test_efficientnet", size=SIDE)
    context = replace(prepared.context, ends_after_s=ends_after_s)
    return Session(context, Assignment(f"0002-{net.key}", 2, net, QUICK))


def test_what_looked_at_small_images_alone_is_not_delivered_when_time_is_short(
    prepared: Prepared,
) -> None:
    trial = session(prepared, ends_after_s=0.0)
    early = trial.step()
    assert not early.done
    assert early.percent < FIRST_JUDGED_PERCENT
    last = trial.step()
    assert last.done
    result = RunFolder(Path(prepared.context.folder)).read_trial("0002-test_efficientnet-full-64")
    assert result is not None
    assert [epoch.is_early for epoch in result.epochs] == [True, False]


def test_a_training_is_compared_by_what_looked_at_everything() -> None:
    lucky = Epoch(1, 0.1, 0.1, 0.98, 1.0, is_early=True)
    full = [Epoch(2, 0.1, 0.1, 0.94, 1.0), Epoch(3, 0.1, 0.1, 0.91, 1.0)]
    assert _best_comparable([lucky]) == 0.98
    assert _best_comparable([lucky, *full]) == 0.94


def test_what_a_glance_sees_whole_is_looked_at_whole_from_the_beginning(
    prepared: Prepared, sides: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = len(prepared.trainer("test_efficientnet", QUICK)._train)
    monkeypatch.setattr(preparing, "GLANCE_IMAGES", images)
    sides.clear()
    learning = prepared.trainer("test_efficientnet", QUICK)
    learning.run_epoch()
    assert sides == {SIDE}
    assert not learning.epochs[0].is_early
