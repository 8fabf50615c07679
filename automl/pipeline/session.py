"""One trial, in a worker process of Ray: train, export, quantize, score, write the result.

The objective is the score of the exported artifact under its best feasible scheme. Whatever goes wrong
is the result of this trial and of no other: it is recorded with its error and the search goes on.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl import registry
from automl.pipeline.folder import RunFolder
from automl.records import (
    Artifact,
    Parity,
    Scores,
    Spec,
    Split,
    TrialResult,
    TrialStatus,
)
from automl.search.executor import StepReport
from automl.search.study import Assignment
from automl.storage import sha256_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl.data.frames import FrameStore
    from automl.export.deployed import Deployed
    from automl.models.backbones import Network
    from automl.records import Dataset
    from automl.training.loop import Trainer

__all__ = ["Session", "SessionFactory"]

_PARITY_IMAGES = 32
_SCORED_IMAGES = 2_000
"""Validation images that choose a calibration method; the artifact itself is scored on all."""
_FINISH_SECONDS = 12.0
"""First guess of what export, quantization and scoring take; after a trial, its own time is used."""


@dataclass(frozen=True)
class SessionFactory:
    """Everything a worker process needs to run any trial of a run; pickled to it."""

    folder: str
    spec: Spec
    schemes: dict[str, tuple[str, ...]]
    """Feasible schemes by architecture key."""
    weights: dict[str, str]
    """Source of the pretrained weights by backbone; those without are trained from scratch."""
    instruction_sets: tuple[str, ...]
    threads: int
    gpus: float
    run_started: float
    """``time.time()`` of the run's start, less what earlier parts of it took: only for display."""
    ends_at: float
    """``time.time()`` when the last trial must have been written."""

    def __call__(self, assignment: Assignment) -> Session:
        """Start a trial."""
        return Session(self, assignment)


