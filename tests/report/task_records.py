"""Run records of the other tasks: cracks in coatings, blood cells, and defective paper.

Numbers are of the size that real runs give. Networks of one group differ in their depth alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import report_records as base

from automl.records import (
    Architecture,
    Artifact,
    Candidate,
    Claim,
    Dataset,
    LatencyBudget,
    Parity,
    Plan,
    PlannedArchitecture,
    Prediction,
    PreparedData,
    Reason,
    RunRecord,
    Sample,
    Scores,
    Selection,
    Split,
    SplitCounts,
    Target,
    TargetSelection,
    TrialResult,
    Verdict,
    VerdictStatus,
)
from automl.records.quality import (
    CleanScore,
    CurvePoint,
    DataQuality,
    FewExamples,
    LabelErrors,
    LabelSuspect,
    Leakage,
    LearningCurve,
    PowerLaw,
    RuleBaseline,
)

LITE = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class Network:
    """One row of a search: latency in ms as float32 and as int8-static, score once trained."""

    backbone: str
    depth: int | None
    decoder: str | None
    width: int | None
    image_size: int
    float_ms: float
    int8_ms: float
    score: float | None

    @property
    def architecture(self) -> Architecture:
        family = self.backbone.removeprefix("tf_").rstrip("0123456789")
        return Architecture(
            family, self.backbone, self.depth, self.image_size, self.decoder, self.width
        )


@dataclass(frozen=True)
class Case:
    """What one task's run is made of. The first network that is trained wins, as int8-static."""

    task: str
    name: str
    objective: str
    classes: tuple[str, ...]
    networks: tuple[Network, ...]
    latency: tuple[LatencyBudget, ...]
    counts: tuple[SplitCounts, ...]
    test: Scores
    predictions: tuple[Prediction, ...]
    quality: DataQuality | None
    drop: float = 0.004
    epochs: int = 8
    crop: int | None = None


def run(case: Case) -> RunRecord:
    """Return a finished run of a case."""
    target = Target("local", "local", 1, case.latency, base.LOCAL.scope, None, 20_000_000)
    whole = base.passing()
    prepared = _data(case)
    spec = replace(
        base.spec((target,)),
        name=case.name,
        task=case.task,
        objective=case.objective,
        requirements=(),
        source=f"specs/{case.name}.yaml",
        text=f"task: {case.task}\nname: {case.name}\n",
    )
    planned = tuple(
        PlannedArchitecture(n.architecture, 4_100_000, 380_000_000, "package lite0")
        for n in case.networks
    )
    trained = [n for n in case.networks if n.score is not None]
    found = tuple(_trial(i + 1, network, case) for i, network in enumerate(trained))
    plan = Plan(
        spec_sha256=spec.sha256,
        space=f"{case.task}-quick",
        host=base.HOST,
        audit=prepared.audit,
        architectures=planned,
        verdicts=tuple(v for n in case.networks for v in _verdicts(n, target)),
        notes=(),
        measured=2 * len(planned),
        cached=0,
        seconds=38.0,
    )
    return replace(
        whole,
        name=case.name,
        folder=f"runs/{case.name}",
        spec=spec,
        data=prepared,
        plan=plan,
        trials=found,
        selection=Selection((_won(case, target, found, trained),)),
        quality=case.quality,
    )


def _data(case: Case) -> PreparedData:
    audit = base.data(case.classes).audit
    sizes = {c.split: max(4, max(c.per_class)) for c in case.counts}
    samples = tuple(
        Sample(f"{split.value}/{i}.png", (0,), split, f"{split.value}/{i}", "0" * 64, 480, 640)
        for split, size in sizes.items()
        for i in range(size)
    )
    used = len(samples)
    counted = replace(
        audit,
        classes=case.classes,
        counts=case.counts,
        files_seen=used,
        files_used=used,
        groups=used,
        findings=(),
        format="masks",
        format_reason="images/ and masks/ hold files of the same names.",
    )

    dataset = Dataset("/data", case.classes, samples, None, (480, 640), base.digest("d"), None)
    return PreparedData(dataset, counted)


def _verdicts(network: Network, target: Target) -> tuple[Verdict, ...]:
    found = []
    limit = target.latency[0].limit_ms
    for scheme, ms in (("float32", network.float_ms), ("int8-static", network.int8_ms)):
        status = VerdictStatus.FITS if ms <= limit else VerdictStatus.TOO_SLOW
        reason = f"latency p95 <= {limit:g} ms: measured {ms:.2f} ms"
        found.append(
            Verdict(
                Candidate(network.architecture, scheme),
                target.name,
                status,
                reason,
                base.measurement(ms, 16_400_000 if scheme == "float32" else 4_300_000),
            )
        )
    mixed = Candidate(network.architecture, "int8-mixed")
    if network.int8_ms <= limit:
        status, reason = VerdictStatus.AFTER_TRAINING, "int8-static, its fastest form, fits"
        found.append(Verdict(mixed, target.name, status, reason, None))
    return tuple(found)


