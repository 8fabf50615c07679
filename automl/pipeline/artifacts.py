"""From one trained network to the files that may be delivered: export once, quantize many.

Every file is scored by itself on the validation images and compared with the PyTorch network. A scheme
that fails or has no use for this network costs that file only.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl import registry
from automl.pipeline.contention import outclassed
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.images import open_data, some_frames, spread
from automl.pipeline.judging import judged_images, task_of
from automl.records import Artifact, Parity, Scores, Split
from automl.search.study import Assignment
from automl.spec.metrics import METRICS
from automl.storage import sha256_file, storage_error
from automl.tasks.base import objective_of

if TYPE_CHECKING:
    from automl.export.deployed import Deployed
    from automl.models.backbones import Network

__all__ = ["ArtifactMaker", "Made"]

_PARITY_IMAGES = 32
_SCORED_IMAGES = 2_000
"""Validation images that choose a calibration method; the artifact itself is scored on all."""


@dataclass(frozen=True)
class Made:
    """The files of one trial, and why there are no others."""

    artifacts: tuple[Artifact, ...]
    skipped: dict[str, str]


class ArtifactMaker:
    """Makes the files of one trial.

    Args:
        tuned: what the validation images decided in the network, for the report.
        timed: a context that adds the time spent in it to a stage.
        ends: monotonic time after which no further scheme is begun.
    """

    def __init__(
        self,
        context: TrialContext,
        assignment: Assignment,
        network: Network,
        *,
        tuned: dict[str, str],
        timed: Callable[[str], AbstractContextManager[None]],
        ends: float,
    ) -> None:
        self._context = context
        self._spec = context.spec
        self._architecture = assignment.architecture
        self._rung = assignment.rung
        self._run = RunFolder(Path(context.folder))
        self._folder = self._run.trial(assignment.id)
        self._network = network
        self._tuned = tuned
        self._timed = timed
        self._ends = ends
        self._dataset, self._store = open_data(context.folder)
        self._task = task_of(context.spec, self._dataset)

    def make(self) -> Made:
        """Export float32, then make each feasible scheme from it."""
        from automl.training.checkpoint import save_weights

        save_weights(self._network.module, self._folder / "weights.safetensors")
        with self._timed("export"):
            deployed = self._deployed()
            plain = self._export(deployed)
        unsettled = self._copy_unsettled(plain)
        reference = self._artifact("float32", plain, deployed)
        made = {"float32": reference}
        skipped: dict[str, str] = {}
        for name in self._context.schemes[self._architecture.key]:
            if name == "float32":
                continue
            reason = self._needless(name, made)
            if reason is not None:
                skipped[name] = reason
                continue
            try:
                made[name] = self._quantize(name, unsettled, deployed, reference)
            except Exception as error:  # recorded; the other files are still good
                if storage_error(error) is not None:
                    raise
                skipped[name] = f"could not be made ({type(error).__name__}: {error})"
        if unsettled != plain:
            unsettled.unlink()
        return Made(tuple(made.values()), skipped)

    def _copy_unsettled(self, plain: Path) -> Path:
        """Return the float file as it is before its threshold is set: it answers as the network does.

        What is quantized from it can be compared with the network too.
        """
        if not self._task.settles:
            return plain
        return Path(shutil.copyfile(plain, plain.with_name("unsettled.onnx")))

    def _needless(self, name: str, made: dict[str, Artifact]) -> str | None:
        repaired = registry.load("scheme", name).repairs
        if repaired in made and made[repaired].rejected is None:
            limit = self._spec.quantization.max_drop
            return f"not needed: {repaired} loses no more than quantization.max_drop {limit:g}"
        if repaired is not None and (reason := self._not_worth_repair(made)) is not None:
            return reason
        if time.monotonic() > self._ends:
            return "search.time was used up before it could be made"
        return None

    def _not_worth_repair(self, made: dict[str, Artifact]) -> str | None:
        """Return why this network is not worth a repair, which takes as long as a short training."""
        feasible = self._context.schemes[self._architecture.key]
        usable = any(a.rejected is None and a.scheme in feasible for a in made.values())
        if self._rung == "probe" and usable:
            return "not needed yet: a network is trained first, before its losses are repaired"
        score = made["float32"].scores.values[self._spec.objective]
        return outclassed(self._run.path, self._spec, self._architecture, score, by=1)

    def _deployed(self) -> Deployed:
        from automl.export.deployed import deploy

        return deploy(
            self._network,
            self._task,
            frame_size=self._dataset.frame_size,
            tiled=self._spec.options.input == "tiles",
        )

    def _export(self, deployed: Deployed) -> Path:
        from automl.export.metadata import artifact_metadata
        from automl.export.onnx import export_onnx

        path = self._folder / "float32.onnx"
        metadata = artifact_metadata(self._network, self._task, spec_sha256=self._spec.sha256)
        export_onnx(deployed, path, frame_size=self._dataset.frame_size, metadata=metadata)
        return path

    def _quantize(
        self, name: str, plain: Path, deployed: Deployed, reference: Artifact
    ) -> Artifact:
        from automl.export.schemes.base import QuantizationContext

        folder, quantization = self._context.folder, self._spec.quantization
        quantizing = QuantizationContext(
            calibration=some_frames(folder, Split.TRAIN, quantization.calibration_images),
            score=self._objective,
            float_score=self._reference_objective(plain, reference),
            max_drop=quantization.max_drop,
            instruction_sets=self._context.instruction_sets,
            deadline=lambda: time.monotonic() > self._ends,
        )
        path = plain.with_name(f"{name}.onnx")
        with self._timed("quantize"):
            outcome = registry.load("scheme", name)().apply(plain, path, quantizing)
        return self._artifact(
            name,
            path,
            deployed,
            reference=reference,
            details=outcome.details,
            rejected=outcome.rejected,
        )

    def _objective(self, path: Path) -> float:
        """Return a file's objective; where a threshold decides it, with one of the file's own."""
        if self._spec.objective not in METRICS[self._task.name].settled:
            return self._score(path, _SCORED_IMAGES).values[self._spec.objective]
        with tempfile.TemporaryDirectory(prefix="automl-settled-") as folder:
            copy = Path(shutil.copyfile(path, Path(folder) / path.name))
            self._settle(copy)
            return self._score(copy, _SCORED_IMAGES).values[self._spec.objective]

    def _reference_objective(self, plain: Path, reference: Artifact) -> float:
        """Return float32's objective on the same images that the schemes are scored on."""
        if reference.scores.samples <= _SCORED_IMAGES:
            return reference.scores.values[self._spec.objective]
        return self._objective(plain)

    def _score(self, path: Path, at_most: int | None) -> Scores:
        from automl.export.evaluate import score_artifact

        indices = spread(self._dataset.indices(Split.VAL), at_most)
        judged = judged_images(self._task, self._store, Split.VAL, indices=indices)
        scores = score_artifact(path, self._task, judged, threads=self._context.threads)
        objective_of(scores, self._spec.objective)
        return scores

    def _settle(self, path: Path) -> dict[str, str]:
        """Let the task set on the file what can only be set now; returns what it decided."""
        from automl.predictor import Model

        if not self._task.settles:
            return {}
        model = Model(path, threads=self._context.threads)
        answers, truths = [], []
        for one in judged_images(self._task, self._store, Split.VAL):
            answers.append(model.predict(one.frame))
            truths.append(one.truth)
        return self._task.settle(path, answers, truths)

    def _artifact(
        self,
        scheme: str,
        path: Path,
        deployed: Deployed,
        *,
        reference: Artifact | None = None,
        details: dict[str, str] | None = None,
        rejected: str | None = None,
    ) -> Artifact:
        from automl.export.parity import check_parity

        objective = self._spec.objective
        with self._timed("evaluate"):
            frames = some_frames(self._context.folder, Split.VAL, _PARITY_IMAGES)
            parity: Parity = check_parity(deployed, path, self._task, frames)
            settled = self._settle(path)
            scores = self._score(path, None)
        if reference is None and parity.max_difference > self._task.parity_limit:
            rejected = (
                f"the answers of the exported file differ from those of the trained network by "
                f"{parity.max_difference:.3g}; at most {self._task.parity_limit:g} is rounding"
            )
        float_score = reference.scores.values[objective] if reference is not None else None
        return Artifact(
            scheme=scheme,
            path=str(path.relative_to(self._run.path)),
            sha256=sha256_file(path),
            size_bytes=path.stat().st_size,
            scores=scores,
            parity=parity,
            drop=0.0 if float_score is None else float_score - scores.values[objective],
            rejected=rejected,
            details=(details or {}) | self._tuned | settled,
        )
