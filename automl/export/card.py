"""What a bundle says of its model: the record in ``model.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from automl.export.graph import read_metadata
from automl.records import (
    Claim,
    Dataset,
    DataSpec,
    Forecast,
    Measurement,
    Requirement,
    Scores,
    Spec,
    Split,
    Target,
    TargetSelection,
    TaskOptions,
)
from automl.storage import sha256_bytes, sha256_file

__all__ = ["FORMAT_VERSION", "BundleCard", "Reference", "make_card", "split_sha256"]

FORMAT_VERSION = 2
_MOST_CLASSES = 32
"""With more classes than this, the confusion matrix and the metrics of single classes (unless they
are required) are left to the report, so that a bundle stays within 100 kB of its model."""


@dataclass(frozen=True)
class Reference:
    """An answer to compare with on another machine."""

    name: str
    """Path below the data's root, or ``pattern`` for the one that is computed."""
    sha256: str | None
    """Of the image file; ``None`` for the pattern."""
    values: tuple[tuple[str, float], ...]
    """The numbers that sum up the answer (:meth:`automl.predictor.Answer.summary`), by name."""


@dataclass(frozen=True)
class BundleCard:
    """All that is known of a delivered model."""

    format_version: int
    name: str
    task: str
    labels: tuple[str, ...]
    architecture: str
    scheme: str
    image_size: int
    mean: tuple[float, float, float]
    """Of the RGB channels, for values in [0, 1]; applied inside the file."""
    std: tuple[float, float, float]
    model_sha256: str
    model_size_bytes: int
    spec_sha256: str
    objective: str
    requirements: tuple[Requirement, ...]
    target: Target
    claims: tuple[Claim, ...]
    measurement: Measurement | None
    test_scores: Scores | None
    data: DataSpec
    options: TaskOptions
    data_fingerprint: str
    test_sha256: str
    """Over paths, labels and contents of the test images (:func:`split_sha256`)."""
    versions: dict[str, str]
    references: tuple[Reference, ...]
    forecast: Forecast | None = None
    """For a device that could only be predicted; then nothing was measured there."""


def make_card(
    chosen: TargetSelection, *, artifact: Path, spec: Spec, dataset: Dataset
) -> BundleCard:
    """Return the card of a target's winner. References are added when the bundle is written.

    Raises:
        ValueError: when the target has no winner.
    """
    if chosen.winner is None:
        raise ValueError(f"Target '{chosen.target.name}' has no winner to describe.")
    entries = read_metadata(artifact)
    return BundleCard(
        format_version=FORMAT_VERSION,
        name=spec.name,
        task=spec.task,
        labels=dataset.classes,
        architecture=entries["automl.architecture"],
        scheme=chosen.winner.scheme,
        image_size=int(entries["automl.image_size"]),
        mean=_channels(entries["automl.mean"]),
        std=_channels(entries["automl.std"]),
        model_sha256=sha256_file(artifact),
        model_size_bytes=artifact.stat().st_size,
        spec_sha256=spec.sha256,
        objective=spec.objective,
        requirements=spec.requirements,
        target=chosen.target,
        claims=chosen.claims,
        measurement=chosen.measurement,
        test_scores=_short_scores(chosen.test_scores, spec, dataset.classes),
        data=spec.require_data(),
        options=spec.options,
        data_fingerprint=dataset.fingerprint,
        test_sha256=split_sha256(dataset, Split.TEST),
        versions=json.loads(entries["automl.versions"]),
        references=(),
        forecast=chosen.forecast,
    )


def split_sha256(dataset: Dataset, split: Split) -> str:
    """Return a SHA-256 over path, class and content of every image of a split, in any order."""
    lines = sorted(
        f"{sample.path}\t{','.join(dataset.classes[i] for i in sample.classes)}\t{sample.sha256}"
        for sample in dataset.samples
        if sample.split is split
    )
    return sha256_bytes("\n".join(lines).encode())


def _channels(text: str) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in json.loads(text))
    return red, green, blue


def _short_scores(
    scores: Scores | None, spec: Spec, dataset_classes: tuple[str, ...]
) -> Scores | None:
    if scores is None:
        return None
    if len(dataset_classes) <= _MOST_CLASSES:
        return replace(scores, curves={})
    wanted = {requirement.key for requirement in spec.requirements} | {spec.objective}
    values = {key: value for key, value in scores.values.items() if "[" not in key or key in wanted}
    return Scores(values, (), scores.samples)