def _scores(case: Case, objective: float) -> Scores:
    values = case.test.values | {case.objective: objective}
    return replace(case.test, values=values, curves={})


def _artifact(case: Case, trial: str, scheme: str, score: float, drop: float) -> Artifact:
    return Artifact(
        scheme=scheme,
        path=f"trials/{trial}/{scheme}.onnx",
        sha256=base.digest(trial + scheme),
        size_bytes=16_400_000 if scheme == "float32" else 4_300_000,
        scores=_scores(case, score),
        parity=Parity(24, 0.0013, 1.0),
        drop=drop,
        rejected=None,
        details={"calibration": "min-max", "threshold": "0.61"} if drop else {},
    )


def _trial(number: int, network: Network, case: Case) -> TrialResult:
    name = f"t{number:04d}"
    score = network.score or 0.0
    done = base.trial(number, base.architectures()[0], wrong=0, drop=0.0)
    return replace(
        done,
        recipe=replace(done.recipe, epochs=case.epochs, crop=case.crop),
        epochs=done.epochs[: case.epochs],
        id=name,
        architecture=network.architecture,
        artifacts=(
            _artifact(case, name, "float32", score + case.drop, 0.0),
            _artifact(case, name, "int8-static", score, case.drop),
        ),
        objective=score + case.drop,
        skipped={
            "int8-mixed": f"not needed: int8-static loses {case.drop:.4f}, within 0.01",
        },
    )


def _won(
    case: Case, target: Target, found: tuple[TrialResult, ...], trained: list[Network]
) -> TargetSelection:
    best, network = found[0], trained[0]
    winner = best.artifacts[1]
    measured = base.measurement(network.int8_ms, winner.size_bytes, runs=1000, fresh=True)
    value = case.test.values[case.objective]
    claims = [
        Claim(
            f"latency {b.percentile} <= {b.limit_ms:g} ms",
            f"at most {b.limit_ms:g} ms",
            f"{measured.percentile(b.percentile).high:.2f} ms",
            "1,000 runs in a fresh process, scope frame",
            measured.percentile(b.percentile).high <= b.limit_ms,
        )
        for b in case.latency
    ]
    how = f"{case.test.samples} test images, by the delivered file"
    got = f"{value * 100:.1f} %"
    claims.append(Claim(f"objective {case.objective}", "as high as possible", got, how, True))
    return TargetSelection(
        target=target,
        winner=winner,
        trial_id=best.id,
        candidate=Candidate(best.architecture, "int8-static"),
        measurement=measured,
        test_scores=case.test,
        claims=tuple(claims),
        reasons=_reasons(case, found),
        runners_up=(),
        predictions=case.predictions,
        best_reached=None,
        binding=None,
        relaxation=None,
    )


def _reasons(case: Case, found: tuple[TrialResult, ...]) -> tuple[Reason, ...]:
    rows = []
    for one in found:
        mixed = Candidate(one.architecture, "int8-mixed")
        text = one.skipped["int8-mixed"]
        rows.append(Reason(mixed, one.id, "quantization", "int8-mixed", text, None, None))
        for made in one.artifacts:
            if (one.number, made.scheme) == (1, "int8-static"):
                continue
            candidate = Candidate(one.architecture, made.scheme)
            score = made.scores.values[case.objective]
            text = f"scored {score:.4f} on the validation images, the winner more"
            clause = f"objective {case.objective}"
            rows.append(Reason(candidate, one.id, "selection", clause, text, score, None))
    return tuple(rows)


def _prediction(i: int, true: str, said: str, quality: float) -> Prediction:
    return Prediction(f"test/{i}.png", true, said, quality, quality, f"samples/{i}.jpg")


