"""One trial, in a worker process of Ray: train, export, quantize, score, write the result.

The objective is the score of the exported artifact under its best feasible scheme. Whatever goes wrong
is the result of this trial and of no other: it is recorded with its error and the search goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from automl import registry
from automl.errors import SpecError
from automl.pipeline.artifacts import ArtifactMaker
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.images import open_data, spread
from automl.pipeline.judging import present_classes, task_of
from automl.records import (
    Artifact,
    Epoch,
    Split,
    TrialResult,
    TrialStatus,
)
from automl.search.executor import StepReport
from automl.search.study import Assignment

if TYPE_CHECKING:
    from automl.models.backbones import Network
    from automl.training.examples import Examples
    from automl.training.learner import Learner

__all__ = ["Session", "SessionFactory"]

_FINISH_SECONDS = 12.0
"""First guess of what export, quantization and scoring take; after a trial, its own time is used."""

_TUNING_IMAGES = 200
"""Validation images that decide what a task sets in a trained network."""

_NO_WEIGHTS = (
    "'weights: require' needs pretrained weights, and its source holds none for '{backbone}'. "
    "Leave it out of the search space, set 'weights' to a folder of files, or use 'weights: auto'."
)


@dataclass(frozen=True)
class SessionFactory:
    """Starts the trials of one run in a worker process."""

    context: TrialContext

    def __call__(self, assignment: Assignment) -> Session:
        """Start a trial."""
        return Session(self.context, assignment)


class Session:
    """A trial under way. Never raises: a failure is the trial's result."""

    def __init__(self, context: TrialContext, assignment: Assignment) -> None:
        self._context = context
        self._assignment = assignment
        self._folder = RunFolder(Path(context.folder))
        self._ends = time.monotonic() + max(0.0, context.ends_at - time.time())
        self._seconds: dict[str, float] = {}
        self._trainer: Learner | None = None
        self._network: Network | None = None

    def step(self) -> StepReport:
        """Train one epoch; after the last one (or when time is short) finish the trial."""
        try:
            return self._advance()
        except Exception as error:  # noqa: BLE001 - recorded as this trial's result, shown in the report
            message = str(error) or type(error).__name__
            text = f"{type(error).__name__}: {message}"
            self._folder.write_trial(self._result(TrialStatus.FAILED, (), None, error=text))
            return self._last_report(0.0, f"failed: {message}")

    @property
    def _epochs_done(self) -> int:
        return len(self._trainer.epochs) if self._trainer is not None else 0

    def _advance(self) -> StepReport:
        if self._trainer is None:
            with self._timed("setup"):
                self._trainer = self._prepare()
        trainer = self._trainer
        with self._timed("train"):
            epoch = trainer.run_epoch()
        if epoch.number == trainer.total_epochs or self._is_time_short(epoch):
            # In the same step: the scheduler must not end a trial that is trained already.
            return self._finish()
        self._folder.write_progress(
            self._result(TrialStatus.STOPPED, (), epoch.val_score, error=None)
        )
        return StepReport(
            max(one.val_score for one in trainer.epochs),  # one unlucky epoch ends no trial
            epoch.number,
            max(1, 100 * epoch.number // trainer.total_epochs),
            False,
            f"epoch {epoch.number}/{trainer.total_epochs}, loss {epoch.train_loss:.3f}",
        )

    def _is_time_short(self, epoch: Epoch) -> bool:
        needed = epoch.seconds * 1.2 + _finish_seconds(self._context.folder)
        return self._left_s < needed

    @property
    def _left_s(self) -> float:
        return self._ends - time.monotonic()

    def _prepare(self) -> Learner:
        import torch

        from automl.models.freezing import freeze_parts, frozen_modules

        context, assignment = self._context, self._assignment
        torch.set_num_threads(context.threads)
        seed = context.spec.search.seed * 10_000 + assignment.number
        torch.manual_seed(seed)
        dataset, _ = open_data(context.folder)
        task = task_of(context.spec, dataset)
        architecture, recipe = assignment.architecture, assignment.recipe
        network = task.build(architecture, weights=context.weights.get(architecture.backbone))
        self._network = network
        if context.spec.weights == "require" and network.weights is None:
            raise SpecError(_NO_WEIGHTS.format(backbone=architecture.backbone))
        freeze_parts(network, recipe.freeze)
        learner: Learner = registry.load("learner", task.learner)(
            network,
            task,
            recipe,
            train=self._examples(Split.TRAIN),
            val=self._examples(Split.VAL),
            objective=context.spec.objective,
            frozen=frozen_modules(network.module),
            device="cuda" if context.gpus > 0 and torch.cuda.is_available() else "cpu",
            seed=seed,
            left_s=lambda: self._left_s - _finish_seconds(context.folder),
        )
        return learner

    def _finish(self) -> StepReport:
        started = time.monotonic()
        assert self._network is not None
        tuned = self._tune(self._network)
        made = ArtifactMaker(
            self._context,
            self._assignment,
            self._network,
            tuned=tuned,
            timed=self._timed,
            ends=self._ends,
        ).make()
        artifacts = made.artifacts
        scores = [
            a.scores.values[self._context.spec.objective]
            for a in artifacts
            if a.rejected is None and a.scheme in self._feasible
        ]
        objective = max(scores, default=None)
        _note_finish_seconds(self._context.folder, time.monotonic() - started)
        result = self._result(TrialStatus.FINISHED, artifacts, objective, error=None)
        self._folder.write_trial(replace(result, skipped=made.skipped))
        if objective is None:
            return self._last_report(0.0, "no file of it may be delivered")
        return self._last_report(objective, f"artifact scores {objective:.4f}")

    def _tune(self, network: Network) -> dict[str, str]:
        """Let the task set in the network what the validation images decide."""
        from automl.training.validation import outputs_of

        task = task_of(self._context.spec, open_data(self._context.folder)[0])
        if not task.tunes:
            return {}
        device = next(network.module.parameters()).device.type
        val = self._examples(Split.VAL, at_most=_TUNING_IMAGES)
        with self._timed("validate"):
            outputs = outputs_of(network, task, val, device=device)
            return task.tune(network, outputs, images=len(val))

    def _examples(self, split: Split, at_most: int | None = None) -> Examples:
        """Return the images of a split (at most so many, evenly spread) as the network takes them."""
        from automl.training.examples import Examples

        dataset, store = open_data(self._context.folder)
        side = self._assignment.architecture.image_size
        size, tile = (side, side), None
        if self._context.spec.options.input == "tiles" and dataset.frame_size is not None:
            size, tile = dataset.frame_size, side
        indices = spread(dataset.indices(split), at_most)
        return Examples(
            store.images(indices, size),
            store.truths(indices, size),
            size,
            present_classes(dataset, split),
            tile,
        )

    def _last_report(self, objective: float, text: str) -> StepReport:
        return StepReport(objective, self._epochs_done, 100, True, text)

    @property
    def _feasible(self) -> tuple[str, ...]:
        return self._context.schemes[self._assignment.architecture.key]

    @property
    def _weights(self) -> str | None:
        """What was loaded; as long as there is no network, what is planned."""
        if self._network is not None:
            return self._network.weights
        return self._context.weights.get(self._assignment.architecture.backbone)

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
            weights=self._weights,
            epochs=tuple(self._trainer.epochs) if self._trainer is not None else (),
            artifacts=artifacts,
            objective=objective,
            error=error,
            seconds={name: round(value, 3) for name, value in self._seconds.items()},
            finished_after_s=max(0.0, time.time() - self._context.run_started),
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - started


_finish_times: dict[str, float] = {}


def _finish_seconds(folder: str) -> float:
    return _finish_times.get(folder, _FINISH_SECONDS)


def _note_finish_seconds(folder: str, seconds: float) -> None:
    _finish_times[folder] = max(seconds * 1.2, _finish_times.get(folder, 0.0))
