"""The work of the pipeline's own worker processes: untrained exports, and judging an artifact.

Each job is a function from one record to one record, so it can be called and tested without a process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from automl import registry
from automl.records import Architecture, Dataset, Prediction, Scores, Split
from automl.storage import sha256_file

__all__ = [
    "EvaluateJob",
    "Evaluation",
    "ExportJob",
    "Exported",
    "ExportedFile",
    "evaluate_artifact",
    "export_untrained",
]

_NOISE_FRAMES = 4
"""Enough to give untrained int8 graphs some ranges; their values do not change the latency."""


@dataclass(frozen=True)
class ExportJob:
    """One architecture to be exported untrained under some schemes."""

    architecture: Architecture
    task: str
    classes: tuple[str, ...]
    frame_size: tuple[int, int] | None
    typical_frame: tuple[int, int]
    schemes: tuple[str, ...]
    instruction_sets: tuple[str, ...]
    folder: str


@dataclass(frozen=True)
class ExportedFile:
    """One file of an untrained architecture."""

    scheme: str
    path: str
    sha256: str
    graph_hash: str
    size_bytes: int


@dataclass(frozen=True)
class Exported:
    """What exporting one architecture gave."""

    architecture: Architecture
    parameters: int
    macs: int
    files: tuple[ExportedFile, ...]
    errors: tuple[tuple[str, str], ...]
    """(scheme, why it could not be made this time)."""
    refused: tuple[tuple[str, str], ...] = ()
    """(scheme, why it is of no use for such a network)."""


@dataclass(frozen=True)
class EvaluateJob:
    """One artifact to be judged on one split."""

    artifact: str
    dataset: Dataset
    split: Split
    task: str
    threads: int


@dataclass(frozen=True)
class Evaluation:
    """An artifact's scores and its answer for each image of the split."""

    scores: Scores
    predictions: tuple[Prediction, ...]


def export_untrained(job: ExportJob) -> Exported:
    """Export an architecture with random weights as float32, and quantize that for the other schemes."""
    import numpy as np
    import torch

    from automl.export.deployed import Deployed
    from automl.export.graph import graph_hash
    from automl.export.metadata import metadata
    from automl.export.onnx import export_onnx
    from automl.export.schemes.base import QuantizationContext
    from automl.export.untrained import vary_constants
    from automl.models.backbones import inference_form

    torch.manual_seed(0)
    task = registry.load("task", job.task)()
    network = task.build(job.architecture, classes=len(job.classes), weights=None)
    vary_constants(network.module)
    deployed = Deployed(
        inference_form(network.module),
        image_size=job.architecture.image_size,
        mean=network.mean,
        std=network.std,
        postprocess=task.postprocess(),
    ).eval()
    folder = Path(job.folder)
    plain = folder / f"{job.architecture.key}.float32.onnx"
    export_onnx(
        deployed,
        plain,
        frame_size=job.frame_size,
        metadata=metadata(
            classes=job.classes,
            mean=network.mean,
            std=network.std,
            image_size=job.architecture.image_size,
            task=job.task,
            spec_sha256="",
            architecture=job.architecture.key,
        ),
    )
    noise = np.random.default_rng(0)
    context = QuantizationContext(
        calibration=[
            noise.integers(0, 256, (*job.typical_frame, 3), dtype=np.uint8)
            for _ in range(_NOISE_FRAMES)
        ],
        score=None,
        float_score=None,
        max_drop=0.0,
        instruction_sets=job.instruction_sets,
        deadline=lambda: False,
    )
    files, errors, refused = [], [], []
    for name in job.schemes:
        path = folder / f"{job.architecture.key}.{name}.onnx"
        try:
            outcome = registry.load("scheme", name)().apply(plain, path, context)
        except Exception as error:  # noqa: BLE001 - one scheme that a graph does not bear is a verdict
            errors.append((name, f"could not be quantized ({type(error).__name__}: {error})"))
            continue
        if outcome.rejected is not None:
            refused.append((name, outcome.rejected))
            continue
        files.append(
            ExportedFile(name, str(path), sha256_file(path), graph_hash(path), path.stat().st_size)
        )
    return Exported(
        job.architecture,
        network.parameters,
        network.macs,
        tuple(files),
        tuple(errors),
        tuple(refused),
    )


def evaluate_artifact(job: EvaluateJob) -> Evaluation:
    """Run an artifact over a split, image by image, and score its answers."""
    from automl.data.frames import FrameStore
    from automl.export.evaluate import run_artifact

    task = registry.load("task", job.task)()
    store = FrameStore(job.dataset)
    indices = job.dataset.indices(job.split)
    labels = store.labels[list(indices)]
    outputs = run_artifact(
        Path(job.artifact), (store.frame(i) for i in indices), threads=job.threads
    )
    classes = job.dataset.classes
    predictions = tuple(
        Prediction(
            path=job.dataset.samples[i].path,
            label=classes[job.dataset.samples[i].label],
            predicted=classes[int(row.argmax())],
            confidence=float(row.max()),
        )
        for i, row in zip(indices, outputs, strict=True)
    )
    return Evaluation(task.score(outputs, labels, classes=classes), predictions)
