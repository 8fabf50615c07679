"""Which points and anchors learn which object, and what the loss of a detector asks for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from automl.models.detector_boxes import (
    anchor_boxes,
    deltas_of_boxes,
    grid_points,
    grid_strides,
)
from automl.models.detector_parts import DetectorOutput
from automl.models.detectors import build_detector
from automl.records import Architecture
from automl.tasks.detection_loss import (
    DetectionLoss,
    ObjectTargets,
    assign_anchors,
    assign_points,
)
from automl.tasks.detection_postprocess import FoundObjects

SURE = 12.0
"""A logit that is as good as certain."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def known(*objects: tuple[list[float], int], ignored: tuple[int, ...] = ()) -> ObjectTargets:
    return {
        "boxes": torch.tensor([o[0] for o in objects]).reshape(-1, 4),
        "labels": torch.tensor([o[1] for o in objects], dtype=torch.int64),
        "ignored": torch.tensor([i in ignored for i in range(len(objects))], dtype=torch.bool),
    }


def grid(side: int, levels: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points and strides of a square image."""
    maps = [torch.zeros(1, 1, side // stride, side // stride) for stride in (8, 16, 32)[:levels]]
    return grid_points(maps), grid_strides(maps)


def test_points_near_the_middle_learn_the_object_on_the_level_of_its_size() -> None:
    points, strides = grid(128)
    small, large = [40.0, 40.0, 72.0, 72.0], [0.0, 0.0, 128.0, 128.0]
    position = assign_points(points, strides, known((small, 0)))
    learnt = points[position == 0]
    # the middle is (56, 56); less than 12 pixels from it lie 44 to 68, without its ends
    assert sorted(learnt.tolist()) == [[x, y] for x in (52, 60) for y in (52, 60)]
    assert set(strides[position == 0].tolist()) == {8.0}
    position = assign_points(points, strides, known((large, 0)))
    # every point has a side more than 64 pixels away: 8 strides of the first level
    assert set(strides[position == 0].tolist()) == {16.0}


def test_smaller_object_wins_where_two_overlap() -> None:
    points, strides = grid(64, 1)
    position = assign_points(
        points, strides, known(([8.0, 8.0, 56.0, 56.0], 0), ([24.0, 24.0, 40.0, 40.0], 1))
    )
    at = {tuple(p): int(i) for p, i in zip(points.tolist(), position, strict=True)}
    assert at[(28.0, 28.0)] == 1
    assert at[(36.0, 36.0)] == 1
    assert at[(4.0, 4.0)] == -1


def test_points_in_an_ignored_object_are_not_judged() -> None:
    points, strides = grid(64, 1)
    position = assign_points(
        points,
        strides,
        known(([0.0, 0.0, 32.0, 64.0], 0), ([8.0, 8.0, 24.0, 24.0], 1), ignored=(0,)),
    )
    left = points[:, 0] < 32
    assert set(position[~left].tolist()) == {-1}
    assert set(position[left].tolist()) == {1, -2}


@pytest.mark.parametrize("targets", [known(), known(([0.0, 0.0, 64.0, 64.0], 0), ignored=(0,))])
def test_nothing_to_learn_gives_background_or_nothing(targets: ObjectTargets) -> None:
    points, strides = grid(64)
    anchors = anchor_boxes(points, strides)
    expected = -2 if len(targets["boxes"]) else -1
    assert set(assign_points(points, strides, targets).tolist()) == {expected}
    assert set(assign_anchors(anchors, targets).tolist()) == {expected}


def test_anchors_learn_by_overlap_and_every_object_is_learnt() -> None:
    anchors = torch.tensor(
        [
            [0.0, 0.0, 32.0, 32.0],
            [0.0, 0.0, 32.0, 14.0],
            [0.0, 0.0, 9.0, 9.0],
            [50.0, 0.0, 90.0, 9.0],
        ]
    )
    objects = known(([0.0, 0.0, 32.0, 32.0], 2), ([52.0, 0.0, 60.0, 9.0], 1))
    # the same; 44 % shared; 8 %; 20 %, but the best that the second object has
    assert assign_anchors(anchors, objects).tolist() == [0, -2, -1, 1]


def perfect_points(side: int, targets: ObjectTargets, classes: int) -> DetectorOutput:
    """Return what FCOS should say of an image with one level."""
    count = side // 8
    points, strides = grid(side, 1)
    position = assign_points(points, strides, targets)
    logits = torch.full((len(points), classes), -SURE)
    sides = torch.zeros(len(points), 4)
    centre = torch.zeros(len(points), 1)
    for index in (position >= 0).nonzero().flatten().tolist():
        box = targets["boxes"][position[index]]
        logits[index, targets["labels"][position[index]]] = SURE
        away = torch.cat([points[index] - box[:2], box[2:] - points[index]])
        sides[index] = (away / 8.0).expm1().log()
        ratio = torch.minimum(away[:2], away[2:]) / torch.maximum(away[:2], away[2:])
        centre[index] = ratio.prod().sqrt().clamp(1e-4, 1 - 1e-4).logit()

    def level(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (rows.T.reshape(1, -1, count, count),)

    return level(logits), level(sides), level(centre)


def test_perfect_fcos_loses_only_what_centerness_cannot_tell() -> None:
    targets = known(([8.0, 8.0, 40.0, 48.0], 1), ([40.0, 8.0, 62.0, 30.0], 0))
    loss = DetectionLoss(classes=2, label_smoothing=0.0)
    perfect = perfect_points(64, targets, 2)
    best = float(loss(perfect, [targets]))
    # what is left is the entropy of the centerness, which is no yes or no
    central = perfect[2][0].sigmoid()[perfect[0][0].amax(1, keepdim=True) > 0]
    entropy = torch.nn.functional.binary_cross_entropy(central, central)
    assert best == pytest.approx(float(entropy), abs=1e-3)
    for part in range(3):
        worse = list(perfect)
        worse[part] = (perfect[part][0] * 0.1 + 0.5,)
        assert float(loss(tuple(worse), [targets])) > best + 0.01
    other = dict(targets, labels=torch.tensor([0, 0]))
    assert float(loss(perfect, [other])) > best + 1


def test_perfect_retinanet_loses_nothing() -> None:
    targets = known(([8.0, 8.0, 40.0, 48.0], 1), ([30.0, 8.0, 62.0, 30.0], 0))
    points, strides = grid(64, 1)
    anchors = anchor_boxes(points, strides)
    position = assign_anchors(anchors, targets)
    learns = position >= 0
    logits = torch.full((len(anchors), 2), -SURE)
    logits[learns, targets["labels"][position[learns]]] = SURE
    said = torch.zeros(len(anchors), 4)
    said[learns] = deltas_of_boxes(targets["boxes"][position[learns]], anchors[learns])

    def level(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (rows.reshape(1, 8, 8, -1).permute(0, 3, 1, 2),)

    loss = DetectionLoss(classes=2, label_smoothing=0.0)
    assert float(loss((level(logits), level(said)), [targets])) == pytest.approx(0.0, abs=1e-4)
    assert float(loss((level(logits), level(said + 0.2)), [targets])) > 0.1
    assert float(loss((level(-logits), level(said)), [targets])) > 1


def test_smoothing_asks_for_less_certainty() -> None:
    targets = known(([8.0, 8.0, 40.0, 48.0], 1))
    perfect = perfect_points(64, targets, 2)
    plain = DetectionLoss(classes=2, label_smoothing=0.0)(perfect, [targets])
    smooth = DetectionLoss(classes=2, label_smoothing=0.2)(perfect, [targets])
    assert float(smooth) > float(plain) + 0.02


@pytest.mark.parametrize("decoder", ["fcos", "retinanet"])
def test_batch_with_and_without_objects_has_a_gradient_everywhere(decoder: str) -> None:
    torch.manual_seed(0)
    network = build_detector(
        Architecture("test", "test_efficientnet", 4, 64, decoder, 16), classes=2
    )
    loss = DetectionLoss(classes=2, label_smoothing=0.0)
    targets = [known(([8.0, 8.0, 40.0, 48.0], 1), ([0.0, 0.0, 64.0, 64.0], 0)), known()]
    value = loss(network.module(torch.randn(2, 3, 64, 64)), targets)
    value.backward()
    assert value.isfinite()
    assert all(p.grad is not None for p in network.module.parameters())
    empty = loss(network.module(torch.randn(2, 3, 64, 64)), [known(), known()])
    assert empty.isfinite()


@pytest.mark.parametrize("decoder", ["fcos", "retinanet"])
def test_training_finds_the_object_that_it_was_shown(decoder: str) -> None:
    """A bright square on noise: 40 steps from random weights place and name it."""
    torch.manual_seed(0)
    network = build_detector(
        Architecture("test", "test_efficientnet", 2, 64, decoder, 8), classes=2
    )
    images = torch.randn(4, 3, 64, 64) * 0.1
    corners = [[8.0, 8.0, 40.0, 40.0], [24.0, 16.0, 56.0, 48.0]]
    for image, (left, top, right, bottom) in zip(images, corners * 2, strict=True):
        image[:, int(top) : int(bottom), int(left) : int(right)] += 2.0
    targets = [known((box, 1)) for box in corners * 2]
    loss = DetectionLoss(classes=2, label_smoothing=0.0)
    optimizer = torch.optim.AdamW(network.module.parameters(), lr=5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss(network.module(images), targets).backward()
        optimizer.step()
    found = FoundObjects(image_size=64, classes=2)
    with torch.no_grad():
        said = network.module.eval()(images[:1])
        boxes, labels, scores = found(said, 64, 64)
    assert int(labels[0]) == 1
    assert float(scores[0]) > 0.5
    torch.testing.assert_close(boxes[0], torch.tensor(corners[0]), atol=4.0, rtol=0.0)
