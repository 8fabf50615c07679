"""What the cheap rungs of a search say of architectures before any of them is trained in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Probe", "Rung"]

Rung = Literal["features", "probe", "glance", "train"]
"""How much is spent on an architecture, least first:

``features``: how well frozen pretrained features tell the classes apart; scores alone.
``probe``: the linear model on those features as the network's head, delivered as files.
``glance``: one epoch at a low resolution; a score alone.
``train``: a training by a recipe, delivered as files.
"""


@dataclass(frozen=True)
class Probe:
    """What the frozen features of one backbone at one image size tell; ``probes/<id>.json``."""

    id: str
    backbone: str
    image_size: int
    scores: dict[str, float]
    """By the key of an architecture (a depth of this backbone): the objective on validation images of
    a linear model on its features."""
    heads: dict[str, str]
    """By the same keys: which linear model it is, in words."""
    neighbours: dict[str, float]
    """By the same keys: the objective of the nearest neighbours among the training images."""
    images: int
    """Training images looked at."""
    error: str | None
    """Why nothing is known, or only of some depths."""
    seconds: dict[str, float]
    """Wall time by stage: ``setup``, ``export``, ``features``, ``heads``."""
    finished_after_s: float
    """Seconds since the run began."""
