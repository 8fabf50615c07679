"""Search space files: read whole, or every mistake named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from automl.errors import SpecError
from automl.records import Architecture, Augmentation, SearchSpace, Spec
from automl.search.space import apply_spec, json_schema, load_space, space_names
from automl.spec import InvalidDocumentError, parse_spec
from automl.spec.yaml_source import parse_yaml

SPACE = """\
version: 1
description: Two families.
tasks: [classification]
architectures:
  - family: lite
    backbones: [tf_efficientnet_lite1, tf_efficientnet_lite0]
    depths: [full, 3]
    image_sizes: [128, 96]
  - family: resnet
    backbones: [resnet18]
    image_sizes: [64]
recipe:
  learning_rate: {low: 3.0e-4, high: 3.0e-3}
  weight_decay: {low: 1.0e-5, high: 1.0e-2}
  epochs: [6, 10]
  batch_size: [32]
  freeze: [none, stem]
  label_smoothing: [0.0, 0.1]
  augmentation: [light]
augmentations:
  light: {rotate: 5, crop: 0.9, stretch: 0.05, brightness: 0.1, contrast: 0.1, flip: none}
  mirror: {flip: both}
schemes: [float32, int8-static]
"""


def load(folder: Path, text: str) -> SearchSpace:
    path = folder / "space.yaml"
    path.write_text(text)
    return load_space(str(path), task="classification")


def spec(lines: str = "") -> Spec:
    text = f"task: classification\ndata: x\ntarget: {{latency: 20ms}}\n{lines}"
    return parse_spec(text, source="s.yaml", base=Path("/"))


def test_space_is_every_combination_in_order(tmp_path: Path) -> None:
    space = load(tmp_path, SPACE)
    assert [architecture.key for architecture in space.architectures] == [
        "tf_efficientnet_lite1-d3-96",
        "tf_efficientnet_lite1-d3-128",
        "tf_efficientnet_lite1-full-96",
        "tf_efficientnet_lite1-full-128",
        "tf_efficientnet_lite0-d3-96",
        "tf_efficientnet_lite0-d3-128",
        "tf_efficientnet_lite0-full-96",
        "tf_efficientnet_lite0-full-128",
        "resnet18-full-64",
    ]
    assert space.architectures[-1] == Architecture("resnet", "resnet18", None, 64)


def test_space_carries_recipes_presets_and_schemes(tmp_path: Path) -> None:
    space = load(tmp_path, SPACE)
    assert (space.learning_rate, space.weight_decay) == ((3e-4, 3e-3), (1e-5, 1e-2))
    assert (space.epochs, space.batch_sizes, space.freezes) == ((6, 10), (32,), ("none", "stem"))
    assert space.label_smoothings == (0.0, 0.1)
    light = Augmentation("light", 5.0, 0.9, 0.05, 0.1, 0.1, False, False)
    mirror = Augmentation("mirror", 0.0, 1.0, 0.0, 0.0, 0.0, True, True)
    assert (space.augmentations, space.presets) == ((light,), (light, mirror))
    assert space.schemes == ("float32", "int8-static")


@pytest.mark.parametrize("name", space_names())
def test_shipped_space_is_valid_and_fits_its_schema(name: str) -> None:
    from automl.resources import shipped

    space = load_space(name, task=name.rpartition("-")[0] or "classification")
    assert (space.name, len(space.architectures) > 5) == (name, True)
    text = shipped("search_spaces", f"{name}.yaml").read_text(encoding="utf-8")
    root = parse_yaml(text, source=name, kind="search space").root
    assert list(Draft7Validator(json_schema()).iter_errors(root)) == []


def test_four_spaces_ship() -> None:
    assert {"quick", "edge", "balanced", "server"} <= set(space_names())


def test_schema_is_valid_draft_07_and_describes_every_key() -> None:
    schema = json_schema()
    Draft7Validator.check_schema(schema)
    for section in json.loads(json.dumps(schema))["definitions"].values():
        for name, node in section["properties"].items():
            assert node["description"], name


def test_spec_overrides_schemes_and_augmentation(tmp_path: Path) -> None:
    space = load(tmp_path, SPACE)
    assert apply_spec(space, spec()) == space
    changed = apply_spec(space, spec("quantization: [int8-mixed]\naugmentation: mirror\n"))
    assert changed.schemes == ("int8-mixed",)
    assert [preset.name for preset in changed.augmentations] == ["mirror"]
    assert changed.architectures == space.architectures


def test_float16_is_tried_where_a_target_gains_from_it(tmp_path: Path) -> None:
    space = load(tmp_path, SPACE)
    assert "float16" not in apply_spec(space, spec()).schemes
    text = "task: classification\ndata: ./images\ntarget: {provider: cuda, latency: 1ms}\n"
    on_gpu = parse_spec(text, source="spec.yaml", base=tmp_path)
    assert apply_spec(space, on_gpu).schemes == (*space.schemes, "float16")
    chosen = parse_spec(f"{text}quantization: [float32]\n", source="spec.yaml", base=tmp_path)
    assert apply_spec(space, chosen).schemes == ("float32",)


def test_unknown_preset_in_a_spec_names_the_closest(tmp_path: Path) -> None:
    space = load_space("quick", task="classification")
    with pytest.raises(SpecError) as caught:
        apply_spec(space, spec("augmentation: ligth\n"))
    assert str(caught.value) == (
        "augmentation: unknown preset 'ligth' of search space 'quick'. Did you mean 'light'?"
    )


def test_all_mistakes_of_a_space_are_reported_at_once(tmp_path: Path) -> None:
    text = """\
