"""Any timm backbone, whole or cut, becomes a classifier that costs what is left of it."""

from __future__ import annotations

import pytest
import torch

from automl.errors import SpecError
from automl.models.backbones import (
    build_classifier,
    count_macs,
    create_backbone,
    inference_form,
    list_stages,
    takes_size,
)
from automl.records import Architecture

FAMILIES = ["test_efficientnet", "test_resnet", "test_vit", "test_convnext"]


def architecture(backbone: str, depth: int | None = None, size: int = 64) -> Architecture:
    return Architecture(family="test", backbone=backbone, depth=depth, image_size=size)


@pytest.mark.parametrize("backbone", FAMILIES)
@pytest.mark.parametrize("depth", [1, 3, None])
def test_network_answers_images_of_its_size_with_one_logit_a_class(
    backbone: str, depth: int | None
) -> None:
    network = build_classifier(architecture(backbone, depth), classes=5)
    logits = network.module.eval()(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
    assert network.weights is None
    assert network.stages == (depth or list_stages(backbone))


@pytest.mark.parametrize("backbone", FAMILIES)
def test_each_stage_kept_adds_parameters_and_arithmetic(backbone: str) -> None:
    cuts = [
        build_classifier(architecture(backbone, depth), classes=5)
        for depth in range(1, list_stages(backbone) + 1)
    ]
    whole = build_classifier(architecture(backbone), classes=5)
    macs = [network.macs for network in cuts]
    parameters = [network.parameters for network in cuts]
    assert macs == sorted(set(macs))
    assert parameters == sorted(set(parameters))
    assert macs[-2] < whole.macs
    assert parameters[-2] < whole.parameters


@pytest.mark.parametrize("backbone", FAMILIES)
def test_cut_network_computes_the_very_features_of_the_whole_one(backbone: str) -> None:
    whole = create_backbone(backbone, classes=5).eval()
    if hasattr(whole, "set_input_size"):
        whole.set_input_size(img_size=(64, 64))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        stages = whole.forward_intermediates(images, output_fmt="NCHW", intermediates_only=True)
        for depth, expected in enumerate(stages, start=1):
            cut = build_classifier(architecture(backbone, depth), classes=5).module.eval()
            own = cut.backbone.state_dict()
            cut.backbone.load_state_dict({key: whole.state_dict()[key] for key in own})
            torch.testing.assert_close(cut.features(images), expected)


def test_multiply_accumulates_of_a_resnet_are_those_known_for_it() -> None:
    # 1.82 G at 224 pixels with 1,000 classes: timm's results/benchmark tables.
    macs = count_macs(architecture("resnet18", size=224), classes=1000)
    assert macs == pytest.approx(1.82e9, rel=0.01)


def test_pixel_statistics_are_those_of_the_pretrained_weights() -> None:
    lite = build_classifier(architecture("tf_efficientnet_lite0", 1), classes=2)
    resnet = build_classifier(architecture("resnet18", 1), classes=2)
    assert (lite.mean, lite.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert resnet.mean == (0.485, 0.456, 0.406)
    assert resnet.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("depth", [3, None])
def test_checkpoint_of_a_network_loads_into_another_of_its_architecture(depth: int | None) -> None:
    first = build_classifier(architecture("test_resnet", depth), classes=3).module.eval()
    second = build_classifier(architecture("test_resnet", depth), classes=3).module.eval()
    images = torch.rand(1, 3, 64, 64)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second(images), first(images))


def test_inference_form_folds_branches_and_gives_the_same_answers() -> None:
    network = build_classifier(architecture("repvit_m0_9", 2), classes=3)
    images = torch.rand(4, 3, 64, 64)
    network.module.train()(images)  # moves the statistics, so that folding has something to fold
    folded = inference_form(network.module)
    with torch.no_grad():
        torch.testing.assert_close(
            folded(images), network.module.eval()(images), rtol=1e-4, atol=1e-4
        )
    assert len(list(folded.modules())) < len(list(network.module.modules()))


@pytest.mark.parametrize(
    ("backbone", "depth", "message"),
    [
        (
            "test_resnet",
            6,
            "The depth of 'test_resnet' is between 1 and 5, because it has 5 feature stages; got "
            "6. Use one of these, or 'full'.",
        ),
        (
            "test_convnext",
            0,
            "The depth of 'test_convnext' is between 1 and 4, because it has 4 feature stages; got "
            "0. Use one of these, or 'full'.",
        ),
        (
            "resnet_18",
            None,
            "Unknown backbone 'resnet_18'. Did you mean 'resnet18'? "
            "Backbones are named as in timm: timm.list_models().",
        ),
        (
            "completely-made-up",
            None,
            "Unknown backbone 'completely-made-up'. "
            "Backbones are named as in timm: timm.list_models().",
        ),
        (
            "resnet18.made_up",
            None,
            "Unknown pretraining 'made_up' of backbone 'resnet18'. Known: ",
        ),
    ],
)
def test_impossible_architecture_names_rule_value_and_remedy(
    backbone: str, depth: int | None, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        build_classifier(architecture(backbone, depth), classes=2)
    assert str(caught.value).startswith(message)


def test_image_size_that_a_backbone_cannot_take_is_refused_with_one_that_it_can() -> None:
    with pytest.raises(SpecError) as caught:
        build_classifier(architecture("test_vit", size=50), classes=2)
    message = str(caught.value)
    assert message.startswith("Backbone 'test_vit' cannot take images of 50 x 50 pixels (")
    assert message.endswith("). Use 160, the size its weights were trained on.")


@pytest.mark.parametrize(
    ("backbone", "depth", "side", "answer"),
    [
        ("test_efficientnet", None, 64, True),
        ("test_resnet", 3, 64, True),
        ("test_convnext", None, 64, True),
        ("tf_efficientnet_lite0", 4, 64, True),
        ("test_vit", None, 64, False),
        ("test_vit", 2, 64, False),
        ("levit_128s", None, 224, False),
    ],
)
def test_only_what_was_built_for_any_size_takes_smaller_images(
    backbone: str, depth: int | None, side: int, answer: bool
) -> None:
    network = build_classifier(architecture(backbone, depth, side), classes=3)
    smaller = side * 3 // 4 // 32 * 32
    assert takes_size(network, smaller) is answer
