"""A detector is a backbone, a pyramid of 2 to 4 levels and the heads of FCOS or RetinaNet."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from automl.errors import SpecError
from automl.models.backbones import create_backbone, inference_form
from automl.models.detector_boxes import (
    ANCHORS,
    anchor_boxes,
    boxes_of_anchors,
    boxes_of_points,
    deltas_of_boxes,
    flatten_levels,
    grid_points,
    grid_strides,
)
from automl.models.detectors import build_detector
from automl.models.freezing import freeze_parts
from automl.models.weights import weight_source
from automl.records import Architecture


def architecture(
    decoder: str | None = "fcos",
    depth: int | None = 3,
    *,
    backbone: str = "test_efficientnet",
    width: int | None = 16,
    size: int = 64,
) -> Architecture:
    return Architecture("test", backbone, depth, size, decoder, width)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet", "test_convnext"])
@pytest.mark.parametrize("decoder", ["fcos", "retinanet"])
@pytest.mark.parametrize("depth", [2, 4])
def test_detector_says_classes_and_boxes_at_every_level(
    backbone: str, decoder: str, depth: int
) -> None:
    network = build_detector(architecture(decoder, depth, backbone=backbone), classes=5)
    said = network.module.eval()(torch.rand(2, 3, 64, 64))
    anchors = {"fcos": 1, "retinanet": ANCHORS}[decoder]
    numbers = {"fcos": (5, 4, 1), "retinanet": (5, 4)}[decoder]
    sides = [8, 4, 2, 1][:depth]
    assert [[tuple(level.shape) for level in one] for one in said] == [
        [(2, anchors * count, side, side) for side in sides] for count in numbers
    ]
    assert network.stages == {2: 4, 4: 5}[depth] - (backbone == "test_convnext")


def test_each_level_adds_parameters_and_arithmetic_and_so_does_width() -> None:
    networks = [build_detector(architecture(depth=depth), classes=3) for depth in (2, 3, 4)]
    assert sorted({n.macs for n in networks}) == [n.macs for n in networks]
    assert sorted({n.parameters for n in networks}) == [n.parameters for n in networks]
    wide = build_detector(architecture(width=32), classes=3)
    assert wide.macs > networks[1].macs
    usual = build_detector(architecture(width=None), classes=3)
    assert usual.macs == build_detector(architecture(width=64), classes=3).macs


def test_macs_are_those_of_a_convolution_by_hand() -> None:
    """One more class costs a 3 x 3 convolution to one map, at 8 x 8 + 4 x 4 + 2 x 2 points."""
    three, four = (build_detector(architecture(), classes=n) for n in (3, 4))
    assert four.macs - three.macs == 16 * 9 * (64 + 16 + 4)


@pytest.mark.parametrize("decoder", ["fcos", "retinanet"])
def test_new_detector_gives_every_class_a_probability_of_one_in_hundred(decoder: str) -> None:
    torch.manual_seed(0)
    network = build_detector(architecture(decoder), classes=3)
    with torch.no_grad():
        said = network.module(torch.randn(4, 3, 64, 64))
    probabilities = flatten_levels(said[0], 3).sigmoid()
    assert 0.005 < float(probabilities.min()) < float(probabilities.max()) < 0.02


@pytest.mark.parametrize("decoder", ["fcos", "retinanet"])
def test_image_sizes_that_strides_do_not_divide_are_taken(decoder: str) -> None:
    network = build_detector(architecture(decoder, size=100), classes=3)
    said = network.module.eval()(torch.rand(1, 3, 100, 100))
    assert [level.shape[-1] for level in said[0]] == [13, 7, 4]


def test_pretrained_weights_fill_the_backbone_which_can_be_frozen(tmp_path: Path) -> None:
    whole = create_backbone("test_resnet", classes=10)
    file = tmp_path / "weights.safetensors"
    save_file(whole.state_dict(), file)
    network = build_detector(
        architecture(backbone="test_resnet"), classes=3, weights=weight_source(f"file {file}")
    )
    assert network.weights == f"file {file}"
    own = network.module.state_dict()
    for name, value in whole.state_dict().items():
        if f"{network.encoder}{name}" in own:
            torch.testing.assert_close(own[f"{network.encoder}{name}"], value)
    assert sum(name.startswith(network.encoder) for name in own) > 20
    freeze_parts(network, "backbone")
    learnt = {name for name, p in network.module.named_parameters() if p.requires_grad}
    assert learnt == {
        name for name, _ in network.module.named_parameters() if not name.startswith("backbone.")
    }
    freeze_parts(network, "stem")
    names = {n for n, p in network.module.named_parameters() if not p.requires_grad}
    assert f"{network.encoder}conv1.weight" in names or f"{network.encoder}conv1.0.weight" in names
    assert all(name.startswith(network.encoder) for name in names)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            architecture("fcso"),
            "A detector has the decoder fcos or retinanet; got 'fcso' for 'test_efficientnet'. "
            "Did you mean 'fcos'?",
        ),
        (
            architecture(None),
            "A detector has the decoder fcos or retinanet; got none for 'test_efficientnet'. "
            "Known: fcos, retinanet.",
        ),
        (
            architecture(depth=5),
            "The depth of a detector is its number of pyramid levels, 2 (strides of 8 and 16 "
            "pixels) to 4 (8, 16, 32 and 64); got 5 for 'test_efficientnet'.",
        ),
        (
            architecture(depth=None),
            "The depth of a detector is its number of pyramid levels, 2 (strides of 8 and 16 "
            "pixels) to 4 (8, 16, 32 and 64); got full for 'test_efficientnet'.",
        ),
        (
            architecture(width=1000),
            "The width of a detector is 8 to 256 channels; got 1000 for 'test_efficientnet'.",
        ),
        (
            architecture(backbone="test_vit"),
            "A pyramid of 3 levels needs feature stages at strides of 8, 16, 32 pixels; 'test_vit' "
            "has them at 16. Choose a backbone of stages that halve the map, such as a "
            "convolutional one.",
        ),
    ],
)
def test_architecture_that_is_no_detector_is_refused(wrong: Architecture, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_detector(wrong, classes=3)
    assert str(caught.value) == message


def maps(*sides: tuple[int, int], numbers: int = 1) -> list[torch.Tensor]:
    return [torch.zeros(1, numbers, height, width) for height, width in sides]


def test_points_lie_in_the_middle_of_their_squares_row_by_row() -> None:
    levels = maps((2, 3), (1, 2))
    expected = [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12], [8, 8], [24, 8]]
    assert grid_points(levels).tolist() == expected
    assert grid_strides(levels).tolist() == [8.0] * 6 + [16.0] * 2


def test_flattened_maps_follow_the_order_of_the_points() -> None:
    level = torch.arange(12.0).reshape(1, 2, 2, 3)  # 2 numbers at each of 2 x 3 points
    flat = flatten_levels([level, maps((1, 1), numbers=2)[0]], 2)
    assert flat.tolist() == [[[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11], [0, 0]]]


def test_distances_become_boxes_around_the_point() -> None:
    distance = math.log(math.e - 1)  # softplus of it is 1: one stride
    said = torch.full((1, 1, 4), distance)
    box = boxes_of_points(said, torch.tensor([[20.0, 12.0]]), torch.tensor([8.0]))
    torch.testing.assert_close(box, torch.tensor([[[12.0, 4.0, 28.0, 20.0]]]))


def test_anchors_have_nine_shapes_around_their_point_and_the_papers_areas() -> None:
    anchors = anchor_boxes(torch.tensor([[20.0, 12.0], [8.0, 8.0]]), torch.tensor([8.0, 16.0]))
    assert anchors.shape == (2 * ANCHORS, 4)
    sides = anchors[:, 2:] - anchors[:, :2]
    areas = sides.prod(1).sqrt().reshape(2, ANCHORS)
    expected = torch.tensor([1.0] * 3 + [2 ** (1 / 3)] * 3 + [2 ** (2 / 3)] * 3)
    torch.testing.assert_close(areas, torch.stack([32.0 * expected, 64.0 * expected]))
    torch.testing.assert_close(sides[:3, 1] / sides[:3, 0], torch.tensor([0.5, 1.0, 2.0]))
    middle = 0.5 * (anchors[:, 2:] + anchors[:, :2])
    torch.testing.assert_close(middle[:ANCHORS], torch.tensor([[20.0, 12.0]]).repeat(ANCHORS, 1))


def test_what_is_said_of_an_anchor_leads_back_to_its_box() -> None:
    anchors = torch.tensor([[0.0, 0.0, 32.0, 32.0], [10.0, 20.0, 30.0, 90.0]])
    boxes = torch.tensor([[4.0, 2.0, 60.0, 40.0], [12.0, 18.0, 22.0, 80.0]])
    said = deltas_of_boxes(boxes, anchors)
    torch.testing.assert_close(boxes_of_anchors(said, anchors), boxes)
    torch.testing.assert_close(deltas_of_boxes(anchors, anchors), torch.zeros(2, 4))


@pytest.mark.parametrize("decoder", ["fcos", "retinanet"])
def test_delivered_form_says_the_same_without_normalisations_in_the_heads(decoder: str) -> None:
    torch.manual_seed(0)
    module = build_detector(architecture(decoder), classes=3).module
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        for _ in range(3):
            module(images)  # statistics of each level's own
        twin = inference_form(module)
        expected, got = module.eval()(images), twin(images)
    for before, after in zip(expected, got, strict=True):
        for one, other in zip(before, after, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    heads = {type(part).__name__ for part in (twin.class_head, twin.box_head)}
    assert heads == {"_FoldedHead"}
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in module.class_head.modules())