def segmentation() -> RunRecord:
    """Return a run that marks oxide and cracks in micrographs of 1024 x 1024 pixels."""
    confusion = ((2_190_000, 41_000, 9_100), (52_000, 742_000, 7_300), (11_900, 6_200, 86_200))
    values = {"pixel-accuracy": 0.9595, "mean-dice": 0.894, "mean-boundary-f1": 0.871}
    for name, iou, outline in (
        ("background", 0.951, 0.93),
        ("oxide", 0.874, 0.89),
        ("crack", 0.622, 0.79),
    ):
        values[f"iou[{name}]"] = iou
        values[f"dice[{name}]"] = 2 * iou / (1 + iou)
        values[f"boundary-f1[{name}]"] = outline
    values["mean-iou"] = 0.816
    counts = (
        SplitCounts(Split.TRAIN, (14, 14, 13), (10_400_000, 3_600_000, 680_064)),
        SplitCounts(Split.VAL, (4, 4, 4), (2_950_000, 1_070_000, 174_304)),
        SplitCounts(Split.TEST, (4, 4, 4), (2_240_100, 801_300, 104_300)),
    )
    answers = ("oxide 24.1%, crack 3.0%", "oxide 31%, crack 1.2%", "oxide 12%", "oxide 25%")
    truths = ("oxide 25.6%, crack 3.6%", "oxide 30%, crack 1.9%", "oxide 11.2%", "oxide 25%")
    return run(
        Case(
            task="segmentation",
            name="cracks",
            objective="mean-iou",
            classes=("background", "oxide", "crack"),
            networks=(
                Network(LITE, 4, "unet", 32, 512, 96.0, 51.0, 0.812),
                Network(LITE, 3, "unet", 32, 512, 91.0, 48.9, 0.781),
                Network(LITE, 5, "unet", 32, 512, 104.0, 56.2, 0.808),
                Network(LITE, 3, "fpn", None, 512, 61.0, 33.0, 0.742),
                Network(LITE, 4, "fpn", None, 512, 66.0, 35.4, 0.761),
                Network(LITE, 5, "fpn", None, 1024, 260.0, 144.0, None),
                Network("mobilenetv4_conv_small", 5, "unet", 32, 512, 88.0, 47.0, None),
            ),
            latency=(LatencyBudget("p95", 60.0), LatencyBudget("p99", 80.0)),
            counts=counts,
            test=Scores(values, confusion, 4),
            predictions=tuple(
                _prediction(i, t, a, q)
                for i, (a, t, q) in enumerate(
                    zip(answers, truths, (0.71, 0.66, 0.89, 0.85), strict=True)
                )
            ),
            quality=quality("areas"),
            crop=256,
        )
    )


def _found_curve(steepness: float) -> tuple[tuple[float, float], ...]:
    recalls = [i / 60 for i in range(1, 61)]
    return tuple((r * 0.97, 1 - 0.45 * r**steepness) for r in recalls)


def detection() -> RunRecord:
    """Return a run that finds blood cells."""
    values = {"map": 0.581, "map50": 0.894, "map75": 0.63, "recall-at-precision": 0.74}
    rows = (
        ("Platelets", 0.412, 0.861, 0.58),
        ("RBC", 0.571, 0.842, 0.66),
        ("WBC", 0.76, 0.979, 0.98),
    )
    for name, ap, ap50, recall in rows:
        values |= {f"ap[{name}]": ap, f"ap50[{name}]": ap50, f"recall[{name}]": recall}
    counts = (
        SplitCounts(Split.TRAIN, (110, 198, 205), (225, 2337, 207)),
        SplitCounts(Split.VAL, (38, 84, 87), (60, 945, 87)),
        SplitCounts(Split.TEST, (40, 70, 72), (76, 873, 78)),
    )
    cells = tuple(
        _prediction(i, f"{9 + i % 5} RBC, 1 WBC", f"{8 + i % 4} RBC, 1 WBC", 0.55 + 0.018 * i)
        for i in range(24)
    )
    return run(
        Case(
            task="detection",
            name="cells",
            objective="map",
            classes=("Platelets", "RBC", "WBC"),
            networks=(
                Network(LITE, 3, "fcos", 64, 320, 43.0, 24.5, 0.574),
                Network(LITE, 2, "fcos", 64, 320, 40.1, 22.9, 0.512),
                Network(LITE, 4, "fcos", 64, 320, 44.0, 25.1, 0.576),
                Network(LITE, 3, "retinanet", 64, 320, 55.0, 31.0, None),
            ),
            latency=(LatencyBudget("p95", 30.0),),
            counts=counts,
            test=Scores(
                values,
                (),
                72,
                {
                    "precision-recall[Platelets]": _found_curve(3.0),
                    "precision-recall[RBC]": _found_curve(4.0),
                    "precision-recall[WBC]": _found_curve(30.0),
                },
            ),
            predictions=cells,
            quality=quality("boxes"),
        )
    )


