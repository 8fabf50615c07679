"""Every decoder on encoders of each kind: shapes, sizes, weights, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from automl.errors import SpecError
from automl.models.freezing import freeze_parts
from automl.models.segmenters import DECODERS, build_segmenter
from automl.models.weights import FileWeights
from automl.records import Architecture

QUARTER = "test_convnext"  # its first feature map is a quarter of the image's side


def architecture(
    decoder: str | None,
    *,
    backbone: str = "test_resnet",
    depth: int | None = None,
    width: int | None = None,
    size: int = 64,
) -> Architecture:
    return Architecture("test", backbone, depth, size, decoder, width)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


CASES = [
    (decoder, backbone, depth)
    for decoder, known in DECODERS.items()
    for backbone in ("test_resnet", "test_efficientnet", QUARTER)
    for depth in (
        known.quarter_depths
        if backbone == QUARTER and known.quarter_depths is not None
        else known.depths
    )
]


@pytest.mark.parametrize(("decoder", "backbone", "depth"), CASES)
def test_logits_of_every_decoder_follow_the_image_at_every_depth(
    decoder: str, backbone: str, depth: int
) -> None:
    network = build_segmenter(
        architecture(decoder, backbone=backbone, depth=depth, size=128), classes=3
    )
    module = network.module.eval()
    with torch.no_grad():
        blank, logits = module(torch.zeros(1, 3, 128, 128)), module(torch.rand(1, 3, 128, 128))
    assert logits.shape[:2] == (1, 3)
    assert logits.shape[2] == logits.shape[3]
    assert 128 % logits.shape[2] == 0
    assert logits.isfinite().all()
    assert not torch.equal(blank, logits)  # an encoder without the maps it needs would say so
    assert network.stages == (depth - 1 if backbone == QUARTER else depth)
    assert network.parameters == sum(p.numel() for p in module.parameters())
    assert network.weights is None


def test_networks_take_other_images_than_they_are_built_for() -> None:
    network = build_segmenter(architecture("unet", size=128), classes=2)
    assert network.module(torch.rand(2, 3, 64, 96)).shape == (2, 2, 64, 96)


@pytest.mark.parametrize("decoder", ["unet", "segformer", "deeplabv3plus", "fpn"])
def test_narrower_decoders_cost_less(decoder: str) -> None:
    widths = [32, 64, 96]
    networks = [build_segmenter(architecture(decoder, width=w), classes=3) for w in widths]
    macs = [network.macs for network in networks]
    parameters = [network.parameters for network in networks]
    assert macs == sorted(set(macs))
    assert parameters == sorted(set(parameters))


@pytest.mark.parametrize("backbone", ["test_resnet", QUARTER])
def test_each_depth_adds_parameters_and_arithmetic(backbone: str) -> None:
    networks = [
        build_segmenter(architecture("unet", backbone=backbone, depth=d, width=8), classes=3)
        for d in (3, 4, 5)
    ]
    assert [n.macs for n in networks] == sorted({n.macs for n in networks})
    assert [n.parameters for n in networks] == sorted({n.parameters for n in networks})


def test_arithmetic_is_that_of_a_real_pass() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = build_segmenter(architecture("linknet"), classes=3)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.module.eval()(torch.rand(1, 3, 64, 64))
    assert network.macs == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("backbone", "renamed"),
    [("test_resnet", "conv1."), (QUARTER, "stages_0."), ("test_efficientnet", "blocks.0.")],
)
def test_encoder_computes_with_the_weights_of_the_source(
    backbone: str, renamed: str, tmp_path: Path
) -> None:
    whole = timm.create_model(backbone, num_classes=1000).eval()
    for parameter in whole.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    save_file(whole.state_dict(), tmp_path / f"{backbone}.safetensors")
    source = FileWeights(tmp_path / f"{backbone}.safetensors")
    network = build_segmenter(architecture("unet", backbone=backbone), classes=3, weights=source)
    assert network.weights == source.name
    names = [name for name, _ in network.module.named_parameters()]
    assert any(name.startswith(network.encoder + renamed) for name in names)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = whole.forward_intermediates(images, intermediates_only=True, norm=False)
        got = network.module.eval().encoder.model(images)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "test_resnet.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), file)
    with pytest.raises(SpecError, match="do not belong to 'test_resnet'"):
        build_segmenter(architecture("unet"), classes=3, weights=FileWeights(file))


def test_freezing_leaves_the_decoder_to_be_trained(tmp_path: Path) -> None:
    file = tmp_path / "test_resnet.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=1000).state_dict(), file)
    network = build_segmenter(architecture("unet"), classes=3, weights=FileWeights(file))
    frozen = {}
    for part in ("stem", "half", "backbone"):
        freeze_parts(network, part)
        frozen[part] = {n for n, p in network.module.named_parameters() if not p.requires_grad}
    assert frozen["stem"] < frozen["backbone"]
    assert frozen["half"] < frozen["backbone"]
    encoder = {n for n, _ in network.module.named_parameters() if n.startswith(network.encoder)}
    assert frozen["backbone"] == encoder


REFUSED = [
    (
        architecture(None),
        "A segmentation network has a decoder; got none. Use one of unet, unetplusplus, manet, "
        "linknet, fpn, segformer, deeplabv3plus, pan.",
    ),
    (
        architecture("u-net"),
        "A segmentation network has a decoder; got 'u-net'. Did you mean 'unet'?",
    ),
    (
        architecture("unet", depth=2),
        "The encoder depths that decoder 'unet' takes are 3, 4, 5; got 2. Use one of these; 'full' is 5.",
    ),
    (
        architecture("fpn", depth=3),
        "The encoder depths that decoder 'fpn' takes are 4, 5; got 3. Use one of these; 'full' is 5.",
    ),
    (
        architecture("fpn", backbone=QUARTER, depth=4),
        "The encoder depths that decoder 'fpn' takes on 'test_convnext' are 5; got 4. "
        "Use one of these; 'full' is 5.",
    ),
    (
        architecture("linknet", backbone=QUARTER),
        "Decoder 'linknet' takes an encoder whose first feature map is half the image's side; that "
        "of 'test_convnext' is a quarter. Use 'unet', or another backbone.",
    ),
    (
        architecture("linknet", width=32),
        "Decoder 'linknet' has no width, its channels follow the encoder's; got 32. Leave 'widths' out.",
    ),
    (
        architecture("fpn", width=48),
        "The width of decoder 'fpn' (channels of the segmentation blocks, in groups of 32) is a "
        "multiple of 32; got 48. Use such a number, or leave 'widths' out.",
    ),
    (
        architecture("unet", width=0),
        "The width of decoder 'unet' (channels of the last block) is at least 1; got 0. "
        "Use such a number, or leave 'widths' out.",
    ),
    (
        architecture("linknet", size=100),
        "Image sizes for 'linknet' at depth 5 are multiples of 32, because the encoder halves the "
        "image; got 100. Use 96.",
    ),
    (
        architecture("unet", backbone="test_vit"),
        "Backbone 'test_vit' cannot be the encoder of 'unet' at depth 5 (Unsupported model "
        "downsampling pattern.). Encoders halve the image step by step, as ResNets, EfficientNets, "
        "MobileNets and ConvNeXts do; use one of these.",
    ),
    (
        architecture("pan", backbone="repvit_m0_9"),
        "Backbone 'repvit_m0_9' cannot be the encoder of 'pan' at depth 5 (RepVit.__init__() got an "
        "unexpected keyword argument 'output_stride'). This decoder needs a backbone that timm can "
        "build with an 'output_stride'; most ResNets, EfficientNets and MobileNets have one. Or use "
        "'unet', which needs none.",
    ),
]


@pytest.mark.parametrize(("asked", "message"), REFUSED)
def test_what_cannot_be_built_is_refused_with_a_remedy(asked: Architecture, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_segmenter(asked, classes=3)
    assert str(caught.value) == message


def test_unknown_backbone_is_named() -> None:
    with pytest.raises(SpecError, match="Unknown backbone 'test_resnett'"):
        build_segmenter(architecture("unet", backbone="test_resnett"), classes=3)
