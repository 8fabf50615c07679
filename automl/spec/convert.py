"""A validated spec file to the frozen record, with defaults and absolute paths filled in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from automl.records import (
    ComputeSpec,
    DataSpec,
    ExpectedImages,
    LatencyBudget,
    QuantizationSpec,
    Requirement,
    Scope,
    SearchSpec,
    Spec,
    SplitSpec,
    Target,
    TaskOptions,
)
from automl.records.spec import Percentile
from automl.spec.checks import WEIGHT_WORDS, looks_like_path
from automl.spec.devices import default_name, form_of, full_name
from automl.spec.expected import class_names
from automl.spec.fields import slug
from automl.spec.metrics import METRICS, split_key
from automl.spec.schema import DataModel, QuantizationModel, SearchModel, SpecModel
from automl.spec.target_schema import TargetModel
from automl.spec.yaml_source import Document
from automl.storage import sha256_bytes

__all__ = ["to_record"]


def to_record(model: SpecModel, document: Document, *, base: Path) -> Spec:
    """Return the record of a valid spec; ``base`` is the folder that its paths are relative to."""
    return Spec(
        version=model.version,
        name=model.name or _default_name(model, document),
        task=model.task,
        data=None if model.data is None else _data(model.data, base),
        targets=tuple(_target(target, base) for target in model.target or model.targets or ()),
        objective=model.objective or METRICS[model.task].default,
        requirements=_requirements(model),
        search=_search(model.search, base),
        weights=model.weights if model.weights in WEIGHT_WORDS else _absolute(model.weights, base),
        quantization=_quantization(model.quantization),
        augmentation=model.augmentation,
        output=model.output,
        options=_options(model),
        expected=_expected(model),
        source=document.source,
        text=document.text,
        sha256=sha256_bytes(document.text.encode()),
    )


def _default_name(model: SpecModel, document: Document) -> str:
    source = Path(document.source)
    if source.suffix.lower() in (".yaml", ".yml"):
        return slug(source.stem)
    return slug(model.task if model.data is None else Path(model.data.path).name)


def _absolute(path: str, base: Path) -> str:
    return os.path.abspath(base / Path(path).expanduser())


def _data(data: DataModel, base: Path) -> DataSpec:
    split = data.split
    return DataSpec(
        path=_absolute(data.path, base),
        format=data.format,
        classes=tuple(data.classes or ()),
        split=SplitSpec(val=split.val, test=split.test, group=split.group, seed=split.seed),
        cache_bytes=data.cache,
        unannotated="background" if data.unannotated == "background" else "leave-out",
        foreground=_foreground(data.foreground),
        colors=dict(data.colors),
    )


def _expected(model: SpecModel) -> ExpectedImages | None:
    if model.image_size is None:
        return None
    return ExpectedImages(class_names(model.task, model.classes), model.image_size)


def _foreground(word: str) -> Literal["auto", "white", "black"]:
    return "white" if word == "white" else "black" if word == "black" else "auto"


def _options(model: SpecModel) -> TaskOptions:
    usual = TaskOptions()
    return TaskOptions(
        max_false_alarm=model.max_false_alarm or usual.max_false_alarm,
        input="tiles" if model.input == "tiles" else usual.input,
        precision=model.precision or usual.precision,
    )


def _target(target: TargetModel, base: Path) -> Target:
    device = full_name(target.device, target.provider)
    is_file = form_of(device) == "file"
    limits = target.latency
    seconds: tuple[tuple[Percentile, float | None], ...] = (
        ("p50", limits.p50),
        ("p90", limits.p90),
        ("p95", limits.p95),
        ("p99", limits.p99),
    )
    return Target(
        name=target.name or default_name(device),
        device=_absolute(device, base) if is_file else device,
        threads=target.threads,
        latency=tuple(
            LatencyBudget(percentile=name, limit_ms=_milliseconds(limit_s))
            for name, limit_s in seconds
            if limit_s is not None
        ),
        scope=Scope(target.scope or limits.scope or "frame"),
        memory_bytes=target.memory,
        size_bytes=target.size,
    )


def _milliseconds(seconds: float) -> float:
    """Return milliseconds without the noise of binary fractions: 0.0201 s is 20.1 ms."""
    return float(f"{seconds * 1e3:.12g}")


def _requirements(model: SpecModel) -> tuple[Requirement, ...]:
    found = []
    for key, (relation, bound) in model.require.items():
        metric, class_name = split_key(key)
        found.append(Requirement(metric, class_name, relation, bound))
    return tuple(found)


def _search(search: SearchModel, base: Path) -> SearchSpec:
    is_path = looks_like_path(search.space)
    compute = search.compute
    return SearchSpec(
        space=_absolute(search.space, base) if is_path else search.space,
        time_s=search.time,
        trials=search.trials,
        seed=search.seed,
        compute=ComputeSpec(
            cpus=compute.cpus,
            gpus=compute.gpus,
            address=compute.address,
            gpus_per_trial=compute.gpus_per_trial,
        ),
        trial_time_s=search.trial_time,
        reuse=search.reuse,
    )


def _quantization(quantization: QuantizationModel) -> QuantizationSpec:
    return QuantizationSpec(
        schemes=tuple(quantization.schemes),
        max_drop=quantization.max_drop,
        calibration_images=quantization.calibration_images,
    )
