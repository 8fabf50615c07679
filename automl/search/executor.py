"""The search itself: Ray Tune runs the trials, the ladder and Optuna propose them, ASHA ends the weak ones.

The same engine serves a laptop (a local Ray is started and ended here) and a cluster (an address). What
a trial does is passed in as a factory of sessions, so this module knows nothing of networks. Ray's own
snapshots are not relied on: each session writes its result itself, and a resumed search is told the
past trials again.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from automl.errors import RunError
from automl.records import Probe, TrialResult
from automl.search.connection import cluster, local_ray
from automl.search.ladder import Ladder
from automl.search.study import Assignment, StudySpace
from automl.training.fidelity import FIRST_JUDGED_PERCENT

__all__ = ["Resources", "SessionFactory", "StepReport", "TrialListener", "TrialSession", "search"]

_REDUCTION = 2
"""ASHA keeps the better half at each rung (Li et al. 2020, "A System for Massively Parallel HPT")."""
_FEW_TRIALS = 3
"""With no more than this, no trial is ended early: hardly another could use its time, and one noisy score
would decide between two."""


@dataclass(frozen=True)
class StepReport:
    """What a session says after each step."""

    objective: float
    """Score of the PyTorch model after an epoch; of the exported artifact after the last step."""
    epoch: int
    percent: int
    """How much of the training is done, 1 to 100."""
    done: bool
    text: str
    failed: bool = False
    """Whether it ended without anything to go by."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Of a set of features: the objective by architecture."""
    seconds: float = 0.0
    """That the ladder counts: of all of a set of features, of training in a glance."""


class TrialSession(Protocol):
    """One trial under way, in a worker process.

    It keeps how far it came by itself, so that another process can go on with it.
    """

    def step(self) -> StepReport:
        """Train one epoch, or after the last one export, quantize, score and write the result."""
        ...


class SessionFactory(Protocol):
    """Starts a session; pickled to the worker processes."""

    def __call__(self, assignment: Assignment) -> TrialSession:
        """Start a trial."""
        ...


class TrialListener(Protocol):
    """Hears of every trial, in the driver process."""

    def started(self, assignment: Assignment) -> None:
        """A trial was handed out."""

    def stepped(self, assignment: Assignment, report: StepReport) -> None:
        """A trial trained an epoch, or finished."""

    def stopped(self, assignment: Assignment) -> None:
        """The scheduler ended a trial early."""

    def crashed(self, assignment: Assignment, error: str) -> None:
        """A trial's process died or raised."""


@dataclass(frozen=True)
class Resources:
    """What trials may use, all together."""

    concurrent: int
    threads: int
    gpus_per_trial: float
    address: str | None
    room: int | None = None
    """Trials that a cluster has room for now, where more may run when it grows; ``None``: all."""

    @property
    def cores(self) -> int:
        """Cores that trials use now, all together."""
        return (self.room or self.concurrent) * self.threads


def search(
    study: StudySpace,
    *,
    factory: SessionFactory,
    listener: TrialListener,
    resources: Resources,
    seed: int,
    ladder: Ladder,
    first: Sequence[Mapping[str, object]],
    tried: Sequence[TrialResult],
    trials: int | None,
    may_start: Callable[[], bool],
    elapsed_s: Callable[[], float],
    time_budget_s: float,
    probes: Sequence[Probe] = (),
    unfinished: Sequence[TrialResult] = (),
) -> None:
    """Run trials until ``trials`` were trained, ``may_start`` says no, or the time is up.

    Args:
        ladder: what is looked at before Optuna proposes trainings.
        first: parameters to try early, in order, such as what worked for other data.
        tried: results of an earlier part of this run; told to Optuna and counted, never run again.
        elapsed_s: seconds of the run until now.
        probes: sets of features of an earlier part of this run.
        unfinished: trainings of an earlier part, as far as they came; they go on first.
        time_budget_s: hard end; sessions are expected to end by themselves before.
    """
    from ray import tune
    from ray.tune import CheckpointConfig, RunConfig, TuneConfig, Tuner

    from automl.search.proposals import METRIC, History, LadderSearch

    trained = sum(result.rung == "train" for result in tried)
    if (trials is not None and trained >= trials) or time_budget_s <= 0 or not may_start():
        return
    with _ray(resources), tempfile.TemporaryDirectory(prefix="automl-tune-") as scratch:
        trainable = tune.with_resources(
            tune.with_parameters(_trainable(), factory=factory, study=study),
            {"cpu": resources.threads, "gpu": resources.gpus_per_trial},
        )
        searcher = LadderSearch(
            study,
            ladder,
            history=History(tried, probes, unfinished),
            seed=seed,
            first=first,
            trials=trials,
            may_start=may_start,
            elapsed_s=elapsed_s,
        )
        tuner = Tuner(
            trainable,
            tune_config=TuneConfig(
                metric=METRIC,
                mode="max",
                search_alg=searcher,
                scheduler=_scheduler(trials),
                num_samples=-1,  # the searcher says when it is over
                max_concurrent_trials=resources.concurrent,
                time_budget_s=time_budget_s,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                storage_path=scratch,
                verbose=0,
                checkpoint_config=CheckpointConfig(
                    checkpoint_frequency=0, checkpoint_at_end=False, num_to_keep=None
                ),
                callbacks=[_callback(study, listener)],
            ),
        )
        with _quiet():
            tuner.fit()


