"""Runs that nobody trained, for measuring what a search costs beside its trials.

Every file is a real one: the plan, each trial's result and the selection are the records that a run writes,
with numbers drawn from a generator, so that what reads them (resuming, choosing, the report) does all its
work. Only the networks behind them do not exist.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from automl.export.metadata import package_versions
from automl.hardware.host import local_host
from automl.pipeline.folder import RunFolder, RunState
from automl.pipeline.observer import Silent
from automl.pipeline.planning import prepare_data, read_space
from automl.records import (
    Architecture,
    Artifact,
    Candidate,
    Epoch,
    Host,
    Interval,
    Measurement,
    Parity,
    Plan,
    PlannedArchitecture,
    Prediction,
    PreparedData,
    Scope,
    Scores,
    Selection,
    Spec,
    Split,
    StageTime,
    Target,
    TargetSelection,
    TrialResult,
    TrialStatus,
    Verdict,
    VerdictStatus,
)
from automl.search.selection import contenders, losing_reasons
from automl.search.study import Assignment, StudySpace
from automl.spec import load_spec

__all__ = ["begin_run", "end_run", "made_result"]

_WRONG = "Loses {drop:.1%} against float32, more than quantization.max_drop (1.0 %) allows."
_FLOAT_BYTES = 4


def begin_run(path: Path, spec_path: Path) -> tuple[RunFolder, StudySpace]:
    """Write all that is there when a search begins, and return the folder and what is searched.

    The spec and its data are read as ever; a draw stands in for measuring untrained networks.
    """
    spec = load_spec(spec_path)
    path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path)
    folder.write_spec(spec)
    folder.write_data(prepare_data(spec, Silent()))
    folder.write_plan(_plan(spec, _data(folder)))
    stages = (StageTime("data", 0.6), StageTime("quality", 4.0), StageTime("plan", 48.0))
    folder.write_state(
        RunState("2026-01-01T00:00:00+00:00", 52.6, 0, stages, None, package_versions(("automl",)))
    )
    return folder, study_of(folder)


def study_of(folder: RunFolder) -> StudySpace:
    """Return what is searched in a folder that :func:`begin_run` filled."""
    plan = _known_plan(folder)
    architectures = tuple(dict.fromkeys(c.architecture for c in plan.feasible()))
    return StudySpace(read_space(folder.read_spec()), architectures)


def made_result(assignment: Assignment, *, seed: int, classes: int = 2) -> TrialResult:
    """Return the result of a trial as a session writes it, drawn from its number and the seed."""
    chance = random.Random(seed * 1_000_003 + assignment.number)
    status = chance.choices(
        (TrialStatus.FINISHED, TrialStatus.STOPPED, TrialStatus.FAILED), (90, 7, 3)
    )[0]
    epochs = _epochs(assignment.recipe.epochs, chance)
    if status is not TrialStatus.FINISHED:
        epochs = epochs[: max(1, len(epochs) // 2)]
    artifacts = (
        _artifacts(assignment, epochs[-1].val_score, classes, chance)
        if status is TrialStatus.FINISHED
        else ()
    )
    kept = [a.scores.values["balanced-accuracy"] for a in artifacts if a.rejected is None]
    objective = max(kept, default=None if artifacts else epochs[-1].val_score)
    is_failed = status is TrialStatus.FAILED
    return TrialResult(
        id=assignment.id,
        number=assignment.number,
        architecture=assignment.architecture,
        recipe=assignment.recipe,
        status=status,
        weights=None,
        epochs=epochs,
        artifacts=artifacts,
        objective=None if is_failed else objective,
        error="DivergedError: the training loss of epoch 2 is not a number." if is_failed else None,
        seconds={
            stage: round(chance.uniform(0.5, 20.0), 3)
            for stage in ("setup", "train", "export", "quantize", "evaluate")
        },
        finished_after_s=60.0 + 30.0 * assignment.number,
        skipped={"int8-mixed": "not needed: int8-static loses too little to be repaired"}
        if artifacts
        else {},
        rung=assignment.rung,
    )


def end_run(folder: RunFolder) -> Selection:
    """Write the selection that follows from the trials in a folder, by the rules that a run uses."""
    spec, plan, trials = folder.read_spec(), _known_plan(folder), folder.read_trials()
    chosen = tuple(_selected(t, spec, plan, trials, _data(folder)) for t in spec.targets)
    selection = Selection(chosen)
    folder.write_selection(selection)
    state = folder.read_state()
    if state is not None:
        stages = (*state.stages, StageTime("search", 30.0 * len(trials)), StageTime("proof", 9.0))
        seconds = sum(stage.seconds for stage in stages)
        folder.write_state(
            replace(state, stages=stages, elapsed_s=seconds, first_deployable_s=90.0)
        )
    return selection


def _selected(
    target: Target, spec: Spec, plan: Plan, trials: Sequence[TrialResult], data: PreparedData
) -> TargetSelection:
    ranked = contenders(target, plan, trials, objective=spec.objective)
    winner = ranked[0]
    sizes = {c.artifact.sha256: c.artifact.size_bytes for c in ranked[:3]}
    measured = {
        sha256: replace(_measurement(2.0, size, local_host()), artifact_sha256=sha256)
        for sha256, size in sizes.items()
    }
    return TargetSelection(
        target=target,
        winner=winner.artifact,
        trial_id=winner.trial.id,
        candidate=winner.candidate,
        measurement=measured[winner.artifact.sha256],
        test_scores=winner.artifact.scores,
        claims=(),
        reasons=losing_reasons(
            target, plan, trials, winner=winner, missed={}, objective=spec.objective
        ),
        runners_up=tuple((c.candidate, measured[c.artifact.sha256]) for c in ranked[1:3]),
        predictions=_predictions(data),
        best_reached=None,
        binding=None,
        relaxation=None,
    )


def _predictions(data: PreparedData) -> tuple[Prediction, ...]:
    """Return answers for as many test images as a proof keeps, half of them wrong."""
    dataset = data.dataset
    shown = [dataset.samples[i] for i in dataset.indices(Split.TEST)[:24]]
    return tuple(
        Prediction(
            sample.path,
            dataset.classes[sample.label],
            dataset.classes[(sample.label + number % 2) % len(dataset.classes)],
            0.5 + 0.02 * number,
            float(number % 2 == 0),
        )
        for number, sample in enumerate(shown)
    )


def _plan(spec: Spec, data: PreparedData) -> Plan:
    """Return a plan in which about half of the candidates fit each target."""
    space, host = read_space(spec), local_host()
    planned = tuple(_planned(architecture) for architecture in space.architectures)
    verdicts = tuple(
        _verdict(one, scheme, target, host)
        for one in planned
        for target in spec.targets
        for scheme in space.schemes
    )
    return Plan(
        spec.sha256, space.name, host, data.audit, planned, verdicts, (), len(verdicts), 0, 48.0
    )


def _planned(architecture: Architecture) -> PlannedArchitecture:
    chance = random.Random(architecture.key)
    parameters = int(10 ** chance.uniform(5.3, 7.2))
    return PlannedArchitecture(architecture, parameters, 60 * parameters, None)


def _verdict(planned: PlannedArchitecture, scheme: str, target: Target, host: Host) -> Verdict:
    candidate = Candidate(planned.architecture, scheme)
    if scheme == "int8-mixed":
        reason = "known only after training; int8-static fits."
        return Verdict(candidate, target.name, VerdictStatus.AFTER_TRAINING, reason, None)
    limit_ms = target.latency[0].limit_ms
    p95_ms = limit_ms * random.Random(f"{planned.architecture.key} {scheme}").uniform(0.1, 1.9)
    measured = _measurement(p95_ms, _size(planned.parameters, scheme), host)
    if p95_ms > limit_ms:
        reason = f"latency p95 is {p95_ms:.2f} ms; the budget is {limit_ms:g} ms."
        return Verdict(candidate, target.name, VerdictStatus.TOO_SLOW, reason, measured)
    reason = f"latency p95 is {p95_ms:.2f} ms, within {limit_ms:g} ms."
    return Verdict(candidate, target.name, VerdictStatus.FITS, reason, measured)


def _size(parameters: int, scheme: str) -> int:
    return parameters * (_FLOAT_BYTES if scheme == "float32" else 1) + 60_000


def _measurement(p95_ms: float, size_bytes: int, host: Host) -> Measurement:
    def interval(value: float) -> Interval:
        return Interval(value, value * 0.98, value * 1.03)

    return Measurement(
        source="measured",
        artifact_sha256=_digest(f"{p95_ms} {size_bytes}"),
        host=host,
        threads=1,
        scope=Scope.FRAME,
        frame_size=(128, 128),
        runs=1_000,
        seconds=p95_ms,
        p50_ms=interval(p95_ms * 0.93),
        p90_ms=interval(p95_ms * 0.98),
        p95_ms=interval(p95_ms),
        p99_ms=interval(p95_ms * 1.12),
        mean_ms=p95_ms * 0.94,
        cpu_ms=p95_ms * 0.93,
        load=0.2,
        memory_bytes=60_000_000,
        size_bytes=size_bytes,
        fresh_process=True,
        stopped_early=False,
        measured_at="2026-01-01T00:00:00+00:00",
    )


def _epochs(count: int, chance: random.Random) -> tuple[Epoch, ...]:
    reached = chance.uniform(0.80, 0.99)
    return tuple(
        Epoch(
            number,
            0.7 / number + chance.uniform(0.0, 0.05),
            0.7 / number + chance.uniform(0.05, 0.15),
            reached * (1.0 - 0.3 / number**2) - chance.uniform(0.0, 0.02),
            chance.uniform(2.0, 6.0),
        )
        for number in range(1, count + 1)
    )


def _artifacts(
    assignment: Assignment, score: float, classes: int, chance: random.Random
) -> tuple[Artifact, ...]:
    drop = chance.choice((0.0, 0.002, 0.005, 0.03))
    details = {
        "calibration": "percentile 99.99, chosen among 3 by the validation images",
        "calibration images": "128, from the training split",
        "nodes kept float": ", ".join(f"/blocks.{i}/conv_dw/Conv" for i in range(4)),
    }
    return (
        _artifact(assignment, "float32", score, 0.0, classes, {}),
        _artifact(assignment, "int8-static", score - drop, drop, classes, details),
    )


def _artifact(
    assignment: Assignment,
    scheme: str,
    score: float,
    drop: float,
    classes: int,
    details: dict[str, str],
) -> Artifact:
    images = 100 * classes
    right = round(score * 100)
    confusion = tuple(
        tuple(
            right if i == j else (100 - right if j == (i + 1) % classes else 0)
            for j in range(classes)
        )
        for i in range(classes)
    )
    values = {"balanced-accuracy": score, "accuracy": score}
    values |= {f"recall[class{i}]": score for i in range(classes)}
    return Artifact(
        scheme=scheme,
        path=f"trials/{assignment.id}/{scheme}.onnx",
        sha256=_digest(f"{assignment.id} {scheme}"),
        size_bytes=_size(_planned(assignment.architecture).parameters, scheme),
        scores=Scores(values, confusion, images),
        parity=Parity(32, 1e-5, 1.0),
        drop=drop,
        rejected=_WRONG.format(drop=drop) if drop > 0.01 else None,
        details=details,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _data(folder: RunFolder) -> PreparedData:
    data = folder.read_data()
    if data is None:
        raise SystemExit(f"'{folder.path}' holds no data. Call begin_run first.")
    return data


def _known_plan(folder: RunFolder) -> Plan:
    plan = folder.read_plan()
    if plan is None:
        raise SystemExit(f"'{folder.path}' holds no plan. Call begin_run first.")
    return plan