version: 1
description: x
tasks: [classification, segment]
architectures:
  - family: a
    backbones: [b, b]
    depths: [0, ful]
    image_sizes: []
  - {family: a, backbones: [r], image_sizes: [96]}
  - {family: a, backbones: [r], image_sizes: [96, 128]}
recipe:
  learning_rate: {low: 1, high: 0.1}
  weight_decay: {low: 0, high: 0.1}
  epochs: 5
  augmentation: [ligth]
  batch_sizes: [1]
augmentations: {light: {rotat: 5, flip: up}}
schemes: [float32]
"""
    with pytest.raises(InvalidDocumentError) as caught:
        load(tmp_path, text)
    found = [(p.line, p.column, f"{p.path}: {p.message}") for p in caught.value.problems]
    assert found == [
        (3, 25, "tasks[1]: unknown task 'segment'. Did you mean 'segmentation'?"),
        (6, 5, "architectures[0].backbones: lists 'b' twice. Delete one."),
        (
            7,
            14,
            "architectures[0].depths[0]: a depth is 'full' or a number of stages from 1; got 0.",
        ),
        (
            7,
            17,
            "architectures[0].depths[1]: a depth is 'full' or a number of stages from 1; "
            "got 'ful'.",
        ),
        (8, 5, "architectures[0].image_sizes: must not be empty; give at least one value."),
        (
            10,
            5,
            "architectures[2]: r, depth full, 96 pixels is already in architectures[1]. "
            "Delete one.",
        ),
        (
            11,
            1,
            "recipe.batch_size: is missing. Add it, for example 'batch_size: [32]'.",
        ),
        (12, 3, "recipe.learning_rate: 'low' is more than 'high'; got 1 and 0.1."),
        (13, 18, "recipe.weight_decay.low: a number above 0 to 10; got 0."),
        (14, 3, "recipe.epochs: must be a list; got 5."),
        (
            15,
            18,
            "recipe.augmentation[0]: 'ligth' is not in 'augmentations'. Did you mean 'light'?",
        ),
        (16, 3, "recipe.batch_sizes: unknown key. Did you mean 'batch_size'?"),
        (17, 25, "augmentations.light.rotat: unknown key. Did you mean 'rotate'?"),
        (
            17,
            35,
            "augmentations.light.flip: unknown flip 'up'. Known: both, horizontal, none, vertical.",
        ),
    ]


def test_crops_are_multiples_of_what_encoders_divide_by(tmp_path: Path) -> None:
    crops = "[250, 8, -64, 99999, 96.0, true]"
    with pytest.raises(InvalidDocumentError) as caught:
        load(tmp_path, with_crops(crops))
    rule = "must be a multiple of 32 from 32 to 4,096, or null; got"
    assert [f"{p.path}: {p.message}" for p in caught.value.problems] == [
        f"recipe.crop[0]: {rule} 250. Use 256.",
        f"recipe.crop[1]: {rule} 8. Use 32.",
        f"recipe.crop[2]: {rule} -64. Use 32.",
        f"recipe.crop[3]: {rule} 99999. Use 4096.",
        f"recipe.crop[4]: {rule} 96.0.",
        f"recipe.crop[5]: {rule} true.",
    ]
    assert load(tmp_path, with_crops("[null, 32, 96, 4096]")).crops == (None, 32, 96, 4096)


@pytest.mark.parametrize(("crops", "errors"), [("[null, 96]", 0), ("[250]", 1), ("[8192]", 1)])
def test_schema_knows_which_crops_there_are(crops: str, errors: int) -> None:
    root = parse_yaml(with_crops(crops), source="space", kind="search space").root
    assert len(list(Draft7Validator(json_schema()).iter_errors(root))) == errors


def with_crops(crops: str) -> str:
    return SPACE.replace("recipe:\n", f"recipe:\n  crop: {crops}\n")


def test_missing_space_names_the_closest(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_space("/nowhere/quik.yaml", task="classification")
    expected = "There is no search space '/nowhere/quik.yaml'. Did you mean 'quick'?"
    assert str(caught.value) == expected


def test_folder_is_not_a_space() -> None:
    with pytest.raises(SpecError) as caught:
        load_space("/", task="classification")
    assert str(caught.value) == "Search space '/' is a folder. Name a YAML file in it."


def test_space_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_space("server", task="detection")
    assert str(caught.value) == (
        "Search space 'server' is for classification, not for 'detection'. "
        "Choose another in 'search.space'."
    )
