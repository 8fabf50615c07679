"""Search spaces: which networks may be tried, read from YAML with the same care as a spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import SpecError, did_you_mean
from automl.records import Architecture, Augmentation, SearchSpace, Spec, split_device
from automl.spec.problems import Problem, escape, shown

if TYPE_CHECKING:
    from automl.search.space_schema import AugmentationModel, SpaceModel
    from automl.spec.yaml_source import Document

__all__ = ["apply_spec", "json_schema", "load_space", "space_names"]

_ACCELERATED = "float16"
"""What GPUs gain from, and hardly any processor."""


def space_names() -> tuple[str, ...]:
    """Return the names of the search spaces that ship with the program, sorted."""
    from automl.spec.checks import shipped_spaces

    return shipped_spaces()


def load_space(name_or_path: str, *, task: str) -> SearchSpace:
    """Read and check a search space.

    Architectures come in the order of the file; within an entry backbones in the order given, each
    by decoder, by depth (``full`` last), by width, then by image size.

    Args:
        name_or_path: a shipped name (``quick``), or the path of a YAML file.
        task: what the networks are to be trained for.

    Raises:
        InvalidDocumentError: with every problem of the file (a SpecError).
        SpecError: when there is no such space, or it is not meant for the task.
    """
    from automl.search.space_schema import SpaceModel
    from automl.spec.document import validate
    from automl.spec.yaml_source import decode, parse_yaml, read_bytes

    path = _find(name_or_path, task)
    source = str(path)
    try:
        content = read_bytes(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(f"Cannot read search space {shown(source)}: {reason}.") from error
    document = parse_yaml(decode(content, source=source), source=source, kind="search space")
    model = validate(document, SpaceModel, checks=_check_space)
    if task not in model.tasks:
        known = ", ".join(model.tasks)
        raise SpecError(
            f"Search space {shown(name_or_path)} is for {known}, not for {shown(task)}. "
            "Choose another in 'search.space'."
        )
    return _to_record(name_or_path, model)


def apply_spec(space: SearchSpace, spec: Spec) -> SearchSpace:
    """Return a search space with the spec's own choice of schemes and augmentation.

    Raises:
        SpecError: when the spec names an augmentation preset that the space does not define.
    """
    schemes = spec.quantization.schemes or _usual_schemes(space, spec)
    if spec.augmentation is None:
        return replace(space, schemes=schemes)
    chosen = tuple(preset for preset in space.presets if preset.name == spec.augmentation)
    if not chosen:
        known = [preset.name for preset in space.presets]
        raise SpecError(
            f"augmentation: unknown preset {shown(spec.augmentation)} of search space "
            f"{shown(space.name)}.{did_you_mean(escape(spec.augmentation), known)}"
        )
    return replace(space, schemes=schemes, augmentations=chosen)


def _usual_schemes(space: SearchSpace, spec: Spec) -> tuple[str, ...]:
    """Return the schemes of a space, and float16 where a target runs on what gains from it."""
    is_accelerated = any(split_device(target.device)[1] != "cpu" for target in spec.targets)
    if not is_accelerated or _ACCELERATED in space.schemes:
        return space.schemes
    return (*space.schemes, _ACCELERATED)


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (draft-07) of a search space file."""
    from automl.search.space_schema import SpaceModel
    from automl.spec.editor_schema import model_json_schema

    return model_json_schema(SpaceModel, title="automl search space")


def _find(name_or_path: str, task: str) -> Path:
    """Return the file of a space; ``quick`` is ``<task>-quick`` where the task has its own."""
    from automl.resources import shipped

    for name in (f"{task}-{name_or_path}", name_or_path):
        if name in space_names():
            return shipped("search_spaces", f"{name}.yaml")
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        raise SpecError(f"Search space {shown(name_or_path)} is a folder. Name a YAML file in it.")
    if not path.exists():
        remedy = did_you_mean(escape(path.stem), space_names())
        raise SpecError(f"There is no search space {shown(name_or_path)}.{remedy}")
    return path


def _check_space(document: Document) -> Iterator[Problem]:
    yield from _check_presets(document)
    yield from _check_repeats(document)


def _check_presets(document: Document) -> Iterator[Problem]:
    presets, recipe = document.root.get("augmentations"), document.root.get("recipe")
    used = recipe.get("augmentation") if isinstance(recipe, dict) else None
    if not isinstance(presets, dict) or not isinstance(used, list):
        return
    for index, name in enumerate(used):
        if isinstance(name, str) and name not in presets:
            known = [escape(preset) for preset in presets]
            message = f"{shown(name)} is not in 'augmentations'.{did_you_mean(escape(name), known)}"
            yield document.problem(("recipe", "augmentation", index), message)


def _check_repeats(document: Document) -> Iterator[Problem]:
    entries = document.root.get("architectures")
    seen: dict[tuple[str, ...], int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict):
            continue
        lists = [
            entry.get("backbones"),
            entry.get("depths", ["full"]),
            entry.get("image_sizes"),
            entry.get("decoders", [None]),
            entry.get("widths", [None]),
        ]
        parts = [[str(item) for item in part] for part in lists if isinstance(part, list)]
        if len(parts) != len(lists):
            continue
        for key in sorted(set(product(*parts))):
            if key in seen:
                what = f"{escape(key[0])}, depth {escape(key[1])}, {escape(key[2])} pixels"
                message = f"{what} is already in architectures[{seen[key]}]. Delete one."
                yield document.problem(("architectures", index), message)
            seen.setdefault(key, index)


def _to_record(name: str, model: SpaceModel) -> SearchSpace:
    presets = tuple(_augmentation(key, value) for key, value in model.augmentations.items())
    by_name = {preset.name: preset for preset in presets}
    recipe = model.recipe
    return SearchSpace(
        name=name,
        description=model.description,
        tasks=tuple(model.tasks),
        architectures=tuple(_architectures(model)),
        learning_rate=(recipe.learning_rate.low, recipe.learning_rate.high),
        weight_decay=(recipe.weight_decay.low, recipe.weight_decay.high),
        epochs=tuple(recipe.epochs),
        batch_sizes=tuple(recipe.batch_size),
        freezes=tuple(recipe.freeze),
        label_smoothings=tuple(recipe.label_smoothing),
        augmentations=tuple(by_name[key] for key in recipe.augmentation),
        schemes=tuple(model.schemes),
        presets=presets,
        crops=tuple(recipe.crop),
    )


def _architectures(model: SpaceModel) -> Iterator[Architecture]:
    for entry in model.architectures:
        depths = sorted(entry.depths, key=lambda depth: (depth is None, depth or 0))
        parts = (entry.backbones, entry.decoders, depths, entry.widths, sorted(entry.image_sizes))
        for backbone, decoder, depth, width, size in product(*parts):
            yield Architecture(entry.family, backbone, depth, size, decoder, width)


def _augmentation(name: str, model: AugmentationModel) -> Augmentation:
    return Augmentation(
        name=name,
        rotate_deg=model.rotate,
        crop=model.crop,
        stretch=model.stretch,
        brightness=model.brightness,
        contrast=model.contrast,
        flip_horizontal=model.flip in ("horizontal", "both"),
        flip_vertical=model.flip in ("vertical", "both"),
    )
