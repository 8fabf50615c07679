"""What the driver does when a trial starts, trains an epoch, ends or dies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from automl.pipeline.folder import RunFolder
from automl.pipeline.observer import Observer
from automl.pipeline.time_limit import hang_text
from automl.records import Probe, Rung, TrialResult, TrialStatus
from automl.search.executor import StepReport
from automl.search.study import Assignment

__all__ = ["Listener"]

_WORDS: Mapping[Rung, str] = MappingProxyType(
    {
        "features": "probe",
        "probe": "delivery of a probe",
        "glance": "glance",
        "train": "trial",
    }
)
"""What the diary calls a trial on each rung of the ladder."""


class Listener:
    """Keeps the diary, tells the observer, and records trials that could not do it themselves.

    Args:
        tried: results of an earlier part of the run, for the best score so far.
        left_s: seconds until the search ends.
        changed: called after each trial, to keep the state of the run.
    """

    def __init__(
        self,
        folder: RunFolder,
        observer: Observer,
        *,
        tried: Sequence[TrialResult],
        left_s: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._observer = observer
        self._left_s = left_s
        self._changed = changed
        self._open: dict[str, Assignment] = {}
        finished = [t.objective for t in tried if t.status is TrialStatus.FINISHED]
        self._best = max((score for score in finished if score is not None), default=None)

    def started(self, assignment: Assignment) -> None:
        """Say that a trial began."""
        self._open[assignment.id] = assignment
        self._forget_other(assignment)
        self._folder.log(f"{_WORDS[assignment.rung]} started", trial=assignment.id)
        self._tell(assignment, "starts")

    def _forget_other(self, assignment: Assignment) -> None:
        """Forget how far another trial of an earlier part of the run came that had the same id."""
        known = self._folder.read_progress(assignment.id)
        if known is None or (known.rung, known.recipe) != (assignment.rung, assignment.recipe):
            self._folder.clear_progress(assignment.id)
            if assignment.rung == "train":
                self._folder.write_progress(
                    _empty(assignment)
                )  # is run again should the run be killed

    def stepped(self, assignment: Assignment, report: StepReport) -> None:
        """Say what a trial's last step gave."""
        if not report.done:
            self._tell(assignment, f"{report.text}, score {report.objective:.4f}")
            return
        self._open.pop(assignment.id, None)
        name = f"{_WORDS[assignment.rung]} ended"
        self._folder.log(name, trial=assignment.id, objective=report.objective)
        if assignment.rung in ("probe", "train") and report.objective > (self._best or 0.0):
            self._best = report.objective
        self._observer.note(f"{_title(assignment)}: {report.text}")
        self._tell(assignment, "done")
        self._changed()

    def stopped(self, assignment: Assignment) -> None:
        """Record a trial that the scheduler ended between two epochs."""
        if self._is_recorded(assignment):
            return
        result = self._folder.read_progress(assignment.id)
        if result is None or result.objective is None:
            self.crashed(assignment, "it was ended before its first epoch")
            return
        self._open.pop(assignment.id, None)
        self._folder.write_trial(replace(result, status=TrialStatus.STOPPED))
        self._folder.checkpoint(assignment.id).unlink(missing_ok=True)
        self._folder.log("trial stopped", trial=assignment.id, epochs=len(result.epochs))
        self._observer.note(
            f"trial {assignment.id}: stopped after epoch {len(result.epochs)}, others were better"
        )
        self._changed()

    def crashed(self, assignment: Assignment, error: str) -> None:
        """Record a trial whose process died."""
        if self._is_recorded(assignment):
            return
        self._open.pop(assignment.id, None)
        error = hang_text(self._folder, assignment.id) or error
        if assignment.rung == "features":
            self._folder.write_probe(_unknown(assignment, error))
        else:
            known = self._folder.read_progress(assignment.id) or _empty(assignment)
            self._folder.write_trial(
                replace(known, status=TrialStatus.FAILED, objective=None, error=error)
            )
            self._folder.checkpoint(assignment.id).unlink(missing_ok=True)
        self._folder.log(f"{_WORDS[assignment.rung]} crashed", trial=assignment.id, error=error)
        self._observer.note(f"{_title(assignment)}: failed: {error}")
        self._changed()

    def close(self) -> None:
        """Record trials that the end of the search cut off, so that none is left open."""
        for assignment in list(self._open.values()):
            if assignment.rung == "features":
                continue  # nothing of it was promised
            self.crashed(assignment, "search.time was up while it was being trained")

    def _is_recorded(self, assignment: Assignment) -> bool:
        """Whether a trial wrote its result and was ended before it could say so: it is kept."""
        if assignment.rung == "features":
            return self._folder.read_probe(assignment.id) is not None
        result = self._folder.read_trial(assignment.id)
        if result is None:
            return False
        self._open.pop(assignment.id, None)
        self._folder.log("trial ended", trial=assignment.id, objective=result.objective)
        self._changed()
        return True

    def _tell(self, assignment: Assignment, text: str) -> None:
        self._observer.progress(
            f"{_title(assignment)}: {text}", best=self._best, left_s=max(0.0, self._left_s())
        )


def _title(assignment: Assignment) -> str:
    """Name a trial for people: ``trial 0003-…``, or where on the ladder it stands."""
    if assignment.rung == "train":
        return f"trial {assignment.id}"
    architecture = assignment.architecture
    if assignment.rung == "features":
        return f"{assignment.place} ({architecture.backbone} at {architecture.image_size} px)"
    return f"{assignment.place} ({architecture.key})"


def _unknown(assignment: Assignment, error: str) -> Probe:
    return Probe(
        id=assignment.id,
        backbone=assignment.architecture.backbone,
        image_size=assignment.architecture.image_size,
        scores={},
        heads={},
        neighbours={},
        images=0,
        error=error,
        seconds={},
        finished_after_s=0.0,
    )


def _empty(assignment: Assignment) -> TrialResult:
    return TrialResult(
        id=assignment.id,
        number=assignment.number,
        architecture=assignment.architecture,
        recipe=assignment.recipe,
        status=TrialStatus.FAILED,
        weights=None,
        epochs=(),
        artifacts=(),
        objective=None,
        error=None,
        seconds={},
        finished_after_s=0.0,
        rung=assignment.rung,
    )
