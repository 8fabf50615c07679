"""Segmentation: loss, crops, pictures and words, and the delivered file, on tiny real networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from automl.data.truth import IGNORED, LabelTruth, MaskTruth
from automl.export.deployed import deploy
from automl.export.metadata import artifact_metadata
from automl.export.onnx import export_onnx
from automl.predictor import ANSWERS, Model, Segmentation
from automl.records import Architecture, TaskOptions
from automl.tasks import Judged, open_task
from automl.tasks.segmentation import MaskLoss, SegmentationTask

CLASSES = ("background", "oxide", "crack")
TASK = SegmentationTask(CLASSES, TaskOptions())


def mask(*rows: str) -> NDArray[np.uint8]:
    """Return a mask as drawn: a digit for each class, ``.`` for pixels that are not known."""
    return np.array([[IGNORED if c == "." else int(c) for c in row] for row in rows], np.uint8)


def answer(pixels: NDArray[np.uint8]) -> Segmentation:
    return Segmentation(CLASSES, pixels)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_task_is_opened_by_its_name() -> None:
    task = open_task("segmentation", classes=CLASSES)
    assert isinstance(task, SegmentationTask)
    assert (task.truth, task.outputs, task.classes) == ("mask", ("mask",), CLASSES)
    truth = MaskTruth(mask("01"))
    assert task.judged(Judged(np.zeros((1, 2, 3), np.uint8), truth), present=frozenset(), seed=0)[
        0
    ].truth is (truth)
    assert task.settle(Path("any"), [], []) == {}


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 16), (5, 11), (20, 7)])
def test_mask_is_that_of_the_enlarged_logits(height: int, width: int) -> None:
    network = TASK.build(Architecture("t", "test_resnet", 3, 32, "unet", 4), weights=None)
    logits = torch.randn(1, 3, 8, 8)
    got = TASK.postprocess(network)(logits, height, width)
    enlarged = torch.nn.functional.interpolate(logits, (height, width), mode="bilinear")
    assert got.dtype == torch.uint8
    assert got.shape == (1, height, width)
    assert torch.equal(got, enlarged.argmax(1).to(torch.uint8))


def test_truths_become_a_batch_of_classes() -> None:
    encoded = [TASK.encode(MaskTruth(mask("01", "2."))), TASK.encode(MaskTruth(mask("00", "11")))]
    targets = TASK.collate(encoded)
    assert targets.dtype == torch.int64
    assert targets.tolist() == [[[0, 1], [2, 255]], [[0, 0], [1, 1]]]


def test_masks_move_with_their_images() -> None:
    from torchvision.transforms import v2

    encoded = TASK.encode(MaskTruth(mask("012", "000")))
    _, moved = v2.RandomHorizontalFlip(p=1.0)(torch.zeros(3, 2, 3), dict(encoded))
    assert TASK.collate([moved]).tolist() == [[[2, 1, 0], [0, 0, 0]]]


def loss_of(
    logits: torch.Tensor, *rows: str, weights: tuple[float, ...] = (1.0, 1.0, 1.0)
) -> float:
    loss = MaskLoss(torch.tensor(weights), label_smoothing=0.0)
    return float(loss(logits, TASK.collate([TASK.encode(MaskTruth(mask(*rows)))])))


def sure(*rows: str, strength: float = 20.0) -> torch.Tensor:
    """Return logits ``(1, 3, H, W)`` that are sure of what is drawn."""
    classes = torch.from_numpy(mask(*rows)).long()
    return strength * torch.nn.functional.one_hot(classes, 3).permute(2, 0, 1)[None].float()


def test_loss_of_a_perfect_answer_is_nothing() -> None:
    assert loss_of(sure("0011", "0022"), "0011", "0022") == pytest.approx(0.0, abs=1e-6)


def test_loss_is_cross_entropy_plus_dice_worked_out_by_hand() -> None:
    # Every class is equally likely in each of four pixels: log 3, and a third of each pixel.
    dice_0 = (2 * 2 / 3 + 1) / (4 / 3 + 2 + 1)
    dice_1 = (2 * 2 / 3 + 1) / (4 / 3 + 2 + 1)
    expected = np.log(3) + 1 - (dice_0 + dice_1) / 2  # class 2 does not occur
    assert loss_of(torch.zeros(1, 3, 2, 2), "00", "11") == pytest.approx(expected, rel=1e-5)


def test_unknown_pixels_change_nothing() -> None:
    wrong = sure("0011", "0022")
    wrong[:, :, 1, 3] = torch.tensor([9.0, -9.0, -30.0])
    assert loss_of(wrong, "0011", "002.") == pytest.approx(0.0, abs=1e-6)
    assert loss_of(wrong, "0011", "0022") > 1.0
    assert loss_of(wrong, "....", "....") == 0.0


def test_missing_a_rare_class_costs_more_with_weights() -> None:
    missed = sure("0000", "0000", strength=3.0)
    even, tempered = (
        loss_of(missed, "0000", "0002", weights=w) for w in ((1.0, 1.0, 1.0), (1.0, 1.0, 5.0))
    )
    assert tempered > 1.5 * even


def test_small_logits_are_compared_at_the_size_of_the_mask() -> None:
    assert loss_of(sure("01", "01"), "0011", "0011", "0011", "0011") < 2.0


def test_weights_are_tempered_by_the_share_of_each_class() -> None:
    truths = [MaskTruth(mask("0000000011......")), MaskTruth(mask("000000001111...."))]
    loss = TASK.loss(truths, label_smoothing=0.0)
    assert isinstance(loss, MaskLoss)
    common, rare, absent = loss.weights.tolist()
    assert rare > common
    assert rare / common < (16 / 22) / (6 / 22)  # less than the inverse of the shares
    assert common * 16 / 22 + rare * 6 / 22 == pytest.approx(1.0)  # the mean pixel weighs 1
    assert np.isfinite(absent)


def test_a_network_learns_two_classes_by_the_loss() -> None:
    network = TASK.build(Architecture("t", "test_efficientnet", 3, 32, "unet", 8), weights=None)
    module = network.module.train()
    images = torch.zeros(4, 3, 32, 32)
    images[:, :, 8:20, 8:20] = 1.0
    pixels = np.zeros((32, 32), np.uint8)
    pixels[8:20, 8:20] = 2
    truth = MaskTruth(pixels)
    targets = TASK.collate([TASK.encode(truth)] * 4)
    loss = TASK.loss([truth], label_smoothing=0.0)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss(module(images), targets).backward()
        optimizer.step()
    with torch.no_grad():
        found = TASK.postprocess(network)(module(images)[:1], 32, 32)[0].numpy()
    assert TASK.quality(answer(found), truth) > 0.8


def test_half_of_the_crops_are_put_on_rare_classes() -> None:
    pixels = np.zeros((40, 50), np.uint8)
    pixels[:, 40:] = 1  # 400 pixels
    pixels[7, 3:7] = 2  # 4 pixels
    pixels[0, :] = IGNORED
    draws = np.linspace(0, 1, 400, endpoint=False)
    places = [TASK.focus(MaskTruth(pixels), float(draw)) for draw in draws]
    shown = [int(pixels[place]) for place in places if place is not None]
    assert places.count(None) == 200
    assert set(shown) == {1, 2}
    # By the inverse square root of the area: 1/20 to 1/2.
    assert shown.count(2) / len(shown) == pytest.approx(10 / 11, abs=0.02)
    assert len({place for place in places if place is not None}) > 20


@pytest.mark.parametrize("rows", [("00", "00"), ("..", ".."), ("11", "..")])
def test_images_of_one_class_have_nothing_to_focus_on(rows: tuple[str, ...]) -> None:
    assert TASK.focus(MaskTruth(mask(*rows)), 0.1) is None


def test_quality_is_the_mean_overlap_of_what_the_image_shows() -> None:
    truth = MaskTruth(mask("0000", "0011"))
    assert TASK.quality(answer(mask("0000", "0011")), truth) == 1.0
    assert TASK.quality(answer(mask("0000", "0001")), truth) == pytest.approx((6 / 7 + 1 / 2) / 2)
    assert TASK.quality(answer(mask("2222", "2222")), truth) == 0.0
    assert TASK.quality(answer(mask("00")), MaskTruth(mask(".."))) == 1.0


def test_answers_are_compared_by_the_share_of_pixels() -> None:
    base = np.zeros((20, 20), np.uint8)
    one, many = base.copy(), base.copy()
    one[0, 0] = 1
    many[0, :10] = 1
    assert TASK.compare(answer(base), answer(base)).difference == 0.0
    near = TASK.compare(answer(base), answer(one))
    assert (near.difference, near.is_same) == (pytest.approx(1 / 400), True)
    far = TASK.compare(answer(base), answer(many))
    assert (far.difference, far.is_same) == (pytest.approx(10 / 400), False)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (answer(mask("0000", "0012")), "oxide 12.5%, crack 12.5%"),
        (answer(mask("0000", "0000")), "background alone"),
        (MaskTruth(mask("0000", "01..")), "oxide 16.7%"),
        (MaskTruth(mask("....")), "background alone"),
    ],
)
def test_masks_are_told_in_words(known: Segmentation | MaskTruth, words: str) -> None:
    assert TASK.describe(known) == words


def test_tiny_areas_are_not_rounded_away() -> None:
    pixels = np.zeros((100, 100), np.uint8)
    pixels[0, :2] = 2
    assert TASK.describe(answer(pixels)) == "crack 0.02%"


def test_background_is_found_by_its_name() -> None:
    task = SegmentationTask(("crack", "_Background_"), TaskOptions())
    assert task.describe(MaskTruth(mask("0111"))) == "crack 25.0%"


def test_picture_shows_answer_and_truth_in_at_most_480_pixels() -> None:
    frame = np.full((500, 1000, 3), 100, np.uint8)
    truth, found = np.zeros((500, 1000), np.uint8), np.zeros((500, 1000), np.uint8)
    truth[100:200, 100:300] = 2
    found[300:400, 100:300] = 1
    picture = TASK.draw(frame, answer(found), MaskTruth(truth))
    assert picture.shape == (240, 480, 3)
    assert picture.dtype == np.uint8
    assert picture[10, 10].tolist() == [100, 100, 100]
    assert picture[168, 96].tolist() != [100, 100, 100]  # tinted: answered
    assert picture[72, 96].tolist() == [100, 100, 100]  # inside a true area that was missed
    assert picture[48, 96].tolist() == [213, 94, 0]  # its outline
    assert (frame == 100).all()


def test_small_frames_are_not_enlarged() -> None:
    frame = np.zeros((30, 40, 3), np.uint8)
    blank = np.zeros((30, 40), np.uint8)
    assert TASK.draw(frame, answer(blank), MaskTruth(blank)).shape == (30, 40, 3)


def test_truths_of_other_tasks_are_refused() -> None:
    with pytest.raises(TypeError, match="Segmentation is judged by masks; got LabelTruth"):
        TASK.encode(LabelTruth(1))
    with pytest.raises(TypeError, match="Masks are scored against masks"):
        TASK.scorer().add(answer(mask("0")), LabelTruth(1))


@pytest.mark.parametrize(
    ("decoder", "frame_size", "tiled"),
    [("unet", (72, 90), False), ("segformer", None, False), ("fpn", (72, 150), True)],
)
def test_delivered_file_answers_as_the_network_does(
    decoder: str, frame_size: tuple[int, int] | None, tiled: bool, tmp_path: Path
) -> None:
    architecture = Architecture("t", "test_resnet", 5, 64, decoder, 32)
    network = TASK.build(architecture, weights=None)
    deployed = deploy(network, TASK, frame_size=frame_size, tiled=tiled)
    file = tmp_path / "model.onnx"
    export_onnx(
        deployed,
        file,
        frame_size=frame_size,
        metadata=artifact_metadata(network, TASK, spec_sha256="0" * 64),
    )
    model = Model(file)
    for size in [frame_size] if frame_size else [(64, 64), (50, 121)]:
        frame = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
        with torch.no_grad():
            arrays = deployed(torch.from_numpy(frame)[None])
        outputs = {name: a.numpy() for name, a in zip(TASK.outputs, arrays, strict=True)}
        expected = ANSWERS["segmentation"].read(outputs, CLASSES, {})
        got = model.predict(frame)
        assert isinstance(got, Segmentation)
        assert got.mask.shape == size
        assert got.mask.dtype == np.uint8
        assert len(np.unique(got.mask)) > 1
        assert TASK.compare(expected, got).difference <= TASK.parity_limit
