"""The search space file as pydantic models: every key, its meaning and its rule."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from automl.records.candidates import Freeze
from automl.spec.fields import (
    Model,
    Name,
    Rule,
    Text,
    described,
    number,
    one_of,
    registered,
    whole_number,
)
from automl.spec.problems import shown

__all__ = ["ArchitecturesModel", "AugmentationModel", "RangeModel", "RecipeModel", "SpaceModel"]

_DEEPEST = 100
_HALVED = 32
"""What the deepest encoders divide an image's side by: five times in two. Most decoders cannot join their
maps again where that leaves a rest, and a crop meets every network of a space."""
_LARGEST_CROP = 4096


def _read_depth(value: object) -> int | None:
    if value == "full":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _DEEPEST:
        raise ValueError(f"a depth is 'full' or a number of stages from 1; got {shown(value)}")
    return value


Depth = Annotated[
    int | None,
    Rule(
        _read_depth,
        {"anyOf": [{"const": "full"}, {"type": "integer", "minimum": 1, "maximum": _DEEPEST}]},
    ),
]


def _read_crop(value: object) -> int | None:
    if value is None:
        return None
    rule = f"must be a multiple of {_HALVED} from {_HALVED} to {_LARGEST_CROP:,}, or null"
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{rule}; got {shown(value)}")
    if value % _HALVED or not _HALVED <= value <= _LARGEST_CROP:
        nearest = min(max(_HALVED, (value + _HALVED // 2) // _HALVED * _HALVED), _LARGEST_CROP)
        raise ValueError(f"{rule}; got {shown(value)}. Use {nearest}")
    return value


Crop = Annotated[
    int | None,
    Rule(
        _read_crop,
        {
            "anyOf": [
                {
                    "type": "integer",
                    "minimum": _HALVED,
                    "maximum": _LARGEST_CROP,
                    "multipleOf": _HALVED,
                },
                {"type": "null"},
            ]
        },
    ),
]
Share = Annotated[float, number(0, 1)]


def _filled(value: list[object]) -> list[object]:
    if not value:
        raise ValueError("must not be empty; give at least one value")
    return _once(value)


def _once(values: list[object]) -> list[object]:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise ValueError(f"lists {shown(value)} twice. Delete one")
    return values


Filled = AfterValidator(_filled)


class ArchitecturesModel(Model):
    """Networks of one family: every combination of backbone, depth and image size."""

    family: Name = described(
        "Members of a family are listed from light to heavy: when a light one is hopeless, "
        "heavier ones are left out.",
        example="efficientnet-lite",
    )
    backbones: Annotated[list[Text], Filled] = described(
        "Names of timm networks, from light to heavy.", example=["tf_efficientnet_lite0"]
    )
    depths: Annotated[list[Depth], Filled] = described(
        "How many feature stages are kept, or `full`.", example=[3, "full"], default=["full"]
    )
    decoders: Annotated[list[Text | None], Filled] = described(
        "What turns features into answers: for segmentation `unet`, `fpn`, `linknet`, "
        "`deeplabv3plus`, `segformer` …; for detection `fcos`, `retinanet`; for anomaly `padim`, "
        "`patchcore`. Classification has none.",
        example=["unet", "fpn"],
        default=[None],
    )
    widths: Annotated[list[Annotated[int, whole_number(1, 100_000)] | None], Filled] = described(
        "Sizes of the decoder; see the page on search spaces. Default: its usual size.",
        example=[32],
        default=[None],
    )
    image_sizes: Annotated[list[Annotated[int, whole_number(16, 4096)]], Filled] = described(
        "Pixels a side of the square image the network sees.", example=[96, 128]
    )


class RangeModel(Model):
    """A range that is searched on a logarithmic scale."""

    low: Annotated[float, number(0, 10, above=True)] = described("Lowest value.", example=3e-4)
    high: Annotated[float, number(0, 10, above=True)] = described("Highest value.", example=3e-3)

    @model_validator(mode="after")
    def _grows(self) -> RangeModel:
        if self.low > self.high:
            raise ValueError(f"'low' is more than 'high'; got {self.low:g} and {self.high:g}")
        return self


class RecipeModel(Model):
    """How the networks are trained: each trial draws one value from each range or list."""

    learning_rate: RangeModel = described("Step size.", example={"low": 3e-4, "high": 3e-3})
    weight_decay: RangeModel = described("Pull to small weights.", example={"low": 1e-5, "high": 1})
    epochs: Annotated[list[Annotated[int, whole_number(1, 10_000)]], Filled] = described(
        "How often every image is shown.", example=[6, 10]
    )
    batch_size: Annotated[list[Annotated[int, whole_number(1, 8192)]], Filled] = described(
        "Images a step.", example=[32]
    )
    freeze: Annotated[
        list[Annotated[Freeze, one_of("part", ("none", "stem", "half", "backbone"))]], Filled
    ] = described(
        "Which part keeps its pretrained weights.", example=["none", "stem"], default=["none"]
    )
    label_smoothing: Annotated[list[Annotated[float, number(0, 0.9)]], Filled] = described(
        "How much certainty is taken from the labels.", example=[0.0, 0.1], default=[0.0]
    )
    crop: Annotated[list[Crop], Filled] = described(
        "Sides of the squares that are cut out of images to train on, pixels: multiples of 32, "
        "because networks halve images up to five times. Default: none are cut out, whole images "
        "are trained on.",
        example=[256],
        default=[None],
    )
    augmentation: Annotated[list[Name], Filled] = described(
        "Presets of `augmentations` to choose from.", example=["light", "medium"]
    )


class AugmentationModel(Model):
    """How training images are varied."""

    rotate: Annotated[float, number(0, 180)] = described(
        "Largest rotation either way, degrees.", example=5, default=0
    )
    crop: Annotated[float, number(0, 1, above=True)] = described(
        "Smallest share of the area that a random crop keeps; 1 for no crop.",
        example=0.9,
        default=1,
    )
    stretch: Annotated[float, number(0, 0.9)] = described(
        "Largest relative change of the aspect ratio.", example=0.05, default=0
    )
    brightness: Share = described("Largest relative change.", example=0.1, default=0)
    contrast: Share = described("Largest relative change.", example=0.1, default=0)
    flip: Annotated[str, one_of("flip", ("none", "horizontal", "vertical", "both"))] = described(
        "Mirror images at random.", example="both", default="none"
    )


class SpaceModel(Model):
    """A search space: which networks may be tried, how they are trained, how they are delivered."""

    version: Literal[1] = described("Version of this format.", example=1)
    description: Text = described("One sentence.", example="Small networks for a first answer.")
    tasks: Annotated[list[Annotated[str, registered("task")]], Filled] = described(
        "What these networks can be trained for.", example=["classification"]
    )
    architectures: Annotated[list[ArchitecturesModel], Filled] = described(
        "The networks.", example=[{"family": "resnet", "backbones": ["resnet18"]}]
    )
    recipe: RecipeModel = described("How they are trained.", example={"epochs": [6]})
    augmentations: dict[Name, AugmentationModel] = described(
        "Presets of image variation, by name.", example={"light": {"rotate": 5}}
    )
    schemes: Annotated[list[Annotated[str, registered("scheme")]], Filled] = described(
        "Quantization schemes to try.", example=["float32", "int8-static"]
    )
