"""Records through JSON and back: the same record, and nothing that is no number."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest
from record_makers import (
    AUGMENTATION,
    HOST,
    RECIPE,
    architecture,
    artifact,
    forecast,
    measurement,
    plan,
    predicted_verdict,
    space,
    target,
    trial,
    verdict,
)

from automl import records
from automl.records import (
    Audit,
    CacheRef,
    Candidate,
    Claim,
    CleanScore,
    ComputeSpec,
    CurvePoint,
    DataDescription,
    DataQuality,
    Dataset,
    DataSpec,
    DeviceProfile,
    Epoch,
    ExpectedImages,
    FewExamples,
    Figure,
    Finding,
    Interval,
    LabelErrors,
    LabelSuspect,
    LatencyBudget,
    Leakage,
    LearningCurve,
    MeasuredEnergy,
    NetworkLink,
    Parity,
    PastRun,
    PastTrial,
    PlannedArchitecture,
    PowerLaw,
    Prediction,
    PreparedData,
    Probe,
    QuantizationSpec,
    Reason,
    RecalledRun,
    RecalledScore,
    Recollection,
    Requirement,
    RuleBaseline,
    RunRecord,
    Sample,
    Scope,
    Scores,
    SearchSpec,
    Selection,
    Source,
    Spec,
    Split,
    SplitCounts,
    SplitSpec,
    StageTime,
    TargetSelection,
    TaskOptions,
    TrialStatus,
    TruthRef,
    VerdictStatus,
    dump_record,
    load_record,
)

NET = architecture("net_a", depth=3)
SAMPLE = Sample("fail/<b>ä&.jpg", (0,), Split.TRAIN, "sheet", "0" * 64, 64, 48)
DATASET = Dataset(
    "/data", ("fail", "pass"), (SAMPLE,), None, (64, 48), "f" * 64, CacheRef("/c", "k", 9)
)
FINDING = Finding("truncated-file", "error", "One file is cut.", "Copy it again.", 1, ("a.jpg",))
COUNTS = SplitCounts(Split.TEST, (3, 4))
AUDIT = Audit("/data", "folder", "why", ("fail", "pass"), 9, 8, (COUNTS,), 5, (FINDING,), 0.5)
SPEC = Spec(
    version=1,
    name="s",
    task="classification",
    data=DataSpec("/data", "auto", (), SplitSpec(0.15, 0.2, None, 0), 4_000_000_000),
    targets=(target(memory_bytes=5, size_bytes=6),),
    objective="accuracy",
    requirements=(Requirement("recall", "fail", ">=", 0.95),),
    search=SearchSpec("quick", 60.0, None, 0, ComputeSpec(None, 0.0, None)),
    weights="auto",
    quantization=QuantizationSpec(("float32",), 0.01, 128),
    augmentation=None,
    output="runs",
    source="spec.yaml",
    text="task: classification\n",
    sha256="0" * 64,
)
PREDICTION = Prediction("a.jpg", "fail", "pass", 0.75)
CLAIM = Claim("size <= 1 MB", "at most 1 MB", "0.9 MB", "the file", True)
REASON = Reason(Candidate(NET, "float32"), None, "plan", "latency p95 <= 1 ms", "slow", None, 2.0)
CHOSEN = TargetSelection(
    target=target(),
    winner=artifact(),
    trial_id="0001",
    candidate=Candidate(NET, "float32"),
    measurement=measurement(1.0),
    test_scores=Scores({"recall[fail]": 1.0}, ((1, 0), (0, 1)), 2),
    claims=(CLAIM,),
    reasons=(REASON,),
    runners_up=((Candidate(NET, "int8-static"), measurement(2.0)),),
    predictions=(PREDICTION,),
    best_reached=None,
    binding=None,
    relaxation=None,
)
RUN = RunRecord(
    name="s",
    folder="runs/s",
    spec=SPEC,
    data=PreparedData(DATASET, AUDIT),
    plan=plan(verdict(NET), weights={"net_a": "hub"}),
    trials=(trial(NET, artifact()),),
    selection=Selection((CHOSEN,)),
    stages=(StageTime("data", 0.1),),
    first_deployable_s=1.5,
    seconds=2.5,
    versions={"torch": "2"},
    started_at="2026-01-01T00:00:00+00:00",
    resumed=0,
)
SCORES = Scores({"accuracy": 0.9}, ((1, 0), (0, 1)), 2)
SUSPECT = LabelSuspect("a.png", "pass", "fail", 0.9, (1.0, 2.0, 3.5, 4.0))
POINT = CurvePoint(100, 0.9, 0.88, 0.92)
FEW = FewExamples("pass", 7, "7 images")
LAW = PowerLaw(1.0, 0.5, 0.02)
LABEL_ERRORS = LabelErrors("images", 10, (SUSPECT,), 1.2, 0.95, "how", 0.5)
CLEAN = CleanScore(0.95, 0.9, 8)
LEAKAGE = Leakage((("a.png", "b.png"),), ("s1",), ("b.png",), 10, CLEAN)
CURVE = LearningCurve("images", "recall", (POINT,), LAW, (POINT,), 40, "more", (FEW,), 0.5)
RULE = RuleBaseline("limits", "an image is", SCORES, SCORES, 0.5)

FIGURE = Figure(2.5, "brief", "twice 1.25")
SOURCE = Source("Product brief", None, "2026-11-22")
LINK = NetworkLink(FIGURE, FIGURE, Figure(5e7, "brief"), "Images wait.")
DEVICE = DeviceProfile(
    name="board",
    title="A board",
    kind="cloud",
    description="For tests.",
    processor="2x Some core",
    architecture="aarch64",
    instruction_sets=("neon",),
    provider=None,
    precisions=("float32",),
    unsupported_operators=("Einsum",),
    cores=FIGURE,
    memory_bytes=FIGURE,
    bandwidth_bytes_s=FIGURE,
    peak_flops={"float32": FIGURE},
    idle_w=None,
    load_w=FIGURE,
    price_usd=None,
    price_usd_hour=FIGURE,
    network=LINK,
    efficiency={"dense": FIGURE},
    operator_cost_us=FIGURE,
    sources={"brief": SOURCE},
    notes=("A note.",),
)
PAST_RUN = PastRun(
    "0" * 64,
    "paper",
    "2026-01-01T00:00:00+00:00",
    DataDescription("classification", "accuracy", "f" * 64, 600, 2, 480, 640, 0.99, (0.5,) * 6),
    (PastTrial(NET.key, 1e-3, 1e-4, 4, 32, "stem", 0.1, "light", None, 0.95),),
)
RECOLLECTION = Recollection(
    (RecalledRun("paper", 0.98, False),), PAST_RUN.trials, ((NET.key, RecalledScore(0.01, 0.02)),)
)
EVERY: tuple[object, ...] = (
    SUSPECT,
    POINT,
    FEW,
    LAW,
    LABEL_ERRORS,
    CLEAN,
    LEAKAGE,
    CURVE,
    RULE,
    DataQuality(LABEL_ERRORS, LEAKAGE, CURVE, (RULE,), ("a note",), 2.0),
    NET,
    AUGMENTATION,
    RECIPE,
    HOST,
    Candidate(NET, "int8-mixed"),
    space(NET),
    SAMPLE,
    DATASET,
    FINDING,
    COUNTS,
    AUDIT,
    CacheRef("/c", "k", 9),
    PreparedData(DATASET, AUDIT),
    SPEC,
    SPEC.data,
    SPEC.data.split,
    SPEC.search,
    SPEC.search.compute,
    SPEC.quantization,
    SPEC.requirements[0],
    target(),
    LatencyBudget("p99", 0.1),
    Interval(1.0, 0.5, 1.5),
    measurement(1.0, memory_bytes=5),
    MeasuredEnergy(0.012, load_w=15.0, idle_w=9.0, seconds=2.0, source="RAPL: package-0"),
    replace(measurement(1.0), energy=MeasuredEnergy(0.01, 15.0, 9.0, 2.0, "NVML: NVIDIA L4")),
    verdict(NET),
    forecast(2.0),
    predicted_verdict(NET),
    PlannedArchitecture(NET, 10, 20, None),
    plan(verdict(NET)),
    artifact(),
    Parity(4, 1e-7, 1.0),
    Scores({}, (), 0),
    Epoch(1, 0.1, 0.2, 0.3, 0.4),
    trial(NET, artifact(), status=TrialStatus.FAILED, error="NaN"),
    PREDICTION,
    CLAIM,
    REASON,
    CHOSEN,
    Selection(()),
    StageTime("plan", 1.0),
    TaskOptions(0.02, "tiles", 0.8),
    ExpectedImages(("a", "b"), (480, 640)),
    TruthRef("/c/truth", "k"),
    DEVICE,
    FIGURE,
    LINK,
    SOURCE,
    RUN,
    Probe("p", "net_a", 128, {NET.key: 0.9}, {NET.key: "ridge"}, {}, 9, None, {"setup": 0.1}, 5.0),
    PAST_RUN,
    PAST_RUN.description,
    PAST_RUN.trials[0],
    RECOLLECTION,
    RECOLLECTION.runs[0],
    RECOLLECTION.scores[0][1],
    replace(plan(verdict(NET)), recollection=RECOLLECTION),
)


@pytest.mark.parametrize("record", EVERY, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_from_json_as_it_was(record: object) -> None:
    text = dump_record(record)
    assert load_record(type(record), text) == record
    assert load_record(type(record), text.encode()) == record
    assert dump_record(load_record(type(record), text)) == text


def test_every_kind_of_record_is_in_the_table() -> None:
    kinds = {
        kind for name in records.__all__ if dataclasses.is_dataclass(kind := getattr(records, name))
    }
    assert kinds - {type(record) for record in EVERY} - {Split, Scope, VerdictStatus} == set()


def test_records_cannot_be_changed() -> None:
    for record in EVERY:
        name = dataclasses.fields(record)[0].name  # type: ignore[arg-type]  # a record
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_written(value: float) -> None:
    with pytest.raises(ValueError):
        dump_record(Epoch(1, value, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError):
        dump_record(replace(SPEC, search=replace(SPEC.search, time_s=value)))
    with pytest.raises(ValueError):
        dump_record(Scores({"accuracy": value}, (), 0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"number": 1}',
        '{"number": "one", "train_loss": 0, "val_loss": 0, "val_score": 0, "seconds": 0}',
    ],
)
def test_json_that_does_not_fit_the_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        load_record(Epoch, text)


def test_floats_keep_every_digit_and_text_every_letter() -> None:
    scores = Scores({"recall[日本 \u2028]": 0.1 + 0.2, "x": 5e-324}, (), 3)
    assert json.loads(dump_record(scores))["values"] == scores.values
    assert "日本" in dump_record(scores)


@pytest.mark.parametrize(
    ("relation", "value", "is_met"),
    [
        (">=", 0.5, True),
        (">=", 0.49, False),
        (">", 0.5, False),
        (">", 0.51, True),
        ("<=", 0.5, True),
        ("<", 0.5, False),
        ("<", 0.49, True),
    ],
)
def test_a_requirement_is_met_as_its_sign_says(relation: str, value: float, is_met: bool) -> None:
    requirement = Requirement("recall", "fail", relation, 0.5)  # type: ignore[arg-type]  # a table
    assert requirement.is_met_by(value) is is_met
    assert requirement.key == "recall[fail]"
    assert Requirement("accuracy", None, ">=", 0.5).key == "accuracy"


def test_only_verdicts_that_may_fit_lead_to_a_training() -> None:
    made = plan(
        *(verdict(architecture(status), status=VerdictStatus(status)) for status in VerdictStatus)
    )
    assert [c.architecture.backbone for c in made.feasible()] == [
        "fits",
        "unsure",
        "after-training",
    ]


def test_a_measurement_is_disturbed_when_one_thread_waited_for_its_core() -> None:
    quiet = measurement(1.0)
    assert not quiet.is_disturbed
    assert replace(quiet, mean_ms=1.2, cpu_ms=1.0).is_disturbed
    assert not replace(quiet, mean_ms=1.2, cpu_ms=1.0, threads=2).is_disturbed
    waiting = replace(HOST, provider="CUDAExecutionProvider", accelerator="NVIDIA L4")
    assert not replace(quiet, mean_ms=1.2, cpu_ms=0.1, host=waiting).is_disturbed
