"""Freezing keeps the pretrained part as it is: its weights and its batch statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from automl.errors import SpecError
from automl.models.backbones import Network, build_classifier, create_backbone
from automl.models.freezing import freeze_parts, frozen_norms
from automl.models.weights import FileWeights
from automl.records import Architecture
from automl.records.candidates import Freeze


def pretrained(folder: Path, backbone: str, depth: int | None = None) -> Network:
    file = folder / f"{backbone}.safetensors"
    save_file(create_backbone(backbone, classes=2).state_dict(), file)
    architecture = Architecture("test", backbone, depth, 64)
    return build_classifier(architecture, classes=3, weights=FileWeights(str(file)))


@pytest.mark.parametrize(
    ("backbone", "depth", "freeze", "frozen"),
    [
        ("resnet18", None, "none", set()),
        ("resnet18", None, "stem", {"conv1", "bn1", "layer1"}),
        ("resnet18", 4, "stem", {"conv1", "bn1", "layer1"}),
        ("resnet18", 4, "half", {"conv1", "bn1", "layer1"}),
        ("resnet18", 1, "half", {"conv1", "bn1"}),
        ("test_efficientnet", None, "stem", {"conv_stem", "bn1", "blocks.0", "blocks.1"}),
        ("test_convnext", None, "half", {"stem.0", "stem.1", "stages.0", "stages.1"}),
        ("test_vit", 6, "half", {"patch_embed", "cls_token", "pos_embed"}),
    ],
)
def test_frozen_part_is_the_first_stages(
    tmp_path: Path, backbone: str, depth: int | None, freeze: Freeze, frozen: set[str]
) -> None:
    network = pretrained(tmp_path, backbone, depth)
    freeze_parts(network, freeze)
    module = network.module if depth is None else network.module.backbone
    assert isinstance(module, nn.Module)
    held = {name for name, p in module.named_parameters() if not p.requires_grad}
    found = {prefix for prefix in frozen if any(name.startswith(prefix) for name in held)}
    assert found == frozen
    if not backbone.endswith("vit"):
        assert all(name.startswith(tuple(frozen)) for name in held)


@pytest.mark.parametrize("depth", [3, None])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_freezing_the_backbone_leaves_the_head_alone(
    tmp_path: Path, backbone: str, depth: int | None
) -> None:
    network = pretrained(tmp_path, backbone, depth)
    freeze_parts(network, "backbone")
    trained = {name for name, p in network.module.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith(("head.", "fc.")) for name in trained)


def test_random_weights_are_never_frozen() -> None:
    network = build_classifier(Architecture("test", "test_resnet", 3, 64), classes=2)
    freeze_parts(network, "backbone")
    assert all(parameter.requires_grad for parameter in network.module.parameters())
    assert frozen_norms(network.module) == ()


def test_freezing_again_with_less_releases_the_rest(tmp_path: Path) -> None:
    network = pretrained(tmp_path, "test_resnet")
    freeze_parts(network, "backbone")
    freeze_parts(network, "none")
    assert all(parameter.requires_grad for parameter in network.module.parameters())


def test_frozen_batch_norms_in_eval_mode_keep_their_statistics(tmp_path: Path) -> None:
    network = pretrained(tmp_path, "test_resnet")
    freeze_parts(network, "half")
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    network.module.train()
    for part in frozen_norms(network.module):
        part.eval()
    network.module(torch.rand(4, 3, 64, 64))
    after = network.module.state_dict()
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert moved
    assert not any(key.startswith(("conv1", "bn1", "layer1")) for key in moved)


def test_unknown_freeze_says_what_was_meant(tmp_path: Path) -> None:
    network = pretrained(tmp_path, "test_resnet")
    with pytest.raises(SpecError) as caught:
        freeze_parts(network, "stems")  # type: ignore[arg-type]  # what a wrong caller gives
    assert str(caught.value) == "Unknown freeze 'stems'. Did you mean 'stem'?"
