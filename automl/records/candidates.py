"""What is searched: architectures, recipes and quantization schemes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Architecture", "Augmentation", "Candidate", "Recipe", "SearchSpace"]


@dataclass(frozen=True)
class Architecture:
    """A network before training.

    ``depth`` is the number of feature stages of the backbone that are used (timm's ``feature_info``,
    counted from 1). Classification puts a pooled linear head on the last of them; ``None`` is the
    whole backbone with its own head. Segmentation calls it the encoder's depth, detection takes its
    pyramid from the last stages, anomaly detection compares the features of the last two.
    """

    family: str
    backbone: str
    depth: int | None
    image_size: int
    decoder: str | None = None
    """What turns features into answers, where there is a choice: ``unet``, ``fcos``, ``padim`` …"""
    width: int | None = None
    """Size of the decoder: channels of a segmentation or detection head, channels (PaDiM) or patches
    (PatchCore) that are remembered; ``None``: its usual size."""

    @property
    def key(self) -> str:
        """A name for people and files: ``tf_efficientnet_lite0-d3-128`` (``-full-`` when whole),
        ``tf_efficientnet_lite0-d4-unet32-256`` with a decoder."""
        depth = "full" if self.depth is None else f"d{self.depth}"
        decoder = "" if self.decoder is None else f"-{self.decoder}{self.width or ''}"
        return f"{self.backbone}-{depth}{decoder}-{self.image_size}"


@dataclass(frozen=True)
class Candidate:
    """An architecture under a quantization scheme: the unit of feasibility."""

    architecture: Architecture
    scheme: str

    @property
    def key(self) -> str:
        """A name for people: ``tf_efficientnet_lite0-d3-128 int8-static``."""
        return f"{self.architecture.key} {self.scheme}"


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied. 0 (or 1 for ``crop``) switches a part off."""

    name: str
    rotate_deg: float
    """Largest rotation either way, degrees."""
    crop: float
    """Smallest share of the image's area that a random crop keeps, in (0, 1]."""
    stretch: float
    """Largest relative change of the aspect ratio, e.g. 0.1."""
    brightness: float
    contrast: float
    flip_horizontal: bool
    flip_vertical: bool


Freeze = Literal["none", "stem", "half", "backbone"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    learning_rate: float
    weight_decay: float
    epochs: int
    batch_size: int
    freeze: Freeze
    """Which part keeps its pretrained weights: nothing, the stem and first stage, half the stages,
    or all but the head. Ignored without pretrained weights."""
    label_smoothing: float
    augmentation: Augmentation
    crop: int | None = None
    """Side of the square that is cut out of an image to train on, pixels; ``None``: the whole image.
    An epoch then takes as many crops as cover every image once."""


@dataclass(frozen=True)
class SearchSpace:
    """A search space file, read: what may be tried."""

    name: str
    description: str
    tasks: tuple[str, ...]
    architectures: tuple[Architecture, ...]
    learning_rate: tuple[float, float]
    """Lowest and highest, searched on a logarithmic scale."""
    weight_decay: tuple[float, float]
    epochs: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    freezes: tuple[Freeze, ...]
    label_smoothings: tuple[float, ...]
    augmentations: tuple[Augmentation, ...]
    schemes: tuple[str, ...]
    presets: tuple[Augmentation, ...] = ()
    """All that the file defines, of which ``augmentations`` are searched; a spec may choose any."""
    crops: tuple[int | None, ...] = (None,)
