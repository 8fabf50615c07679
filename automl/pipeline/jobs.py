"""The work of the pipeline's own worker processes: untrained exports, and judging an artifact.

Each job is a function from one record to one record, so it can be called and tested without a process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl import registry
from automl.records import Architecture, Dataset, Prediction, Scores, Split, TaskOptions
from automl.storage import sha256_file
from automl.tasks.base import Task, open_task

if TYPE_CHECKING:
    from automl.data.frames import FrameStore
    from automl.models.backbones import Network
    from automl.predictor import Model

__all__ = [
    "EvaluateJob",
    "Evaluation",
    "ExportJob",
    "Exported",
    "ExportedFile",
    "evaluate_artifact",
    "export_gallery",
    "export_untrained",
]

_SHOWN = 48
_BEST_SHOWN = 12
"""Answers that the report may show: the worst, and so many of the best."""
_JPEG_QUALITY = 85
_LONGEST_SIDE = 2_000
"""Pixels of a drawn answer. Drawings are narrow, but those of a line camera's frames may be taller than
a JPEG file can be (65,535)."""
_NOISE_FRAMES = 4
"""Enough to give untrained int8 graphs some ranges; their values do not change the latency."""


@dataclass(frozen=True)
class ExportJob:
    """One architecture to be exported untrained under some schemes."""

    architecture: Architecture
    task: str
    classes: tuple[str, ...]
    options: TaskOptions
    frame_size: tuple[int, int] | None
    typical_frame: tuple[int, int]
    schemes: tuple[str, ...]
    instruction_sets: tuple[str, ...]
    folder: str


@dataclass(frozen=True)
class ExportedFile:
    """One file of an untrained architecture."""

    architecture: str
    """Its key."""
    scheme: str
    path: str
    sha256: str
    graph_hash: str
    size_bytes: int
    operators: tuple[str, ...] = ()
    """Kinds of its nodes, sorted."""


@dataclass(frozen=True)
class Exported:
    """What exporting one architecture gave."""

    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-accumulates of one frame: of all its tiles, where it is cut into some."""
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
    options: TaskOptions
    threads: int
    pictures: str
    """Folder for drawn answers, which is made."""
    doubtful: tuple[str, ...] = ()
    """Paths of images that also stand, nearly, among those learnt from."""


@dataclass(frozen=True)
class Evaluation:
    """An artifact's scores, and its answers that are worth showing."""

    scores: Scores
    predictions: tuple[Prediction, ...]
    without_doubtful: Scores | None = None
    """On the images that were not learnt from in another copy, when there are others."""


def export_untrained(job: ExportJob) -> Exported:
    """Export an architecture with random weights as float32, and quantize that for the other schemes."""
    import torch

    from automl.export.untrained import vary_constants

    torch.manual_seed(0)
    task = open_task(job.task, classes=job.classes, options=job.options)
    network = task.build(job.architecture, weights=None)
    vary_constants(network.module)
    return _export(network, task, job)


def export_gallery(job: ExportJob) -> Exported:
    """Export a gallery of operators (:mod:`automl.models.gallery`), named as the job's backbone."""
    from automl.models.gallery import build_gallery

    task = open_task(job.task, classes=job.classes, options=job.options)
    network = build_gallery(job.architecture, classes=len(job.classes))
    return _export(network, task, job)


def _export(network: Network, task: Task, job: ExportJob) -> Exported:
    """Export a network with the weights that it has, and quantize that for the other schemes."""
    import numpy as np

    from automl.export.deployed import deploy
    from automl.export.graph import graph_hash, operators_of
    from automl.export.metadata import artifact_metadata
    from automl.export.onnx import export_onnx
    from automl.export.schemes.base import QuantizationContext

    deployed = deploy(network, task, frame_size=job.frame_size, tiled=job.options.input == "tiles")
    folder = Path(job.folder)
    plain = folder / f"{job.architecture.key}.float32.onnx"
    export_onnx(
        deployed,
        plain,
        frame_size=job.frame_size,
        metadata=artifact_metadata(network, task, spec_sha256=""),
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
            ExportedFile(
                job.architecture.key,
                name,
                str(path),
                sha256_file(path),
                graph_hash(path),
                path.stat().st_size,
                operators_of(path),
            )
        )
    return Exported(
        job.architecture,
        network.parameters,
        network.macs * (1 if deployed.tiling is None else deployed.tiling.count),
        tuple(files),
        tuple(errors),
        tuple(refused),
    )


def evaluate_artifact(job: EvaluateJob) -> Evaluation:
    """Run an artifact over a split, image by image, score its answers and draw the telling ones."""
    from automl.data.frames import FrameStore
    from automl.pipeline.judging import judged_images
    from automl.predictor import Model

    task = open_task(job.task, classes=job.dataset.classes, options=job.options)
    store = FrameStore(job.dataset)
    model = Model(job.artifact, threads=job.threads)
    doubtful = frozenset(job.doubtful)
    scorer, without = task.scorer(), task.scorer()
    qualities: list[tuple[float, int]] = []
    indices = job.dataset.indices(job.split)
    for index, one in zip(indices, judged_images(task, store, job.split), strict=True):
        answer = model.predict(one.frame)
        scorer.add(answer, one.truth)
        if job.dataset.samples[index].path not in doubtful:
            without.add(answer, one.truth)
        qualities.append((task.quality(answer, one.truth), index))
    predictions = tuple(
        _prediction(task, model, store, index, quality, Path(job.pictures))
        for quality, index in _telling(qualities)
    )
    is_mixed = 0 < len(doubtful & {job.dataset.samples[i].path for i in indices}) < len(indices)
    return Evaluation(scorer.scores(), predictions, without.scores() if is_mixed else None)


def _telling(qualities: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return the answers worth showing: the worst, then a few of the best."""
    ranked = sorted(qualities)
    best = ranked[-_BEST_SHOWN:] if len(ranked) > _SHOWN else []
    return ranked[: _SHOWN - len(best)] + best


def _prediction(
    task: Task, model: Model, store: FrameStore, index: int, quality: float, folder: Path
) -> Prediction:
    from PIL import Image

    frame, truth = store.frame(index), store.truth(index)
    answer = model.predict(frame)
    drawn = task.draw(frame, answer, truth)
    picture = None
    if drawn is not None:
        folder.mkdir(parents=True, exist_ok=True)
        picture = f"{index}.jpg"
        image = Image.fromarray(drawn)
        image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        image.save(folder / picture, quality=_JPEG_QUALITY)
    return Prediction(
        path=store.dataset.samples[index].path,
        label=task.describe(truth),
        predicted=task.describe(answer),
        confidence=float(getattr(answer, "confidence", quality)),
        quality=quality,
        picture=picture,
    )
