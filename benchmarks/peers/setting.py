"""What a peer is given: the images with their split, the candidates, the budget. One JSON file."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.records import Architecture, Augmentation, SearchSpace, dump_record, load_record

__all__ = ["Candidate", "Image", "Setting", "draw", "read_setting", "write_setting"]


@dataclass(frozen=True)
class Image:
    """One image: its file below the root, its class and what it is for (``train``, ``val``, ``test``)."""

    path: str
    label: int
    split: str


@dataclass(frozen=True)
class Setting:
    """All that a search by hand begins with."""

    root: str
    classes: tuple[str, ...]
    images: tuple[Image, ...]
    objective: str
    """``accuracy`` or ``balanced-accuracy``."""
    space: SearchSpace
    weights: dict[str, str]
    """Source of the pretrained weights by backbone."""
    latency_ms: float
    """The p95 of one image, one thread, must not be above."""
    p95_ms: dict[str, float]
    """What it is, by the key of an architecture: measured beforehand on a machine that did nothing else. A
    peer looks it up after training, so that it neither pays for measuring nor errs while others train."""
    epochs: int
    cores: int


@dataclass(frozen=True)
class Candidate:
    """One network with one recipe."""

    architecture: Architecture
    learning_rate: float
    weight_decay: float
    batch_size: int
    freeze: str
    label_smoothing: float
    augmentation: Augmentation


def write_setting(path: Path, setting: Setting) -> None:
    """Write what :func:`read_setting` reads."""
    path.write_text(dump_record(setting), encoding="utf-8")


def read_setting(path: Path) -> Setting:
    """Read what a peer is given."""
    return load_record(Setting, path.read_text(encoding="utf-8"))


def draw(setting: Setting, count: int, *, seed: int) -> list[Candidate]:
    """Return so many candidates, drawn as ``tune.choice`` and ``tune.loguniform`` draw."""
    chance = random.Random(seed)
    return [_one(setting.space, chance) for _ in range(count)]


def _one(space: SearchSpace, chance: random.Random) -> Candidate:
    def log_uniform(bounds: tuple[float, float]) -> float:
        return math.exp(chance.uniform(math.log(bounds[0]), math.log(bounds[1])))

    return Candidate(
        architecture=chance.choice(space.architectures),
        learning_rate=log_uniform(space.learning_rate),
        weight_decay=log_uniform(space.weight_decay),
        batch_size=chance.choice(space.batch_sizes),
        freeze=chance.choice(space.freezes),
        label_smoothing=chance.choice(space.label_smoothings),
        augmentation=chance.choice(space.augmentations),
    )


def named(setting: Setting, config: dict[str, Any]) -> Candidate:
    """Return the candidate that a configuration of Optuna's names."""
    space = setting.space
    return Candidate(
        architecture=next(a for a in space.architectures if a.key == config["architecture"]),
        learning_rate=float(config["learning_rate"]),
        weight_decay=float(config["weight_decay"]),
        batch_size=int(config["batch_size"]),
        freeze=str(config["freeze"]),
        label_smoothing=float(config["label_smoothing"]),
        augmentation=next(a for a in space.augmentations if a.name == config["augmentation"]),
    )
