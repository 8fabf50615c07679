"""Fitting a memory: one epoch, good images alone, views as the recipe says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from record_makers import RECIPE

from automl.data.truth import DefectTruth
from automl.errors import AutomlError
from automl.models.backbones import Network, build_classifier
from automl.predictor import decode_image
from automl.records import Architecture, Augmentation, Epoch
from automl.resources import shipped
from automl.tasks import Task, open_task
from automl.training.examples import ArrayImages, Examples
from automl.training.fitting import Fitter
from automl.training.validation import judge

SIDE = 64
TINY = Architecture("test", "test_efficientnet", 3, SIDE, "padim")
AS_IS = Augmentation("as-is", 0.0, 1.0, 0.0, 0.0, 0.0, False, False)
TURNED = Augmentation("turned", 90.0, 1.0, 0.0, 0.0, 0.0, True, True)


@cache
def photographs(folder: str, most: int) -> np.ndarray:
    files = sorted(Path(shipped("specs", "data/piped-small"), folder).glob("*.png"))[:most]
    return np.stack([decode_image(file.read_bytes())[:SIDE, :SIDE] for file in files])


def examples(good: np.ndarray, defective: np.ndarray | None = None) -> Examples:
    pixels = good if defective is None else np.concatenate([good, defective])
    labels = [0] * len(good) + [1] * (len(pixels) - len(good))
    truths = [DefectTruth(label, None) for label in labels]
    return Examples(ArrayImages(pixels), truths, (SIDE, SIDE), present=frozenset(labels))


def network(task: Task) -> Network:
    torch.manual_seed(0)
    return task.build(TINY, weights=None)


def fitter(
    built: Network,
    train: Examples,
    *,
    augmentation: Augmentation = AS_IS,
    val: Examples | None = None,
) -> Fitter:
    return Fitter(
        built,
        open_task("anomaly", classes=("good", "defect")),
        replace(RECIPE, epochs=7, augmentation=augmentation),
        train=train,
        val=val or examples(photographs("train/good", 32)[20:24]),
        objective="image-auroc",
        eval_norms=(),
        device="cpu",
        seed=3,
    )


def fit(train: Examples, **options: object) -> tuple[Network, Epoch]:
    torch.set_num_threads(1)
    built = network(open_task("anomaly", classes=("good", "defect")))
    return built, fitter(built, train, **options).run_epoch()  # type: ignore[arg-type]


def memory_of(built: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in built.module.memory.state_dict().items()}


def test_one_epoch_is_all_whatever_the_recipe_says() -> None:
    built = network(open_task("anomaly", classes=("good", "defect")))
    learner = fitter(built, examples(photographs("train/good", 6)))
    assert learner.total_epochs == 1
    epoch = learner.run_epoch()
    assert learner.epochs == [epoch]
    assert epoch.number == 1
    assert epoch.seconds > 0


def test_defects_are_found_after_good_images_were_seen_alone() -> None:
    task = open_task("anomaly", classes=("good", "defect"))
    built, epoch = fit(examples(photographs("train/good", 20)))
    test = examples(photographs("test/good", 16), photographs("test/defect", 24))
    assert 0.5 < epoch.val_score <= 1.0
    assert epoch.val_loss > epoch.train_loss - 0.5
    scores = judge(built, task, test, device="cpu", seed=0)
    assert scores.values["image-auroc"] > 0.75


def test_defective_training_images_are_never_looked_at() -> None:
    good, defective = photographs("train/good", 8), photographs("test/defect", 8)
    alone, mixed = fit(examples(good))[0], fit(examples(good, defective))[0]
    for name, tensor in memory_of(alone).items():
        assert torch.equal(tensor, memory_of(mixed)[name]), name


def test_backbone_weights_stay_as_they_were() -> None:
    built = network(open_task("anomaly", classes=("good", "defect")))
    before = {n: t.clone() for n, t in built.module.features.state_dict().items()}
    fitter(built, examples(photographs("train/good", 6)), augmentation=TURNED).run_epoch()
    for name, tensor in built.module.features.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    ("augmentation", "views"),
    [
        (AS_IS, 1),
        (replace(AS_IS, flip_horizontal=True), 2),
        (replace(AS_IS, flip_vertical=True), 2),
        (replace(AS_IS, flip_horizontal=True, flip_vertical=True), 4),
        (replace(AS_IS, rotate_deg=15.0), 1),
        (replace(AS_IS, rotate_deg=180.0), 4),
        (TURNED, 8),
    ],
)
def test_views_are_those_that_the_recipe_allows(augmentation: Augmentation, views: int) -> None:
    built = network(open_task("anomaly", classes=("good", "defect")))
    image = np.arange(SIDE * SIDE * 3, dtype=np.uint64).reshape(1, SIDE, SIDE, 3) * 2654435761 % 251
    learner = fitter(built, examples(image.astype(np.uint8)), augmentation=augmentation)
    with torch.inference_mode():
        seen = {maps[0].numpy().tobytes() for maps in learner._read_maps()}
    assert len(seen) == views
    if augmentation.flip_horizontal != augmentation.flip_vertical:
        axis = 2 if augmentation.flip_horizontal else 1
        mirrored = fitter(built, examples(np.flip(image.astype(np.uint8), axis).copy()))
        with torch.inference_mode():
            assert next(iter(mirrored._read_maps()))[0].numpy().tobytes() in seen


def test_turned_views_make_a_memory_that_knows_no_upside() -> None:
    good = photographs("train/good", 6)
    upright = memory_of(fit(examples(good), augmentation=TURNED)[0])
    turned = np.ascontiguousarray(np.rot90(good, 1, (1, 2)))
    again = memory_of(fit(examples(turned), augmentation=TURNED)[0])
    for name in ("whitenings.0.mean", "whitenings.1.mean", "centre", "spread"):
        assert torch.allclose(upright[name], again[name], atol=1e-2), name


def test_no_good_image_is_refused() -> None:
    message = (
        "An anomaly network learns from good images; the training split has none. "
        "Give images without a defect, or a smaller data.split.val and data.split.test."
    )
    with pytest.raises(AutomlError) as caught:
        fit(examples(photographs("train/good", 1)[:0], photographs("test/defect", 3)))
    assert str(caught.value) == message


def test_a_network_without_a_memory_is_refused() -> None:
    classifier = build_classifier(Architecture("test", "test_efficientnet", 2, SIDE), classes=2)
    with pytest.raises(TypeError, match="What is fitted has a memory; got CutClassifier, which is"):
        fitter(classifier, examples(photographs("train/good", 2)))