def _bell(centre: float, spread: float, images: int) -> tuple[tuple[float, float], ...]:
    edges = [0.1 + i * 0.2 for i in range(20)]
    weights = [math.exp(-(((x - centre) / spread) ** 2) / 2) for x in edges]
    counts = [round(images * weight / sum(weights)) for weight in weights]
    return tuple((x, n / sum(counts)) for x, n in zip(edges, counts, strict=True))


def anomaly(*, false_alarms: int = 2, good: int = 60) -> RunRecord:
    """Return a run that tells defective paper; ``false_alarms`` good papers are called defective."""
    defective, caught = 90, 88
    values = {
        "image-auroc": 0.9962,
        "pixel-auroc": 0.961,
        "aupro": 0.883,
        "balanced-accuracy": ((good - false_alarms) / good + caught / defective) / 2,
        "detection-rate": caught / defective,
        "false-alarm-rate": false_alarms / good,
    }
    confusion = ((good - false_alarms, false_alarms), (defective - caught, caught))
    counts = (
        SplitCounts(Split.TRAIN, (27, 0)),
        SplitCounts(Split.VAL, (5, 0)),
        SplitCounts(Split.TEST, (good, defective)),
    )
    papers = tuple(
        _prediction(
            i,
            "defect, 1.4% of the image" if i % 2 else "good",
            f"defect (score {1.1 + i / 10:.2f})" if i % 2 or i == 0 else "good (score 0.71)",
            0.2 if i == 0 else 0.6 + i / 60,
        )
        for i in range(22)
    )
    return run(
        Case(
            task="anomaly",
            name="paper-defects",
            objective="image-auroc",
            classes=("good", "defect"),
            networks=(
                Network(LITE, 3, "patchcore", 512, 128, 4.4, 2.6, 0.995),
                Network(LITE, 2, "patchcore", 512, 128, 3.6, 2.1, 0.971),
                Network(LITE, 4, "padim", 64, 128, 6.1, 3.3, 0.962),
                Network(LITE, 4, "patchcore", 512, 224, 21.0, 12.6, None),
            ),
            latency=(LatencyBudget("p95", 10.0),),
            counts=counts,
            test=Scores(
                values,
                confusion,
                good + defective,
                {
                    "scores[good]": _bell(0.62, 0.16, good),
                    "scores[defect]": _bell(2.1, 0.5, defective),
                },
            ),
            predictions=papers,
            quality=quality("images"),
            drop=0.0008,
            epochs=1,
        )
    )


def quality(unit: str, *, rule_score: float = 0.4) -> DataQuality:
    """Return what was looked into: 20 doubtful labels, a leak, a curve, a rule."""
    suspects = tuple(
        LabelSuspect(
            f"train/{i}.png",
            "oxide",
            "crack",
            0.97 - i * 0.02,
            None if unit == "images" else (40.0 + i, 30.0, 160.0, 120.0),
        )
        for i in range(20)
    )
    law = PowerLaw(1.4, 0.42, 0.08)
    points = tuple(
        CurvePoint(n, law.score(n), law.score(n) - 0.3 / n**0.5, law.score(n) + 0.3 / n**0.5)
        for n in (25, 50, 100, 200)
    )
    forecasts = tuple(
        CurvePoint(n, law.score(n), law.score(n) - 0.04, law.score(n) + 0.03) for n in (400, 800)
    )
    rule = Scores({"mean-iou": rule_score, "map": 0.1, "image-auroc": 0.7}, (), 4)
    return DataQuality(
        label_errors=LabelErrors(
            unit=unit,
            checked=1840,
            suspects=suspects,
            expected=17.4,
            agreement=0.962,
            method="Logistic regression on features of a network, judged by others' folds.",
            seconds=8.1,
        ),
        leakage=Leakage(
            pairs=(("train/3.png", "test/1.png"),),
            groups=(),
            paths=("test/1.png",),
            test_images=72,
            clean=CleanScore(0.816, 0.809, 71),
        ),
        learning_curve=LearningCurve(
            unit="images",
            metric="balanced accuracy",
            points=points,
            fitted=law,
            forecasts=forecasts,
            needed=60,
            advice="More images would help: with twice as many, 79 % is expected.",
            per_class_few=(FewExamples("crack", 13, "its curve still rises steeply"),),
            seconds=6.0,
        ),
        rules=(
            RuleBaseline(
                "intensity",
                "A pixel is 'crack' where it is darker than 81, after smoothing over 3 pixels.",
                rule,
                rule,
                0.7,
            ),
        ),
        notes=("Boxes that are missing altogether were not looked for.",),
        seconds=15.2,
    )