class Session:
    """A trial under way. Never raises: a failure is the trial's result."""

    def __init__(self, factory: SessionFactory, assignment: Assignment) -> None:
        self._factory = factory
        self._assignment = assignment
        self._folder = RunFolder(Path(factory.folder))
        self._ends = time.monotonic() + max(0.0, factory.ends_at - time.time())
        self._seconds: dict[str, float] = {}
        self._trainer: Trainer | None = None
        self._network: Network | None = None

    def step(self) -> StepReport:
        """Train one epoch; after the last one (or when time is short) finish the trial."""
        try:
            return self._advance()
        except Exception as error:  # noqa: BLE001 - recorded as this trial's result, shown in the report
            message = str(error) or type(error).__name__
            text = f"{type(error).__name__}: {message}"
            self._folder.write_trial(self._result(TrialStatus.FAILED, (), None, error=text))
            return StepReport(0.0, self._epochs_done, True, f"failed: {message}")

    @property
    def _epochs_done(self) -> int:
        return len(self._trainer.epochs) if self._trainer is not None else 0

    def _advance(self) -> StepReport:
        if self._trainer is None:
            with self._timed("setup"):
                self._trainer = self._prepare()
        trainer, recipe = self._trainer, self._assignment.recipe
        if len(trainer.epochs) < recipe.epochs and not self._is_time_short(trainer):
            with self._timed("train"):
                epoch = trainer.run_epoch()
            self._folder.write_progress(
                self._result(TrialStatus.STOPPED, (), epoch.val_score, error=None)
            )
            return StepReport(
                epoch.val_score,
                epoch.number,
                False,
                f"epoch {epoch.number}/{recipe.epochs}, loss {epoch.train_loss:.3f}",
            )
        return self._finish()

    def _is_time_short(self, trainer: Trainer) -> bool:
        if not trainer.epochs:
            return False
        left = self._ends - time.monotonic()
        return left < trainer.epochs[-1].seconds * 1.2 + _finish_seconds(self._factory.folder)

    def _prepare(self) -> Trainer:
        import torch

        from automl.data.augment import build_augmentation
        from automl.models.freezing import freeze_parts, frozen_modules
        from automl.training.loop import ImageSet, Trainer

        factory, assignment = self._factory, self._assignment
        torch.set_num_threads(factory.threads)
        seed = factory.spec.search.seed * 10_000 + assignment.number
        torch.manual_seed(seed)
        dataset, store = _open_data(factory.folder)
        task = registry.load("task", factory.spec.task)()
        architecture, recipe = assignment.architecture, assignment.recipe
        network = task.build(
            architecture,
            classes=len(dataset.classes),
            weights=factory.weights.get(architecture.backbone),
        )
        freeze_parts(network, recipe.freeze)
        self._network = network
        sets = {
            split: ImageSet(
                store.resized(dataset.indices(split), architecture.image_size),
                store.labels[list(dataset.indices(split))],
            )
            for split in (Split.TRAIN, Split.VAL)
        }
        objective = factory.spec.objective
        return Trainer(
            network,
            recipe,
            train=sets[Split.TRAIN],
            val=sets[Split.VAL],
            loss=task.loss(
                sets[Split.TRAIN].labels,
                classes=len(dataset.classes),
                label_smoothing=recipe.label_smoothing,
            ),
            augment=build_augmentation(recipe.augmentation, image_size=architecture.image_size),
            score=lambda logits, labels: task.score(
                task.outputs(logits), labels, classes=dataset.classes
            ).values[objective],
            frozen=frozen_modules(network.module),
            device="cuda" if factory.gpus > 0 and torch.cuda.is_available() else "cpu",
            seed=seed,
        )

    def _finish(self) -> StepReport:
        started = time.monotonic()
        artifacts = self._export()
        scores = [
            a.scores.values[self._factory.spec.objective]
            for a in artifacts
            if a.rejected is None and a.scheme in self._feasible
        ]
        objective = max(scores, default=0.0)
        _note_finish_seconds(self._factory.folder, time.monotonic() - started)
        self._folder.write_trial(
            self._result(TrialStatus.FINISHED, artifacts, objective, error=None)
        )
        return StepReport(objective, self._epochs_done, True, f"artifact scores {objective:.4f}")

    @property
    def _feasible(self) -> tuple[str, ...]:
        return self._factory.schemes[self._assignment.architecture.key]

    def _export(self) -> tuple[Artifact, ...]:
        """Export float32, then each feasible scheme from it; every file is scored by itself."""
        from automl.export.metadata import metadata
        from automl.export.onnx import export_onnx
        from automl.training.checkpoint import save_weights

        network = self._network
        assert network is not None
        spec, assignment = self._factory.spec, self._assignment
        folder = self._folder.trial(assignment.id)
        dataset, _ = _open_data(self._factory.folder)
        save_weights(network.module, folder / "weights.safetensors")
        with self._timed("export"):
            deployed = self._deployed(network)
            plain = folder / "float32.onnx"
            export_onnx(
                deployed,
                plain,
                frame_size=dataset.frame_size,
                metadata=metadata(
                    classes=dataset.classes,
                    mean=network.mean,
                    std=network.std,
                    image_size=assignment.architecture.image_size,
                    task=spec.task,
                    spec_sha256=spec.sha256,
                    architecture=assignment.architecture.key,
                ),
            )
        artifacts = [self._artifact("float32", plain, deployed, None, {}, None)]
        for scheme in self._feasible:
            if scheme != "float32":
                artifacts.extend(self._quantize(scheme, plain, deployed, artifacts[0]))
        return tuple(artifacts)

    def _deployed(self, network: Network) -> Deployed:
        from automl.export.deployed import Deployed
        from automl.models.backbones import inference_form

        task = registry.load("task", self._factory.spec.task)()
        return Deployed(
            inference_form(network.module.cpu()),
            image_size=self._assignment.architecture.image_size,
            mean=network.mean,
            std=network.std,
            postprocess=task.postprocess(),
        ).eval()

    def _quantize(
        self, name: str, plain: Path, deployed: Deployed, reference: Artifact
    ) -> Iterator[Artifact]:
        """Yield the artifact of a scheme; nothing when the scheme has no use for this network."""
        from automl.export.schemes.base import QuantizationContext

        spec = self._factory.spec
        context = QuantizationContext(
            calibration=_frames(
                self._factory.folder, Split.TRAIN, spec.quantization.calibration_images
            ),
            score=self._objective_of,
            float_score=reference.scores.values[spec.objective],
            max_drop=spec.quantization.max_drop,
            instruction_sets=self._factory.instruction_sets,
            deadline=lambda: time.monotonic() > self._ends,
        )
        path = plain.with_name(f"{name}.onnx")
        with self._timed("quantize"):
            outcome = registry.load("scheme", name)().apply(plain, path, context)
        if path.exists():
            yield self._artifact(name, path, deployed, reference, outcome.details, outcome.rejected)

    def _objective_of(self, path: Path) -> float:
        return self._score(path, _SCORED_IMAGES).values[self._factory.spec.objective]

    def _score(self, path: Path, at_most: int | None) -> Scores:
        from automl.export.evaluate import run_artifact

        dataset, store = _open_data(self._factory.folder)
        indices = _spread(dataset.indices(Split.VAL), at_most)
        outputs = run_artifact(
            path, (store.frame(i) for i in indices), threads=self._factory.threads
        )
        task = registry.load("task", self._factory.spec.task)()
        scores: Scores = task.score(outputs, store.labels[list(indices)], classes=dataset.classes)
        return scores

    def _artifact(
        self,
        scheme: str,
        path: Path,
        deployed: Deployed,
        reference: Artifact | None,
        details: dict[str, str],
        rejected: str | None,
    ) -> Artifact:
        from automl.export.parity import check_parity

        spec = self._factory.spec
        with self._timed("evaluate"):
            scores = self._score(path, None)
            parity: Parity = check_parity(
                deployed, path, _frames(self._factory.folder, Split.VAL, _PARITY_IMAGES)
            )
        drop = 0.0
        if reference is not None:
            drop = reference.scores.values[spec.objective] - scores.values[spec.objective]
            if rejected is None and drop > spec.quantization.max_drop:
                rejected = (
                    f"quantization.max_drop {spec.quantization.max_drop:g}: "
                    f"{spec.objective} fell by {drop:.4f} against float32"
                )
        return Artifact(
            scheme=scheme,
            path=str(path.relative_to(self._folder.path)),
            sha256=sha256_file(path),
            size_bytes=path.stat().st_size,
            scores=scores,
            parity=parity,
            drop=drop,
            rejected=rejected,
            details=details,
        )

    def _result(
        self,
        status: TrialStatus,
        artifacts: tuple[Artifact, ...],
        objective: float | None,
        *,
        error: str | None,
    ) -> TrialResult:
        assignment = self._assignment
        return TrialResult(
            id=assignment.id,
            number=assignment.number,
            architecture=assignment.architecture,
            recipe=assignment.recipe,
            status=status,
            weights=self._factory.weights.get(assignment.architecture.backbone),
            epochs=tuple(self._trainer.epochs) if self._trainer is not None else (),
            artifacts=artifacts,
            objective=objective,
            error=error,
            seconds={name: round(value, 3) for name, value in self._seconds.items()},
            finished_after_s=max(0.0, time.time() - self._factory.run_started),
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - started


@functools.lru_cache(maxsize=1)
def _open_data(folder: str) -> tuple[Dataset, FrameStore]:
    """Open the run's images once a process: trials follow each other in the same one."""
    from automl.data.frames import FrameStore
    from automl.errors import RunError

    data = RunFolder(Path(folder)).read_data()
    if data is None:
        raise RunError(f"'{folder}/data.json' is missing or damaged; start the run again.")
    return data.dataset, FrameStore(data.dataset)


def _frames(folder: str, split: Split, count: int) -> list[NDArray[np.uint8]]:
    dataset, store = _open_data(folder)
    return [store.frame(i) for i in _spread(dataset.indices(split), count)]


def _spread(indices: tuple[int, ...], count: int | None) -> tuple[int, ...]:
    """Return at most ``count`` of some positions, evenly spread, so that every class takes part."""
    if count is None or len(indices) <= count:
        return indices
    return tuple(indices[i * len(indices) // count] for i in range(count))


_finish_times: dict[str, float] = {}


def _finish_seconds(folder: str) -> float:
    return _finish_times.get(folder, _FINISH_SECONDS)


def _note_finish_seconds(folder: str, seconds: float) -> None:
    _finish_times[folder] = max(seconds * 1.2, _finish_times.get(folder, 0.0))