def _scheduler(trials: int | None) -> Any:
    """Return what ends weak trials early, or lets all go on where there are few."""
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    if trials is not None and trials <= _FEW_TRIALS:
        return FIFOScheduler()

    class TrainingsOnly(ASHAScheduler):  # type: ignore[misc]  # Ray is untyped
        """ASHA that compares trainings: a glance or a linear head is none of their kind."""

        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            if trial.config["rung"] == "train":
                super().on_trial_add(tune_controller, trial)

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> Any:
            if trial.config["rung"] != "train":
                return self.CONTINUE
            return super().on_trial_result(tune_controller, trial, result)

        def on_trial_complete(
            self, tune_controller: Any, trial: Any, result: dict[str, Any]
        ) -> None:
            if trial.config["rung"] == "train":
                super().on_trial_complete(tune_controller, trial, result)

        def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
            if trial.config["rung"] == "train":
                super().on_trial_remove(tune_controller, trial)

    return TrainingsOnly(
        time_attr="percent",
        max_t=101,  # a trial ends by itself, with its file written
        grace_period=FIRST_JUDGED_PERCENT,
        reduction_factor=_REDUCTION,
    )


def _trainable() -> type[Any]:
    """Return the actor class; made here so that Ray is imported only when a search begins."""
    from ray import tune

    class TrialActor(tune.Trainable):  # type: ignore[misc]
        """Runs one session after another in the same process, so that imports are paid once."""

        def setup(
            self, config: dict[str, Any], *, factory: SessionFactory, study: StudySpace
        ) -> None:
            self._factory, self._study = factory, study
            self._session: TrialSession | None = None

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._session = None
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Keep nothing here: sessions keep how far they came in the run folder."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Begin the session again, which goes on from what it kept."""
            self._session = None

        def step(self) -> dict[str, Any]:
            if self._session is None:
                number = int(self.config["number"])
                self._session = self._factory(self._study.assignment(self.config, number=number))
            report = self._session.step()
            return {
                "objective": report.objective,
                "epoch": report.epoch,
                "percent": report.percent,
                "done": report.done,
                "finished": report.done,
                "text": report.text,
                "failed": report.failed,
                "scores": json.dumps(dict(report.scores)),  # Tune would flatten a mapping
                "train_s": report.seconds,
            }

    return TrialActor


def _callback(study: StudySpace, listener: TrialListener) -> Any:
    """Return the Tune callback that tells the listener."""
    from ray.tune import Callback

    class Listening(Callback):  # type: ignore[misc]
        """Passes Tune's events on in our own terms."""

        def __init__(self, study: StudySpace, listener: TrialListener) -> None:
            self._study = study
            self._listener = listener
            self._finished: set[str] = set()

        def __getstate__(self) -> dict[str, Any]:
            """Keep nothing: Tune pickles its callbacks into a snapshot that is never read here."""
            return {}

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            self._listener.started(self._assignment(trial))

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            report = StepReport(
                objective=result["objective"],
                epoch=int(result["epoch"]),
                percent=int(result["percent"]),
                done=bool(result["finished"]),
                text=str(result["text"]),
                failed=bool(result["failed"]),
                scores=json.loads(result["scores"]),
            )
            if report.done:
                self._finished.add(trial.trial_id)
            self._listener.stepped(self._assignment(trial), report)

        def on_trial_complete(
            self, iteration: int, trials: list[Any], trial: Any, **_: Any
        ) -> None:
            if trial.trial_id not in self._finished:
                self._listener.stopped(self._assignment(trial))

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            error = trial.get_error() or "its process ended (killed, or out of memory)"
            self._listener.crashed(self._assignment(trial), str(error))

        def _assignment(self, trial: Any) -> Assignment:
            return self._study.assignment(trial.config, number=int(trial.config["number"]))

    return Listening(study, listener)


@contextlib.contextmanager
def _ray(resources: Resources) -> Iterator[None]:
    """Connect to a cluster, or start a local Ray for as long as the search lasts."""
    settings = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        # On a cluster one trial at a time waits for room, so that a node that joins late gets some.
        "TUNE_MAX_PENDING_TRIALS_PG": str(1 if resources.address else resources.concurrent),
        "TUNE_GLOBAL_CHECKPOINT_S": "3600",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_FORCE_TRIAL_CLEANUP_S": "30",  # of a trial that does not end when the search is over
        # Threads that wait must not spin: with anything else on the machine, two spinning threads
        # trained four times slower than two that sleep (0.59 s a step against 2.69 s).
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    address = resources.address
    connected = (
        local_ray(resources.concurrent * resources.threads) if address is None else cluster(address)
    )
    with connected as ray:
        _check_resources(resources, ray.cluster_resources())
        yield


def _check_resources(resources: Resources, found: Mapping[str, float]) -> None:
    """Refuse trials that would wait forever for what no machine has."""
    needs = {"CPU": float(resources.threads), "GPU": resources.gpus_per_trial}
    for name, needed in needs.items():
        if found.get(name, 0.0) < needed:
            raise RunError(
                f"A trial needs {needed:g} {name}, but Ray has {found.get(name, 0.0):g}. Lower "
                f"search.compute.{name.lower()}s, or name a cluster that has them "
                "(search.compute.address)."
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Tune's own reports off the terminal; our listener says what a user should know."""
    import logging

    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray", "ray.train")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
