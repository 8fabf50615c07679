"""Everything that can be extended, by name: one line here and one file there.

A registry maps a kebab-case name to ``"module:attribute"``. The module is imported when the name is
first asked for, so listing names costs nothing and start-up stays light.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from automl.errors import SpecError, did_you_mean

__all__ = ["DEVICES", "FORMATS", "LEARNERS", "SCHEMES", "TASKS", "check", "load", "names"]

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "classification": "automl.tasks.classification:ClassificationTask",
        "segmentation": "automl.tasks.segmentation:SegmentationTask",
        "detection": "automl.tasks.detection:DetectionTask",
        "anomaly": "automl.tasks.anomaly:AnomalyTask",
    }
)

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "folder": "automl.data.formats.folder:FolderFormat",
        "csv": "automl.data.formats.csv:CsvFormat",
        "voc": "automl.data.formats.voc:VocFormat",
        "coco": "automl.data.formats.coco:CocoFormat",
        "yolo": "automl.data.formats.yolo:YoloFormat",
        "labelme": "automl.data.formats.labelme:LabelmeFormat",
        "cvat": "automl.data.formats.cvat:CvatFormat",
        "label-studio": "automl.data.formats.label_studio:LabelStudioFormat",
        "masks": "automl.data.formats.masks:MasksFormat",
        "mvtec": "automl.data.formats.mvtec:MvtecFormat",
        "huggingface": "automl.data.formats.huggingface:HuggingfaceFormat",
        "parquet": "automl.data.formats.parquet:ParquetFormat",
    }
)

SCHEMES: Mapping[str, str] = MappingProxyType(
    {
        "float32": "automl.export.schemes.float32:Float32Scheme",
        "float16": "automl.export.schemes.float16:Float16Scheme",
        "int8-dynamic": "automl.export.schemes.int8_dynamic:Int8DynamicScheme",
        "int8-static": "automl.export.schemes.int8_static:Int8StaticScheme",
        "int8-mixed": "automl.export.schemes.int8_mixed:Int8MixedScheme",
    }
)

DEVICES: Mapping[str, str] = MappingProxyType(
    {
        "local": "automl.hardware.local:LocalDevice",
    }
)

LEARNERS: Mapping[str, str] = MappingProxyType(
    {
        "gradient": "automl.training.loop:Trainer",
        "fit": "automl.training.fitting:Fitter",
    }
)

_KINDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"task": TASKS, "format": FORMATS, "scheme": SCHEMES, "device": DEVICES, "learner": LEARNERS}
)


def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of a kind (``task``, ``format``, ``scheme``, ``device``)."""
    return tuple(_KINDS[kind])


def load(kind: str, name: str) -> Any:
    """Import and return what is registered under a name.

    Raises:
        SpecError: when the name is unknown, with the closest known one.
    """
    check(kind, name)
    module, _, attribute = _KINDS[kind][name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def check(kind: str, name: str) -> None:
    """Import nothing, and find out whether a name is registered.

    Raises:
        SpecError: when it is not, with the closest known one.
    """
    entries = _KINDS[kind]
    if name not in entries:
        raise SpecError(f"Unknown {kind} '{name}'.{did_you_mean(name, entries)}")
