"""The end of a run: measure again in a fresh process, choose, test once, and state every claim.

Only what is proven here is delivered: the file whose latency bound, size and memory hold, and whose score
on the test split, which nothing has looked at before, is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from automl.data.source import as_file
from automl.errors import AutomlError
from automl.hardware.device import Device, MeasureFailure, MeasureRequest
from automl.pipeline.claims import state_claims
from automl.pipeline.folder import RunFolder
from automl.pipeline.jobs import EvaluateJob, Evaluation, evaluate_artifact
from automl.pipeline.observer import Observer
from automl.pipeline.workers import WorkerPool
from automl.records import (
    Dataset,
    Measurement,
    Plan,
    Prediction,
    Selection,
    Spec,
    Split,
    Target,
    TargetSelection,
    TrialResult,
    runs_for_bound,
)
from automl.search.relaxation import (
    Shortfall,
    limits_shortfall,
    plan_shortfall,
    requirements_shortfall,
)
from automl.search.selection import (
    Contender,
    choosing_requirements,
    contenders,
    limit_missed,
    losing_reasons,
    requirement_missed,
)

__all__ = ["Prover", "proof_seconds"]

PROOF_RUNS = 1_000
PROOF_SECONDS = 20.0
"""A file is timed for this many runs, or for this long when it is slow."""
_TIME_A_RUN = 2.2
"""Of a slow network one run in three is not timed, and the machine may be slower than while planning."""
_MEASURED_TOGETHER = 3
"""The best and two runners-up take turns in one process, so that they are compared fairly."""
_FIXED_SECONDS = 12.0
"""Starting processes, reading images, judging, the bundle and the report."""


def proof_seconds(spec: Spec, plan: Plan, dataset: Dataset) -> float:
    """Return the time to keep back for the proof, from what planning measured."""
    feasible = [v.measurement for v in plan.verdicts if v.status.is_feasible and v.measurement]
    slowest_ms = max((m.p50_ms.value for m in feasible), default=0.0)
    timed = min(PROOF_SECONDS, PROOF_RUNS * slowest_ms / 1e3) * _MEASURED_TOGETHER
    tested = len(dataset.indices(Split.TEST)) * slowest_ms * 2 / 1e3
    return len(spec.targets) * (1.3 * timed + tested) + _FIXED_SECONDS


@dataclass(frozen=True)
class _Outcome:
    """What measuring the contenders in turn led to."""

    winner: Contender | None
    measured: dict[str, Measurement]
    """By artifact SHA-256."""
    missed: dict[str, tuple[str, str]]


class Prover:
    """Chooses and proves the winner of each target of one run."""

    def __init__(
        self,
        spec: Spec,
        dataset: Dataset,
        plan: Plan,
        trials: Sequence[TrialResult],
        *,
        folder: RunFolder,
        device: Device,
        pool: WorkerPool,
        observer: Observer,
        doubtful: Sequence[str] = (),
    ) -> None:
        """Prepare to prove.

        Args:
            doubtful: paths of test images that stand, nearly, among the training images too.
        """
        self._doubtful = tuple(doubtful)
        self._spec = spec
        self._dataset = dataset
        self._plan = plan
        self._trials = trials
        self._folder = folder
        self._device = device
        self._pool = pool
        self._observer = observer
        self._evaluations: dict[str, Evaluation] = {}

    def prove(self) -> Selection:
        """Return the outcome for every target."""
        self._observer.stage("proof")
        return Selection(tuple(self._target(target) for target in self._spec.targets))

    def _target(self, target: Target) -> TargetSelection:
        spec = self._spec
        ranked = contenders(target, self._plan, self._trials, objective=spec.objective)
        missed: dict[str, tuple[str, str]] = {}
        able = []
        for contender in ranked:
            scores = contender.artifact.scores
            required = choosing_requirements(spec.requirements, scores)
            short = requirement_missed(required, scores.values)
            if short is None:
                able.append(contender)
            else:
                missed[contender.artifact.sha256] = short
        outcome = self._choose(target, able)
        missed.update(outcome.missed)
        reasons = losing_reasons(
            target,
            self._plan,
            self._trials,
            winner=outcome.winner,
            missed=missed,
            objective=spec.objective,
        )
        runners_up = tuple(
            (c.candidate, outcome.measured[c.artifact.sha256])
            for c in able
            if c.artifact.sha256 in outcome.measured and c is not outcome.winner
        )
        if outcome.winner is None:
            short_by = self._shortfall(target, ranked, able, outcome)
            return TargetSelection(
                target=target,
                winner=None,
                trial_id=None,
                candidate=None,
                measurement=None,
                test_scores=None,
                claims=(),
                reasons=reasons,
                runners_up=runners_up,
                predictions=(),
                best_reached=short_by.best_reached,
                binding=short_by.binding,
                relaxation=short_by.relaxation,
            )
        winner = outcome.winner
        measured = outcome.measured[winner.artifact.sha256]
        evaluation = self._test(winner)
        return TargetSelection(
            target=target,
            winner=winner.artifact,
            trial_id=winner.trial.id,
            candidate=winner.candidate,
            measurement=measured,
            test_scores=evaluation.scores,
            claims=state_claims(
                target, measured, spec.requirements, evaluation.scores, spec.objective
            ),
            reasons=reasons,
            runners_up=runners_up,
            predictions=evaluation.predictions,
            best_reached=None,
            binding=None,
            relaxation=None,
            without_leaks=evaluation.without_doubtful,
        )

    def _choose(self, target: Target, able: Sequence[Contender]) -> _Outcome:
        """Measure contenders, best first, a few in turns, until one holds every limit."""
        outcome = _Outcome(None, {}, {})
        for start in range(0, len(able), _MEASURED_TOGETHER):
            part = able[start : start + _MEASURED_TOGETHER]
            self._observer.progress(
                f"measuring {', '.join(c.candidate.key for c in part)} in a fresh process"
            )
            for contender, answer in zip(part, self._measure(target, part), strict=True):
                sha256 = contender.artifact.sha256
                if not isinstance(answer, Measurement):
                    outcome.missed[sha256] = (
                        "can be run",
                        f"could not be measured: {answer.error}",
                    )
                    continue
                outcome.measured[sha256] = answer
                short = limit_missed(target, answer)
                if short is not None:
                    outcome.missed[sha256] = short
            winner = next((c for c in part if c.artifact.sha256 not in outcome.missed), None)
            if winner is not None:
                return _Outcome(winner, outcome.measured, outcome.missed)
        return outcome

    def _measure(
        self, target: Target, part: Sequence[Contender]
    ) -> tuple[Measurement | MeasureFailure, ...]:
        """Measure contenders in turns; all once more when other work made one miss a limit."""
        requests = [self._request(target, contender) for contender in part]
        answers = self._device.measure(requests)
        if any(
            isinstance(answer, Measurement)
            and answer.is_disturbed
            and limit_missed(target, answer) is not None
            for answer in answers
        ):
            self._observer.note("other work disturbed the measurement; measuring once more")
            answers = self._device.measure(requests)
        return answers

    def _request(self, target: Target, contender: Contender) -> MeasureRequest:
        sample = self._dataset.samples[self._dataset.indices(Split.VAL)[0]]
        return MeasureRequest(
            path=str(self._folder.path / contender.artifact.path),
            sha256=contender.artifact.sha256,
            threads=target.threads,
            scope=target.scope,
            frame_size=self._dataset.typical_frame,
            min_runs=PROOF_RUNS,
            min_seconds=0.0,
            budgets=target.latency,
            stop_early=False,
            memory=True,
            image=str(as_file(Path(self._dataset.root), sample.path)),
            max_seconds=self._seconds(target, contender),
        )

    def _seconds(self, target: Target, contender: Contender) -> float:
        """Return how long a file may be timed: long enough for a bound of every percentile asked."""
        planned = contender.planned
        if planned is None:
            return PROOF_SECONDS * 1.25
        runs = max((runs_for_bound(b.percentile) for b in target.latency), default=0)
        return max(PROOF_SECONDS * 1.25, runs * planned.p99_ms.value * _TIME_A_RUN / 1e3)

    def _test(self, winner: Contender) -> Evaluation:
        """Judge an artifact on the test split: once, also when it wins on several targets."""
        sha256 = winner.artifact.sha256
        if sha256 not in self._evaluations:
            self._observer.progress(f"testing {winner.candidate.key} on the test images")
            job = EvaluateJob(
                artifact=str(self._folder.path / winner.artifact.path),
                dataset=self._dataset,
                split=Split.TEST,
                task=self._spec.task,
                options=self._spec.options,
                threads=1,
                pictures=str(self._folder.pictures(sha256)),
                doubtful=self._doubtful,
            )
            (result,) = self._pool.map(evaluate_artifact, [job])
            if not isinstance(result, Evaluation):
                raise AutomlError(f"The winner could not be tested: {result.error}")
            self._evaluations[sha256] = replace(
                result, predictions=self._with_paths(result.predictions, sha256)
            )
        return self._evaluations[sha256]

    def _with_paths(self, predictions: Sequence[Prediction], sha256: str) -> tuple[Prediction, ...]:
        """Name drawn answers by their path below the run folder."""
        below = self._folder.pictures(sha256).relative_to(self._folder.path)
        return tuple(
            p if p.picture is None else replace(p, picture=f"{below.as_posix()}/{p.picture}")
            for p in predictions
        )

    def _shortfall(
        self,
        target: Target,
        ranked: Sequence[Contender],
        able: Sequence[Contender],
        outcome: _Outcome,
    ) -> Shortfall:
        if ranked and not able:
            required = choosing_requirements(self._spec.requirements, ranked[0].artifact.scores)
            return requirements_shortfall(required, ranked)
        final = {
            c.candidate: outcome.measured[c.artifact.sha256]
            for c in able
            if c.artifact.sha256 in outcome.measured
        }
        if final:
            return limits_shortfall(target, final)
        fits = any(v.target == target.name and v.status.is_feasible for v in self._plan.verdicts)
        return _nothing_made(self._trials) if fits else plan_shortfall(target, self._plan)


def _nothing_made(trials: Sequence[TrialResult]) -> Shortfall:
    errors = [t.error for t in trials if t.error is not None]
    if errors:
        return Shortfall(
            f"{len(trials)} trials, none of which gave a file that may be delivered",
            f"training: {errors[-1]}",
            "see the errors of the trials; a longer search.time tries more networks",
        )
    return Shortfall(
        "networks that fit were found, but none was trained to the end",
        "search.time",
        "a longer search.time in the spec, and a new run",
    )
