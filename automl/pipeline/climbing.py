"""The ladder of one run: what its plan, its data and its time make of it, and what is to be said of that."""

from __future__ import annotations

from automl.records import Plan, PlannedArchitecture, PreparedData, Spec, Split
from automl.search.executor import Resources
from automl.search.ladder import Ladder, rungs_of
from automl.search.prior import expected_scores
from automl.search.study import StudySpace
from automl.spec.metrics import METRICS

__all__ = ["feasible_architectures", "ladder_notes", "open_ladder"]


def feasible_architectures(plan: Plan) -> tuple[PlannedArchitecture, ...]:
    """Return the architectures that are worth training, in the plan's order."""
    feasible = {candidate.architecture for candidate in plan.feasible()}
    return tuple(p for p in plan.architectures if p.architecture in feasible)


def open_ladder(
    spec: Spec, plan: Plan, data: PreparedData, study: StudySpace, resources: Resources
) -> Ladder:
    """Return the ladder of a run."""
    planned = feasible_architectures(plan)
    truth = METRICS[spec.task].truth
    return Ladder(
        study=study,
        planned=planned,
        rungs=rungs_of(truth, planned),
        expected=expected_scores(planned, truth=truth, recollection=plan.recollection),
        images=len(data.dataset.indices(Split.TRAIN)),
        time_s=spec.search.time_s,
        cores=resources.cores,
        trial_cores=resources.threads,
        trials=spec.search.trials,
    )


def ladder_notes(spec: Spec, ladder: Ladder) -> tuple[str, ...]:
    """Say which cheap rungs this search does without, and why."""
    if "features" in ladder.rungs:
        return ()
    if ladder.rungs == ("train",):
        return (
            "Every network is trained at once: what remembers good images learns in one pass, so that "
            "nothing cheaper could tell them apart.",
        )
    if METRICS[spec.task].truth != "label":
        return (
            f"The search begins with short trainings: linear models on frozen features, which are "
            f"cheaper, give no answers for {spec.task}.",
        )
    return (
        "The search begins with short trainings: frozen features, which are cheaper, tell little without "
        "pretrained weights.",
    )
