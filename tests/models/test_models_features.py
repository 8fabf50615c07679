"""The maps of a backbone's stages are those of timm's whole model, pretrained weights included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from automl.errors import SpecError
from automl.models.backbones import create_backbone
from automl.models.features import create_features, pretrained_state
from automl.models.weights import find_packages, weight_source

FAMILIES = ["test_efficientnet", "test_resnet", "test_vit", "test_convnext", "test_mambaout"]


def saved_weights(backbone: str, folder: Path) -> Path:
    """Save random weights of a whole model; return the file."""
    torch.manual_seed(7)
    file = folder / f"{backbone}.safetensors"
    save_file(create_backbone(backbone, classes=10).state_dict(), file)
    return file


@pytest.mark.parametrize("backbone", FAMILIES)
@pytest.mark.parametrize("stages", [(1, 2, 3), (2,), (1, 3)])
def test_maps_are_those_of_the_whole_model_with_the_weights_of_the_source(
    backbone: str, stages: tuple[int, ...], tmp_path: Path
) -> None:
    file = saved_weights(backbone, tmp_path)
    features = create_features(
        backbone, stages=stages, weights=weight_source(f"file {file}"), image_size=64
    )
    torch.manual_seed(7)
    whole = create_backbone(backbone, classes=10).eval()
    if hasattr(whole, "set_input_size"):
        whole.set_input_size(img_size=(64, 64))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        maps = features.module.eval()(images)
        expected = whole.forward_intermediates(
            images, output_fmt="NCHW", intermediates_only=True, norm=False
        )
    assert features.source == f"file {file}"
    assert features.stages == stages
    assert len(maps) == len(stages)
    for stage, channels, reduction, found in zip(
        stages, features.channels, features.reductions, maps, strict=True
    ):
        torch.testing.assert_close(found, expected[stage - 1])
        assert found.shape == (2, channels, 64 // reduction, 64 // reduction)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet", "test_convnext"])
def test_state_loads_into_the_form_that_timm_builds_for_features_only(
    backbone: str, tmp_path: Path
) -> None:
    import timm

    found = pretrained_state(backbone, weight_source(f"file {saved_weights(backbone, tmp_path)}"))
    assert found is not None
    state, source = found
    assert source.startswith("file ")
    model = timm.create_model(
        backbone,
        features_only=True,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": state},
        out_indices=(0, 1, 2),
    ).eval()
    torch.manual_seed(7)
    whole = create_backbone(backbone, classes=10).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = whole.forward_intermediates(images, intermediates_only=True)
        for ours, theirs in zip(model(images), expected, strict=False):
            torch.testing.assert_close(ours, theirs)


def test_installed_package_fills_the_backbone() -> None:
    name = "tf_efficientnet_lite0"
    source = weight_source(find_packages([name])[name])
    features = create_features(name, stages=(3, 4, 5), weights=source)
    random = create_features(name, stages=(3, 4, 5))
    assert features.source is not None
    assert features.source.startswith("package efficientnet-lite0")
    assert features.channels == (40, 112, 320)
    assert features.reductions == (8, 16, 32)
    assert features.mean == (0.5, 0.5, 0.5)
    assert random.source is None
    ours, theirs = features.module.state_dict(), random.module.state_dict()
    assert ours.keys() == theirs.keys()
    assert not torch.equal(ours["model.conv_stem.weight"], theirs["model.conv_stem.weight"])


def test_stages_after_the_last_one_asked_for_are_cut_off() -> None:
    shallow = create_features("test_resnet", stages=(1, 2)).module
    deep = create_features("test_resnet", stages=(1, 4)).module
    assert sum(p.numel() for p in shallow.parameters()) < sum(p.numel() for p in deep.parameters())


def test_no_source_gives_no_state() -> None:
    assert pretrained_state("test_resnet", None) is None
    name = "tf_efficientnet_lite0"
    assert pretrained_state("test_resnet", weight_source(find_packages([name])[name])) is None


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            (),
            "Feature stages are one or more different numbers between 1 and 5; got [].",
        ),
        (
            (2, 2),
            "Feature stages are one or more different numbers between 1 and 5; got [2, 2].",
        ),
        ((1, 6), "The feature stages of 'test_resnet' are 1 to 5; got 6. Use one of these."),
        ((0,), "The feature stages of 'test_resnet' are 1 to 5; got 0. Use one of these."),
    ],
)
def test_stage_that_is_not_there_is_refused(stages: tuple[int, ...], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        create_features("test_resnet", stages=stages)
    assert str(caught.value) == message


def test_unknown_backbone_is_refused_with_the_closest_name() -> None:
    with pytest.raises(SpecError) as caught:
        create_features("test_resnett", stages=(1,))
    assert str(caught.value).startswith(
        "Unknown backbone 'test_resnett'. Did you mean 'test_resnet"
    )


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    source = weight_source(f"file {saved_weights('test_convnext', tmp_path)}")
    with pytest.raises(SpecError) as caught:
        pretrained_state("test_resnet", source)
    assert "do not belong to 'test_resnet'" in str(caught.value)
