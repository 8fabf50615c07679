"""The spec file as pydantic models: every key, its meaning, its default and its rule.

This module is the single source of the loader's checks, of the JSON Schema that editors read and of
docs/spec.md. Rules that span several keys and sections are in :mod:`automl.spec.checks`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from automl.spec.expected import Classes, FrameSize
from automl.spec.fields import (
    Bound,
    Duration,
    Fraction,
    Model,
    Name,
    OutputText,
    PathText,
    Pattern,
    Size,
    Text,
    described,
    number,
    one_of,
    registered,
    whole_number,
)
from automl.spec.metrics import METRICS
from automl.spec.target_schema import TargetModel

__all__ = [
    "ComputeModel",
    "DataModel",
    "QuantizationModel",
    "SearchModel",
    "SpecModel",
    "SplitModel",
]

Seed = Annotated[int, whole_number(0, 2**32 - 1)]
Color = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]

_OVERALL = sorted({name for task in METRICS.values() for name in task.overall})
_OBJECTIVES = sorted({n for task in METRICS.values() for n in task.overall if n not in task.lower})
_PER_CLASS = sorted({name for task in METRICS.values() for name in task.per_class})
_REQUIRE_KEYS = f"^({'|'.join(_OVERALL)}|({'|'.join(_PER_CLASS)})\\[.+\\])$"


class SplitModel(Model):
    """How the images are divided into three parts: one to learn from, one to choose by (`val`) and
    one to prove with (`test`), which is used once, at the end. Ignored where the data brings its
    own division."""

    val: Fraction = described(
        "Share of the images that the search compares candidates with.",
        example="15%",
        default=0.15,
    )
    test: Fraction = described(
        "Share of the images kept for the final proof.", example="20%", default=0.2
    )
    group: Pattern | None = described(
        "Regular expression over a file's path, relative to the data folder and with forward "
        "slashes. What its first pair of parentheses matches names a group; images of one group "
        "are never divided. Use it when several images show the same thing (tiles of one sheet, "
        "frames of one film), else the score looks better than it will be.",
        example="([^/]+)_[0-9]+[.]jpg$",
        default=None,
    )
    seed: Seed = described("Another number gives another division.", example=1, default=0)

    @model_validator(mode="after")
    def _leaves_training_images(self) -> SplitModel:
        if min(self.val, self.test) <= 0:
            raise ValueError("'val' and 'test' must both be more than 0: each part needs images")
        if self.val + self.test >= 1:
            total = f"{self.val:g} + {self.test:g}"
            raise ValueError(f"'val' and 'test' together must be less than 1; got {total}")
        return self


class DataModel(Model):
    """Which images to learn from. A path alone is the short form: `data: ./images`. Nothing is
    ever written into the folder."""

    path: PathText = described(
        "Folder (or CSV file) with the labelled images, relative to the spec file.",
        example="./images",
    )
    format: Annotated[str, registered("format", "auto")] = described(
        "How labels are stored. `auto` looks at the folder and says what it recognised. Whole "
        "images: `folder` (one folder a class), `csv` (a table of path, label and, if you like, "
        "split). Boxes: `voc`, `yolo`. Boxes or outlines: `coco`, `labelme`, `cvat`, "
        "`label-studio`. Masks: `masks` (images and masks of the same names). Good and defective "
        "images: `mvtec`. Of Hugging Face: `huggingface` (metadata beside the images), `parquet`.",
        example="folder",
        default="auto",
    )
    classes: list[Text] | None = described(
        "The classes in the order you want, each as its folder or label is named. Default: all "
        "that are found, sorted.",
        example=["pass", "fail"],
        default=None,
        schema={"minItems": 1, "uniqueItems": True},
    )
    split: SplitModel = described(
        "How images are divided for training, choice and proof.",
        example={"val": 0.15, "test": 0.2},
        default={},
    )
    unannotated: Annotated[str, one_of("meaning", ("leave-out", "background"))] = described(
        "What an image means that no annotation speaks of. `leave-out`: it was not annotated yet. "
        "`background`: it shows nothing of what is looked for.",
        example="background",
        default="leave-out",
    )
    foreground: Annotated[str, one_of("colour", ("auto", "white", "black"))] = described(
        "Which pixels of black-and-white masks are the object. `auto`: the rarer ones.",
        example="white",
        default="auto",
    )
    colors: dict[Text, Color] = described(
        "For coloured masks: the colour of each class.",
        example={"background": "#000000", "crack": "#ff0000"},
        default={},
    )
    cache: Size = described(
        "Decoded images are kept in the user's cache folder up to this size, to be read faster.",
        example="4GB",
        default="4GB",
    )

    @model_validator(mode="after")
    def _lists_each_class_once(self) -> DataModel:
        if self.classes is None:
            return self
        if not self.classes:
            raise ValueError("'classes' is empty. List the classes, or delete the key to use all")
        for position, name in enumerate(self.classes):
            if name in self.classes[:position]:
                raise ValueError(f"'classes' lists {name!a} twice. Delete one")
        return self


class ComputeModel(Model):
    """What the search may use of the machine or cluster. Default: all processors that are there."""

    cpus: Annotated[int, whole_number(1, 100_000)] | None = described(
        "Processor cores.", example=4, default=None
    )
    gpus: Annotated[float, number(0, 10_000)] = described(
        "Graphics processors.", example=1, default=0
    )
    gpus_per_trial: Annotated[float, number(0, 1, above=True)] | None = described(
        "Share of a graphics processor that a trial gets; with `0.25`, four trials share one. "
        "Default: a whole one, or `gpus` where that is less.",
        example=0.25,
        default=None,
    )
    address: Text | None = described(
        "Address of a running Ray cluster. Default: this machine.", example="auto", default=None
    )


class SearchModel(Model):
    """Where to look for a model, and for how long."""

    space: Text = described(
        "Which networks may be tried: `quick`, `edge`, `balanced`, `server` (each as far as the "
        "task has it), or the path of a YAML file of your own, relative to the spec file.",
        example="edge",
        default="quick",
    )
    time: Duration = described(
        "When the whole run must end. It ends on time with the best model so far.",
        example="30min",
        default="10min",
    )
    trials: Annotated[int, whole_number(1, 100_000)] | None = described(
        "The most networks to train. Default: as many as the time allows.",
        example=20,
        default=None,
    )
    trial_time: Duration | None = described(
        "The longest that one network may be trained: longer trainings are shortened, and one that still "
        "goes on after half as long again, because something hangs, is ended. Default: as long as there "
        "is time, and one that takes ten times as long as its size suggests is ended.",
        example="20min",
        default=None,
    )
    seed: Seed = described("Another number gives another search.", example=1, default=0)
    reuse: bool = described(
        "Whether to try first what worked in earlier runs on images like these, and to remember this "
        "run for later ones. What is kept on this machine names no file and no class.",
        example=False,
        default=True,
    )
    compute: ComputeModel = described(
        "What the search may use.", example={"cpus": 4}, default={}
    )  # fmt: skip


class QuantizationModel(Model):
    """Whether the model may calculate with small whole numbers (8 bits), which is often two to
    four times faster, and what accuracy that may cost. A list of schemes is the short form."""

    schemes: list[Annotated[str, registered("scheme")]] = described(
        "Schemes to try; each is measured, as it is not always faster. `float32`: none. "
        "`float16`: 16 bits, half the size, faster on GPUs. `int8-dynamic`, `int8-static`: 8 bits. "
        "`int8-mixed`: 8 bits except where it hurts. "
        "Default: those of the search space, and `float16` where a target has a `provider`.",
        example=["float32", "int8-static"],
        default=[],
        schema={"uniqueItems": True},
    )
    max_drop: Fraction = described(
        "How much of the objective a scheme may lose against float32: 0.01 is one point of 100.",
        example="1%",
        default=0.01,
    )
    calibration_images: Annotated[int, whole_number(1, 100_000)] = described(
        "Training images used to find the range of values.", example=128, default=128
    )

    @model_validator(mode="after")
    def _lists_each_scheme_once(self) -> QuantizationModel:
        for position, name in enumerate(self.schemes):
            if name in self.schemes[:position]:
                raise ValueError(f"'schemes' lists '{name}' twice. Delete one")
        return self


def _data_from_path(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


def _targets_from_one(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _quantization_from_list(value: object) -> object:
    return {"schemes": value} if isinstance(value, list) else value


Targets = Annotated[
    list[TargetModel],
    BeforeValidator(_targets_from_one, json_schema_input_type=TargetModel | list[TargetModel]),
]
_IS_ANOMALY = {"properties": {"task": {"const": "anomaly"}}}
_TOGETHER: dict[str, Any] = {
    "oneOf": [{"required": ["target"]}, {"required": ["targets"]}],
    "anyOf": [
        {
            "required": ["data"],
            "not": {"anyOf": [{"required": ["classes"]}, {"required": ["image_size"]}]},
        },
        {
            "required": ["classes", "image_size"],
            "not": {"anyOf": [{"required": ["data"]}, _IS_ANOMALY]},
        },
        {
            "required": ["image_size"],
            "not": {"anyOf": [{"required": ["data"]}, {"required": ["classes"]}]},
            **_IS_ANOMALY,
        },
    ],
}
"""What editors are told of keys that belong together: one target or several, and images or what stands
in for them."""


class SpecModel(Model, json_schema_extra=_TOGETHER):
    """What you need: the task, the images, the device and its limits. The smallest spec is three
    lines: `task: classification`, `data: ./images`, `target: {device: local, latency: 20ms}`."""

    version: Literal[1] = described("Version of this format.", example=1, default=1)
    name: Name | None = described(
        "Name of the run and of its folder. Default: the spec file's name.",
        example="paper-inspection",
        default=None,
    )
    task: Annotated[str, registered("task")] = described(
        "What the model does. `classification`: one class for a whole image. `segmentation`: the "
        "class of every pixel. `detection`: a box around every object. `anomaly`: is it unlike the "
        "good ones it has learnt from, and where?",
        example="classification",
    )
    data: Annotated[
        DataModel | None,
        BeforeValidator(_data_from_path, json_schema_input_type=PathText | DataModel),
    ] = described(
        "The labelled images. Every command but `automl plan` needs them.",
        example="./images",
        default=None,
    )
    classes: Classes | None = described(
        "Only without `data`, to plan before there are images: how many classes there will be, or "
        "their names. Masks count the background as one. Not for `anomaly`.",
        example=10,
        default=None,
    )
    image_size: FrameSize | None = described(
        "Only without `data`, to plan before there are images: width x height of the camera's frames.",
        example="640x480",
        default=None,
    )
    target: Targets | None = described(
        "The device and its limits. Give `target` or `targets`, not both.",
        example={"device": "local", "latency": "20ms"},
        default=None,
    )
    targets: Targets | None = described(
        "Several devices; each gets the model that is best for it.",
        example=[{"name": "camera", "device": "local", "latency": "20ms"}],
        default=None,
    )
    objective: Annotated[str, one_of("metric", _OBJECTIVES)] | None = described(
        "The metric that decides between models that keep every limit. Default: "
        f"{', '.join(f'`{metrics.default}` for {task}' for task, metrics in METRICS.items())}.",
        example="balanced-accuracy",
        default=None,
    )
    require: dict[str, Bound] = described(
        "What the model must reach on the test images: metric to bound. A number alone means at "
        f"least. For one class: {', '.join(f'`{name}[CLASS]`' for name in _PER_CLASS)}.",
        example={"recall[fail]": ">= 0.95"},
        default={},
        schema={"propertyNames": {"pattern": _REQUIRE_KEYS}},
    )
    search: SearchModel = described(
        "Where and how long to search.", example={"space": "quick", "time": "10min"}, default={}
    )
    weights: Text = described(
        "Where networks start from. `auto`: knowledge from millions of other images where a "
        "source can be reached, else from nothing. `require`: such a source must be there. "
        "`none`: from nothing. Or the path of a file or folder with weights.",
        example="auto",
        default="auto",
    )
    quantization: Annotated[
        QuantizationModel,
        BeforeValidator(
            _quantization_from_list,
            json_schema_input_type=QuantizationModel | list[Annotated[str, registered("scheme")]],
        ),
    ] = described(
        "Whether and how numbers may be made smaller.",
        example=["float32", "int8-static"],
        default={},
    )
    augmentation: Text | None = described(
        "How training images are varied: the name of a preset of the search space. Default: the "
        "search tries those of the space.",
        example="light",
        default=None,
    )
    max_false_alarm: Fraction | None = described(
        "Only `anomaly`: how many of the good images may be called defective. The threshold is set "
        "accordingly, on the very file that is delivered. Default: 1%.",
        example="1%",
        default=None,
    )
    input: Annotated[str, one_of("way", ("whole", "tiles"))] | None = described(
        "Only `segmentation`: how a frame is looked at. `whole`: resized to the image size of the "
        "network. `tiles`: cut into squares of that size, at full resolution; all frames must then "
        "have one size. Latency counts all tiles. Default: `whole`.",
        example="tiles",
        default=None,
    )
    precision: Fraction | None = described(
        "Only `detection`: how many of the objects found must be right. The delivered threshold is "
        "set there, and `recall[CLASS]` is what is found there. Default: 90%.",
        example="90%",
        default=None,
    )
    output: OutputText = described(
        "Folder for results, relative to where you run the command; or `s3://BUCKET/FOLDER` or "
        "`gs://BUCKET/FOLDER`, where results are copied while the run goes on.",
        example="runs",
        default="runs",
    )
