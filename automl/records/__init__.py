"""The frozen records that pass between the stages of a run. Field terms are those of docs/architecture.md.

Each record is a frozen dataclass that round-trips through JSON (:func:`dump_record`,
:func:`load_record`); each stage of a run is a function from such records to such records.
"""

from automl.records.candidates import Architecture, Augmentation, Candidate, Recipe, SearchSpace
from automl.records.dataset import (
    Audit,
    CacheRef,
    Dataset,
    Finding,
    PreparedData,
    Sample,
    Split,
    SplitCounts,
    TruthKind,
    TruthRef,
)
from automl.records.measurement import Host, Interval, Measurement, runs_for_bound
from automl.records.plan import Plan, PlannedArchitecture, Verdict, VerdictStatus
from automl.records.run import (
    Claim,
    Prediction,
    Reason,
    RunRecord,
    Selection,
    StageTime,
    TargetSelection,
)
from automl.records.serialize import dump_record, load_record
from automl.records.spec import (
    ComputeSpec,
    DataSpec,
    LatencyBudget,
    QuantizationSpec,
    Requirement,
    Scope,
    SearchSpec,
    Spec,
    SplitSpec,
    Target,
    TaskOptions,
)
from automl.records.trial import Artifact, Epoch, Parity, Scores, TrialResult, TrialStatus

__all__ = [
    "Architecture",
    "Artifact",
    "Audit",
    "Augmentation",
    "CacheRef",
    "Candidate",
    "Claim",
    "ComputeSpec",
    "DataSpec",
    "Dataset",
    "Epoch",
    "Finding",
    "Host",
    "Interval",
    "LatencyBudget",
    "Measurement",
    "Parity",
    "Plan",
    "PlannedArchitecture",
    "Prediction",
    "PreparedData",
    "QuantizationSpec",
    "Reason",
    "Recipe",
    "Requirement",
    "RunRecord",
    "Sample",
    "Scope",
    "Scores",
    "SearchSpace",
    "SearchSpec",
    "Selection",
    "Spec",
    "Split",
    "SplitCounts",
    "SplitSpec",
    "StageTime",
    "Target",
    "TargetSelection",
    "TaskOptions",
    "TrialResult",
    "TrialStatus",
    "TruthKind",
    "TruthRef",
    "Verdict",
    "VerdictStatus",
    "dump_record",
    "load_record",
    "runs_for_bound",
]
