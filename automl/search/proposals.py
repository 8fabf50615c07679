"""What Ray Tune is told to run next: first what the ladder asks for, then what Optuna proposes.

Decides how the two meet. The ladder's looks are no trials to Optuna: their scores are of other things than
trained networks. It hears of them only by what it is given: the survivors as its space, and the points to
begin with. Every proposal follows from the seed, the number of the trial and the results so far, so that a
resumed search goes on as if it had never stopped.

Imported only where a search begins, because it needs Ray and Optuna.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from automl.records import Probe, TrialResult
from automl.search.climb import Climb
from automl.search.ladder import Ladder, Step, probe_id
from automl.search.sampling import NumberedSampler
from automl.search.study import (
    Assignment,
    Parameters,
    StudySpace,
    assignment_parameters,
    told_value,
)

__all__ = ["METRIC", "History", "LadderSearch"]

METRIC = "objective"


@dataclass(frozen=True)
class History:
    """What an earlier part of the run left."""

    tried: Sequence[TrialResult] = ()
    """Trials that ended: told to Optuna and counted, never run again."""
    probes: Sequence[Probe] = ()
    unfinished: Sequence[TrialResult] = ()
    """Trainings that were cut off, as far as they came: they go on first, under their own numbers."""


class LadderSearch(Searcher):  # type: ignore[misc]  # Ray is untyped
    """Climbs the ladder, then lets Optuna propose recipes for what survived.

    Args:
        study: the feasible architectures with the recipes of the space.
        ladder: what comes before Optuna's proposals.
        history: of an earlier part of the run.
        seed: of the search.
        first: parameters to try early, best guess first, such as what worked for other data; those
            that are not in the space of the survivors are left out.
        trials: trainings at most, those of the history included.
        may_start: asked before each; once it says no, the search ends.
        elapsed_s: seconds of the run until now.
    """

    def __init__(
        self,
        study: StudySpace,
        ladder: Ladder,
        *,
        history: History,
        seed: int,
        first: Sequence[Mapping[str, object]],
        trials: int | None,
        may_start: Callable[[], bool],
        elapsed_s: Callable[[], float],
    ) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._study = study
        self._ladder = ladder
        self._climb = Climb.of(history.probes, history.tried)
        self._unfinished = list(history.unfinished)
        self._first = first
        self._trials = trials
        self._may_start = may_start
        self._elapsed_s = elapsed_s
        self._sampler = NumberedSampler(seed)
        self._optuna: OptunaSearch | None = None
        self._points: list[Parameters] = []
        """What is still to be trained before Optuna proposes."""
        self._number = max((t.number for t in (*history.tried, *history.unfinished)), default=0)
        self._known = [
            (assignment_parameters(t.architecture, t.recipe), told_value(t))
            for t in history.tried
            if t.rung == "train"
        ]
        """Trainings that Optuna did not propose in this part of the run, with their scores."""
        self._begun = len(self._known)
        self._open: dict[str, tuple[Assignment, bool]] = {}
        """By Tune's id: what is under way, and whether Optuna proposed it."""

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **_: Any
    ) -> bool:
        """Accept what was set when this was made."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next trial's configuration, ``None`` to be asked again, or that it is over."""
        if not self._may_start():
            return str(Searcher.FINISHED)
        if self._unfinished:
            cut_off = self._unfinished.pop(0)
            self._begun += 1
            parameters = assignment_parameters(cut_off.architecture, cut_off.recipe)
            return self._begin(trial_id, {**parameters, "number": cut_off.number})
        if self._trials is not None and self._begun >= self._trials:
            return str(Searcher.FINISHED)
        step = self._ladder.next(self._climb) if self._optuna is None else None
        if step == "wait":
            return None
        return self._propose(trial_id) if step is None else self._take(trial_id, step)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on how a trial that Optuna proposed goes."""
        _, is_optunas = self._open[trial_id]
        if is_optunas and self._optuna is not None:
            self._optuna.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take in what a trial gave; one that died counts as worthless, as it does when told again."""
        known = self._open.pop(trial_id, None)
        if known is None:
            return
        assignment, is_optunas = known
        self._climb.under_way.discard(_name(assignment))
        failed = error or not result or bool(result.get("failed", False))
        score = 0.0 if failed or result is None else float(result[METRIC])
        seconds = float((result or {}).get("train_s", 0.0))
        if assignment.rung == "features":
            scores = {} if failed or result is None else json.loads(result["scores"])
            self._climb.note_features(assignment.id, scores, seconds)
            return
        self._climb.note(
            assignment.rung, assignment.architecture, None if failed else score, seconds
        )
        if assignment.rung != "train":
            return
        if is_optunas and self._optuna is not None:
            self._optuna.on_trial_complete(trial_id, {METRIC: score})
            return
        point = assignment_parameters(assignment.architecture, assignment.recipe)
        self._known.append((point, score))
        if self._optuna is not None:
            self._tell(point, score)

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: a resumed search is told the results again."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: see :meth:`save`."""

    def _take(self, trial_id: str, step: Step) -> dict[str, Any]:
        """Begin what the ladder asks for. Sets of features are no trials and have no number."""
        number = 0
        if step.rung != "features":
            self._number += 1
            number = self._number
        if step.rung == "train":
            self._begun += 1
        parameters = assignment_parameters(step.architecture, step.recipe)
        config = {**parameters, "number": number, "rung": step.rung, "place": step.place}
        return self._begin(trial_id, config)

    def _propose(self, trial_id: str) -> dict[str, Any]:
        """Begin what is to be trained first, then what Optuna proposes.

        Optuna is told of the former when they end, as it is in a resumed search: so it has heard of the
        same trainings in the same order.
        """
        if self._optuna is None:
            self._optuna = self._open_optuna()
            self._points = self._first_points(self._optuna._space)
        self._number += 1
        self._begun += 1
        if self._points:
            return self._begin(trial_id, {**self._points.pop(0), "number": self._number})
        self._sampler.begin(self._number)
        parameters: Parameters = self._optuna.suggest(trial_id)
        return self._begin(trial_id, {**parameters, "number": self._number}, is_optunas=True)

    def _begin(
        self, trial_id: str, config: dict[str, Any], *, is_optunas: bool = False
    ) -> dict[str, Any]:
        config = {"rung": "train", "place": "", **config, "handed_out_s": self._elapsed_s()}
        assignment = self._study.assignment(config, number=int(config["number"]))
        self._open[trial_id] = (assignment, is_optunas)
        self._climb.under_way.add(_name(assignment))
        if assignment.rung == "train":
            self._climb.begin_training(assignment.architecture)
        return config

    def _open_optuna(self) -> OptunaSearch:
        """Return Optuna's search over the survivors, told what was trained already."""
        survivors = set(self._ladder.survivors(self._climb))
        kept = tuple(a for a in self._study.architectures if a in survivors)
        space = replace(self._study, architectures=kept).distributions()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        searcher = OptunaSearch(
            space=space,
            metric=METRIC,
            mode="max",
            sampler=self._sampler,
        )
        self._optuna = searcher
        for point, score in self._known:
            self._tell(point, score)
        return searcher

    def _first_points(self, space: Mapping[str, Any]) -> list[Parameters]:
        """Return what to train before Optuna proposes its own, but for what was begun already."""
        own = [assignment_parameters(*point) for point in self._ladder.points(self._climb)]
        points = [*own[:1], *(dict(point) for point in self._first), *own[1:]]
        done = [point for point, _ in self._known]
        done += [
            assignment_parameters(a.architecture, a.recipe)
            for a, _ in self._open.values()
            if a.rung == "train"
        ]
        fresh: list[Parameters] = []
        for point in points:
            if point not in done and point not in fresh and _is_in(space, point):
                fresh.append(point)
        return fresh

    def _tell(self, point: Parameters, score: float) -> None:
        """Tell Optuna of a training, if it is of the space: that may have changed since."""
        assert self._optuna is not None  # told only after it was opened
        if _is_in(self._optuna._space, point):
            self._optuna.add_evaluated_point(point, score)


def _name(assignment: Assignment) -> str:
    if assignment.rung == "features":
        return f"features {probe_id(assignment.architecture)}"
    return f"{assignment.rung} {assignment.architecture.key}"


def _is_in(space: Mapping[str, Any], point: Mapping[str, object]) -> bool:
    """Whether Optuna would take a point: all parameters, each within its range."""
    try:
        optuna.trial.create_trial(value=0.0, params=dict(point), distributions=dict(space))
    except (ValueError, TypeError):
        return False
    return True
