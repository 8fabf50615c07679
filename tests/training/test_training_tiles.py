"""Networks that see frames in tiles are trained on squares and judged on joined tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from record_makers import RECIPE
from torchvision import tv_tensors

from automl.data.augment import crop
from automl.data.truth import IGNORED, MaskTruth
from automl.export.deployed import deploy
from automl.models.backbones import Network
from automl.predictor import ANSWERS
from automl.records import Architecture, TaskOptions
from automl.tasks.segmentation import SegmentationTask
from automl.training.examples import ArrayImages, Examples
from automl.training.loop import Trainer
from automl.training.validation import judge

SIDE = 32
TASK = SegmentationTask(("background", "spot"), TaskOptions(input="tiles"))
pytestmark = pytest.mark.usefixtures("one_thread")  # two would wait for each other


def network() -> Network:
    torch.manual_seed(0)
    return TASK.build(Architecture("test", "test_efficientnet", 3, SIDE, "linknet"), weights=None)


def spots(height: int, width: int) -> Examples:
    """Return frames with a bright square each, of which every pixel's class is known."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 60, (3, height, width, 3), dtype=np.uint8)
    truths = []
    for number, frame in enumerate(pixels):
        mask = np.zeros((height, width), np.uint8)
        mask[4 + number : 14, 3:13] = 1
        frame[mask == 1] = 250
        truths.append(MaskTruth(mask))
    return Examples(ArrayImages(pixels), truths, (height, width), frozenset({0, 1}), SIDE)


@pytest.mark.parametrize(
    ("height", "width", "crop_side"), [(70, 45, None), (20, 50, SIDE), (20, 24, None)]
)
def test_frames_of_any_size_are_learnt_from(height: int, width: int, crop_side: int | None) -> None:
    seen = spots(height, width)
    trainer = Trainer(
        network(),
        TASK,
        replace(RECIPE, epochs=1, batch_size=2, crop=crop_side),
        train=seen,
        val=seen,
        objective="mean-iou",
        eval_norms=(),
        device="cpu",
        seed=0,
    )
    epoch = trainer.run_epoch()
    assert np.isfinite([epoch.train_loss, epoch.val_loss]).all()
    assert 0.0 <= epoch.val_score <= 1.0


def test_validation_scores_what_the_delivered_form_answers() -> None:
    seen, built = spots(70, 45), network()
    scores = judge(built, TASK, seen, device="cpu", seed=0)
    delivered = deploy(built, TASK, frame_size=seen.size, tiled=True)
    scorer = TASK.scorer()
    for position, frame in enumerate(seen.images(range(3))):
        with torch.inference_mode():
            (mask,) = delivered(torch.from_numpy(frame[None]))
        answer = ANSWERS["segmentation"].read({"mask": mask.numpy()}, TASK.classes, {})
        scorer.add(answer, seen.truth(position))
    assert scores.values == pytest.approx(scorer.scores().values, abs=1e-3)


def test_a_crop_beyond_the_border_repeats_the_image_and_knows_nothing_there() -> None:
    image = torch.arange(3 * 2 * 4, dtype=torch.uint8).reshape(3, 2, 4)
    mask = tv_tensors.Mask(torch.ones(2, 4, dtype=torch.uint8))
    square, known = crop(image, {"mask": mask}, top=0, left=1, side=3)
    assert square.tolist() == [[*plane, plane[-1]] for plane in image[:, :, 1:].tolist()]
    assert known["mask"].tolist() == [[1, 1, 1], [1, 1, 1], [IGNORED] * 3]
