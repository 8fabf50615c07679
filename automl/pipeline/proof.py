"""The end of a run: look at the delivered files again, choose, test once, and state every claim.

Only what is proven here is called proven: the file whose latency bound, size and memory hold in a fresh
process on the target's device, and whose score on the test split, which nothing has looked at before, is
its own. Each target is decided by itself; a device that is lost costs its own targets only.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from automl.data.source import read_source
from automl.errors import AutomlError
from automl.pipeline.agreement import check_agreement
from automl.pipeline.choice import (
    PROOF_RUNS,
    PROOF_SECONDS,
    TOGETHER,
    Choice,
    Chooser,
    timing_seconds,
)
from automl.pipeline.claims import state_claims
from automl.pipeline.devices import Devices
from automl.pipeline.folder import RunFolder
from automl.pipeline.images import spread
from automl.pipeline.jobs import EvaluateJob, Evaluation, evaluate_artifact
from automl.pipeline.observer import Observer
from automl.pipeline.workers import WorkerPool
from automl.records import (
    Candidate,
    Claim,
    Dataset,
    Forecast,
    Measurement,
    Plan,
    Prediction,
    Reason,
    Selection,
    Spec,
    Split,
    Target,
    TargetSelection,
    TrialResult,
)
from automl.search.relaxation import (
    Shortfall,
    limits_shortfall,
    lost_shortfall,
    plan_shortfall,
    requirements_shortfall,
)
from automl.search.selection import (
    Contender,
    choosing_requirements,
    contenders,
    losing_reasons,
    requirement_missed,
)

__all__ = ["Prover", "proof_seconds"]

_FIXED_SECONDS = 12.0
"""Starting processes, reading images, judging, the bundle and the report."""
_COMPARED_IMAGES = 8
"""Whose answers are compared between a device elsewhere and this machine."""


def proof_seconds(spec: Spec, plan: Plan, dataset: Dataset) -> float:
    """Return the time to keep back for the proof, from what planning found out.

    What is predicted for a device takes no measuring.
    """
    return _FIXED_SECONDS + sum(_target_seconds(t, plan, dataset) for t in spec.targets)


def _target_seconds(target: Target, plan: Plan, dataset: Dataset) -> float:
    own = [v for v in plan.verdicts if v.target == target.name]
    feasible = [v.evidence for v in own if v.status.is_feasible and v.evidence is not None]
    slowest_ms = max((known.p50_ms.value for known in feasible), default=0.0)
    tested = len(dataset.indices(Split.TEST)) * slowest_ms * 2 / 1e3
    if target.device not in plan.hosts and any(v.forecast is not None for v in own):
        return tested
    timed = min(PROOF_SECONDS, PROOF_RUNS * slowest_ms / 1e3) * TOGETHER
    longer = timing_seconds(target, slowest_ms) - timing_seconds(target, 0.0)
    return 1.3 * timed + longer + tested


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
        devices: Devices,
        pool: WorkerPool,
        observer: Observer,
        doubtful: Sequence[str] = (),
        decided: Sequence[TargetSelection] = (),
    ) -> None:
        """Prepare to prove.

        Args:
            doubtful: paths of test images that stand, nearly, among the training images too.
            decided: targets that need no deciding, because an earlier part of the run did it.
        """
        self._decided = tuple(decided)
        self._doubtful = tuple(doubtful)
        self._spec = spec
        self._dataset = dataset
        self._plan = plan
        self._trials = trials
        self._folder = folder
        self._devices = devices
        self._pool = pool
        self._observer = observer
        self._chooser = Chooser(dataset, folder=folder, devices=devices, observer=observer)
        self._evaluations: dict[str, Evaluation] = {}

    def prove(self) -> Selection:
        """Return the outcome for every target.

        Raises:
            AutomlError: when no device answers any more, so that nothing can be decided.
        """
        self._observer.stage("proof")
        self._devices.try_again()
        known = {chosen.target.name: chosen for chosen in self._decided}
        undecided = [target for target in self._spec.targets if target.name not in known]
        known |= {target.name: self._target(target) for target in undecided}
        lost = self._devices.why_none_left(undecided)
        if lost is not None:
            command = f"automl resume {shlex.quote(str(self._folder.path))}"
            raise AutomlError(f"{lost} What was trained is kept; then go on with: {command}")
        return Selection(tuple(known[target.name] for target in self._spec.targets))

    def _target(self, target: Target) -> TargetSelection:
        objective = self._spec.objective
        ranked = contenders(target, self._plan, self._trials, objective=objective)
        able, missed = self._able(ranked)
        choice = self._chooser.choose(target, able)
        reasons = losing_reasons(
            target,
            self._plan,
            self._trials,
            winner=choice.winner,
            missed=missed | choice.missed,
            objective=objective,
        )
        runners_up = tuple(
            (contender.candidate, measured)
            for contender in able
            if contender is not choice.winner
            and isinstance(measured := choice.known.get(contender.artifact.sha256), Measurement)
        )
        if choice.winner is None:
            short_by = self._shortfall(target, ranked, able, choice)
            return _without_winner(target, reasons, runners_up, short_by, lost=choice.lost)
        return self._with_winner(target, choice.winner, choice, reasons, runners_up)

    def _able(
        self, ranked: Sequence[Contender]
    ) -> tuple[list[Contender], dict[str, tuple[str, str]]]:
        """Divide contenders into those with the required scores, and what the others miss."""
        able, missed = [], {}
        for contender in ranked:
            scores = contender.artifact.scores
            required = choosing_requirements(self._spec.requirements, scores)
            short = requirement_missed(required, scores.values)
            if short is None:
                able.append(contender)
            else:
                missed[contender.artifact.sha256] = short
        return able, missed

    def _with_winner(
        self,
        target: Target,
        winner: Contender,
        choice: Choice,
        reasons: tuple[Reason, ...],
        runners_up: tuple[tuple[Candidate, Measurement], ...],
    ) -> TargetSelection:
        spec, known = self._spec, choice.known[winner.artifact.sha256]
        evaluation = self._test(winner)
        claims = state_claims(target, known, spec.requirements, evaluation.scores, spec.objective)
        return TargetSelection(
            target=target,
            winner=winner.artifact,
            trial_id=winner.trial.id,
            candidate=winner.candidate,
            measurement=known if isinstance(known, Measurement) else None,
            test_scores=evaluation.scores,
            claims=(*claims, *self._agreement(target, winner)),
            reasons=reasons,
            runners_up=runners_up,
            predictions=evaluation.predictions,
            best_reached=None,
            binding=None,
            relaxation=None,
            without_leaks=evaluation.without_doubtful,
            forecast=known if isinstance(known, Forecast) else None,
        )

    def _agreement(self, target: Target, winner: Contender) -> tuple[Claim, ...]:
        """Return the claim that a device elsewhere answers as this machine does, which scored it."""
        device = self._devices.answering(target)
        if device is None:
            return ()
        self._observer.progress(f"comparing the answers of {target.device} with those here")
        dataset = self._dataset
        names = [
            dataset.samples[i].path for i in spread(dataset.indices(Split.VAL), _COMPARED_IMAGES)
        ]
        return (
            check_agreement(
                self._folder.path / winner.artifact.path,
                winner.artifact.sha256,
                winner.artifact.scheme,
                target=target,
                device=device,
                images=[read_source(Path(dataset.root), name) for name in names],
            ),
        )

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
        choice: Choice,
    ) -> Shortfall:
        if ranked and not able:
            required = choosing_requirements(self._spec.requirements, ranked[0].artifact.scores)
            return requirements_shortfall(required, ranked)
        final = {
            c.candidate: choice.known[c.artifact.sha256]
            for c in able
            if c.artifact.sha256 in choice.known
        }
        if final:
            return limits_shortfall(target, final)
        if choice.lost is not None:
            return lost_shortfall(target, choice.lost)
        if able:
            _, why = choice.missed[able[0].artifact.sha256]
            return Shortfall(f"{able[0].candidate.key}: {why}", "can be run", "see the error")
        fits = any(v.target == target.name and v.status.is_feasible for v in self._plan.verdicts)
        return _nothing_made(self._trials) if fits else plan_shortfall(target, self._plan)


def _without_winner(
    target: Target,
    reasons: tuple[Reason, ...],
    runners_up: tuple[tuple[Candidate, Measurement], ...],
    short_by: Shortfall,
    *,
    lost: str | None,
) -> TargetSelection:
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
        lost=lost,
    )


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
