"""One trial, in a worker process of Ray: train, export, quantize, score, write the result.

A trial of the rung ``probe`` trains nothing: its head was fitted on frozen features. One of the rung
``glance`` trains an epoch at a low resolution and makes no file.

The objective is the score of the exported artifact under its best feasible scheme. Whatever goes wrong
is the result of this trial and of no other: it is recorded with its error and the search goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from automl.pipeline.artifacts import ArtifactMaker
from automl.pipeline.checkpoints import Checkpoints
from automl.pipeline.contention import outclassed
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.images import open_data
from automl.pipeline.judging import task_of
from automl.pipeline.preparing import build_network, check_weights, examples_of, open_learner
from automl.pipeline.probing import FeaturesSession
from automl.pipeline.time_limit import LimitedSession
from automl.records import (
    Artifact,
    Epoch,
    Split,
    TrialResult,
    TrialStatus,
)
from automl.search.executor import StepReport, TrialSession
from automl.search.study import Assignment
from automl.storage import DamagedFileError, storage_error
from automl.training.fidelity import percent_done

if TYPE_CHECKING:
    from automl.models.backbones import Network
    from automl.training.learner import Learner

__all__ = ["Session", "SessionFactory"]

_FINISH_SECONDS = 12.0
"""First guess of what export, quantization and scoring take; after a trial, its own time is used."""

_TUNING_IMAGES = 200
"""Validation images that decide what a task sets in a trained network."""


@dataclass(frozen=True)
class SessionFactory:
    """Starts the trials of one run in a worker process."""

    context: TrialContext

    def __call__(self, assignment: Assignment) -> TrialSession:
        """Start a trial, or a look at frozen features."""
        if assignment.rung == "features":
            return LimitedSession.of(
                FeaturesSession(self.context, assignment), self.context, assignment
            )
        return LimitedSession.of(Session(self.context, assignment), self.context, assignment)


class Session:
    """A trial under way. Never raises: a failure is the trial's result."""

    def __init__(self, context: TrialContext, assignment: Assignment) -> None:
        self._context = context
        self._assignment = assignment
        self._folder = RunFolder(Path(context.folder), owner=context.owner)
        self._began = context.clock.began_here(assignment.handed_out_s)
        self._ends = self._began + context.ends_after_s
        if context.spec.search.trial_time_s is not None:
            self._ends = min(self._ends, time.monotonic() + context.spec.search.trial_time_s)
        self._seconds: dict[str, float] = {}
        self._trainer: Learner | None = None
        self._network: Network | None = None
        self._checkpoints = Checkpoints(self._folder.checkpoint(assignment.id))

    def step(self) -> StepReport:
        """Train one epoch; after the last one (or when time is short) finish the trial."""
        try:
            return self._advance()
        except Exception as error:
            failure = storage_error(error)
            if failure is not None:
                raise failure from error  # no fault of this trial: it counts as not run
            message = str(error) or type(error).__name__
            text = f"{type(error).__name__}: {message}"
            self._folder.write_trial(self._result(TrialStatus.FAILED, (), None, error=text))
            self._checkpoints.clear()
            return self._last_report(0.0, f"failed: {message}", failed=True)

    @property
    def _epochs_done(self) -> int:
        return len(self._trainer.epochs) if self._trainer is not None else 0

    def _advance(self) -> StepReport:
        if self._assignment.rung == "probe":
            return self._deliver_probe()
        if self._trainer is None:
            with self._timed("setup"):
                self._trainer = self._prepare()
        trainer = self._trainer
        if len(trainer.epochs) < trainer.total_epochs:  # else it was cut off while it was exported
            self._run_epoch(trainer)
        epoch = trainer.epochs[-1]
        if self._assignment.rung == "glance":
            return self._end_glance(epoch)
        is_last = epoch.number >= trainer.total_epochs
        if is_last or (self._is_time_short(trainer) and not epoch.is_early):
            # In the same step: the scheduler must not end a trial that is trained already.
            return self._finish(epoch)
        score = _best_comparable(trainer.epochs)
        self._folder.write_progress(self._result(TrialStatus.STOPPED, (), score, error=None))
        return StepReport(
            score,
            epoch.number,
            percent_done(epoch.number, trainer.total_epochs, is_early=epoch.is_early),
            False,
            f"epoch {epoch.number}/{trainer.total_epochs}, loss {epoch.train_loss:.3f}",
        )

    def _run_epoch(self, trainer: Learner) -> None:
        with self._timed("train"):
            trainer.run_epoch()
            if self._assignment.rung == "train":
                self._checkpoints.keep(trainer)

    def _deliver_probe(self) -> StepReport:
        """Make the files of a network whose head was fitted on frozen features."""
        import torch

        torch.set_num_threads(self._context.threads)
        with self._timed("setup"):
            self._network = build_network(self._context, self._assignment)
            check_weights(self._context, self._network)
            self._network.module.eval()
        return self._finish(None)

    def _end_glance(self, epoch: Epoch) -> StepReport:
        self._folder.write_trial(self._result(TrialStatus.FINISHED, (), None, error=None))
        report = self._last_report(epoch.val_score, f"scores {epoch.val_score:.4f} after one epoch")
        return replace(report, seconds=round(self._seconds["train"], 3))

    def _prepare(self) -> Learner:
        """Build the network and its learner, and go on from where an earlier part of the run was."""
        import torch

        torch.set_num_threads(self._context.threads)
        trainer = self._build()
        if self._assignment.rung != "train" or not self._checkpoints.is_there:
            return trainer
        try:
            trainer.restore(self._checkpoints.file)
        except (FileNotFoundError, DamagedFileError):
            self._checkpoints.clear()
            return self._build()  # what was half restored is of no use
        earlier = self._folder.read_progress(self._assignment.id)
        self._seconds = dict(earlier.seconds) if earlier is not None else {}
        return trainer

    def _build(self) -> Learner:
        self._network = build_network(self._context, self._assignment)
        check_weights(self._context, self._network)
        return open_learner(
            self._context,
            self._assignment,
            self._network,
            left_s=lambda: self._left_s - _finish_seconds(self._context.folder),
        )

    def _is_time_short(self, trainer: Learner) -> bool:
        needed = trainer.next_epoch_s * 1.2 + _finish_seconds(self._context.folder)
        return self._left_s < needed

    @property
    def _left_s(self) -> float:
        return self._ends - time.monotonic()

    def _finish(self, epoch: Epoch | None) -> StepReport:
        started = time.monotonic()
        assert self._network is not None
        if epoch is not None and (reason := self._outclassed(epoch.val_score)) is not None:
            return self._end_outclassed(epoch.val_score, reason)
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
        self._checkpoints.clear()
        if objective is None:
            return self._last_report(0.0, "no file of it may be delivered", failed=True)
        return self._last_report(objective, f"artifact scores {objective:.4f}")

    def _outclassed(self, score: float) -> str | None:
        return outclassed(
            self._folder.path, self._context.spec, self._assignment.architecture, score
        )

    def _end_outclassed(self, score: float, reason: str) -> StepReport:
        """End a training whose files could not win, as if the scheduler had ended it."""
        result = self._result(TrialStatus.STOPPED, (), score, error=None)
        self._folder.write_trial(replace(result, skipped=dict.fromkeys(self._feasible, reason)))
        self._checkpoints.clear()
        return self._last_report(score, f"scores {score:.4f}; no files, others are better")

    def _tune(self, network: Network) -> dict[str, str]:
        """Let the task set in the network what the validation images decide."""
        from automl.training.validation import outputs_of

        task = task_of(self._context.spec, open_data(self._context.folder)[0])
        if not task.tunes:
            return {}
        device = next(network.module.parameters()).device.type
        val = examples_of(self._context, self._assignment, Split.VAL, at_most=_TUNING_IMAGES)
        with self._timed("validate"):
            outputs = outputs_of(network, task, val, device=device)
            return task.tune(network, outputs, images=len(val))

    def _last_report(self, objective: float, text: str, *, failed: bool = False) -> StepReport:
        return StepReport(objective, self._epochs_done, 100, True, text, failed)

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
            finished_after_s=max(0.0, time.monotonic() - self._began),
            rung=assignment.rung,
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - started


def _best_comparable(epochs: Sequence[Epoch]) -> float:
    """Return the best score of the epochs that looked at everything, so that one unlucky epoch ends no
    trial; before there is any, that of the others."""
    full = [one.val_score for one in epochs if not one.is_early]
    return max(full or [one.val_score for one in epochs])


_finish_times: dict[str, float] = {}


def _finish_seconds(folder: str) -> float:
    return _finish_times.get(folder, _FINISH_SECONDS)


def _note_finish_seconds(folder: str, seconds: float) -> None:
    _finish_times[folder] = max(seconds * 1.2, _finish_times.get(folder, 0.0))
