"""Small records for tests of decisions: each maker fills in what the test does not speak of."""

from __future__ import annotations

from automl.records import (
    Architecture,
    Artifact,
    Audit,
    Augmentation,
    Candidate,
    Forecast,
    Host,
    Interval,
    LatencyBudget,
    Measurement,
    Parity,
    Plan,
    PlannedArchitecture,
    Recipe,
    Scope,
    Scores,
    SearchSpace,
    Target,
    TrialResult,
    TrialStatus,
    Verdict,
    VerdictStatus,
)

HOST = Host(
    device="local",
    cpu="test processor",
    cores=2,
    memory_bytes=8_000_000_000,
    instruction_sets=("avx2",),
    system="Linux",
    python="3.11",
    onnxruntime="1.32",
    provider="CPUExecutionProvider",
)
AUGMENTATION = Augmentation("light", 5.0, 0.9, 0.05, 0.1, 0.1, False, False)
RECIPE = Recipe(1e-3, 1e-4, 4, 32, "none", 0.0, AUGMENTATION)


def architecture(
    backbone: str = "net_a", *, family: str = "net", depth: int | None = None, size: int = 128
) -> Architecture:
    return Architecture(family, backbone, depth, size)


def target(
    *,
    name: str = "local",
    p95_ms: float | None = 10.0,
    size_bytes: int | None = None,
    memory_bytes: int | None = None,
) -> Target:
    budgets = () if p95_ms is None else (LatencyBudget("p95", p95_ms),)
    return Target(name, "local", 1, budgets, Scope.FRAME, memory_bytes, size_bytes)


def measurement(
    p95_ms: float,
    *,
    spread: float = 0.05,
    size_bytes: int = 1_000_000,
    memory_bytes: int | None = None,
    threads: int = 1,
    cpu_ms: float | None = None,
) -> Measurement:
    def interval(value: float) -> Interval:
        return Interval(value, value * (1 - spread), value * (1 + spread))

    mean_ms = p95_ms * 0.9
    return Measurement(
        source="measured",
        artifact_sha256="0" * 64,
        host=HOST,
        threads=threads,
        scope=Scope.FRAME,
        frame_size=(128, 128),
        runs=100,
        seconds=2.0,
        p50_ms=interval(p95_ms * 0.9),
        p90_ms=interval(p95_ms * 0.97),
        p95_ms=interval(p95_ms),
        p99_ms=interval(p95_ms * 1.1),
        mean_ms=mean_ms,
        cpu_ms=mean_ms if cpu_ms is None else cpu_ms,
        load=0.1,
        memory_bytes=memory_bytes,
        size_bytes=size_bytes,
        fresh_process=True,
        stopped_early=False,
        measured_at="2026-01-01T00:00:00+00:00",
    )


def forecast(
    p95_ms: float,
    *,
    spread: float = 0.05,
    size_bytes: int = 1_000_000,
    memory_bytes: int | None = 30_000_000,
    device: str = "pi",
    sha256: str = "0" * 64,
) -> Forecast:
    def interval(value: float) -> Interval:
        return Interval(value, value * (1 - spread), value * (1 + spread))

    return Forecast(
        device=device,
        basis="catalogue",
        explanation="from its published figures",
        artifact_sha256=sha256,
        threads=1,
        scope=Scope.FRAME,
        frame_size=(128, 128),
        p50_ms=interval(p95_ms * 0.9),
        p90_ms=interval(p95_ms * 0.97),
        p95_ms=interval(p95_ms),
        p99_ms=interval(p95_ms * 1.1),
        link_ms=0.0,
        memory_bytes=memory_bytes,
        size_bytes=size_bytes,
    )


def predicted_verdict(
    of: Architecture,
    scheme: str = "float32",
    *,
    status: VerdictStatus = VerdictStatus.FITS,
    p95_ms: float = 5.0,
    target_name: str = "pi",
) -> Verdict:
    candidate = Candidate(of, scheme)
    return Verdict(candidate, target_name, status, "predicted", None, forecast(p95_ms))


def verdict(
    of: Architecture,
    scheme: str = "float32",
    *,
    status: VerdictStatus = VerdictStatus.FITS,
    p95_ms: float | None = 5.0,
    reason: str = "measured",
    target_name: str = "local",
    size_bytes: int = 1_000_000,
) -> Verdict:
    measured = None if p95_ms is None else measurement(p95_ms, size_bytes=size_bytes)
    return Verdict(Candidate(of, scheme), target_name, status, reason, measured)


def plan(*verdicts: Verdict, weights: dict[str, str] | None = None) -> Plan:
    sources = weights or {}
    architectures = tuple(dict.fromkeys(v.candidate.architecture for v in verdicts))
    audit = Audit("/data", "folder", "", ("fail", "pass"), 10, 10, (), 10, (), 0.1)
    planned = tuple(
        PlannedArchitecture(a, 1_000, 1_000_000 * (i + 1), sources.get(a.backbone))
        for i, a in enumerate(architectures)
    )
    return Plan("spec", "quick", HOST, audit, planned, verdicts, (), len(verdicts), 0, 1.0)


def artifact(
    scheme: str = "float32",
    *,
    score: float = 0.9,
    rejected: str | None = None,
    sha256: str = "",
    values: dict[str, float] | None = None,
) -> Artifact:
    return Artifact(
        scheme=scheme,
        path=f"trials/x/{scheme}.onnx",
        sha256=sha256 or f"{scheme}-{score}",
        size_bytes=1_000_000,
        scores=Scores({"balanced-accuracy": score, **(values or {})}, ((1, 0), (0, 1)), 2),
        parity=Parity(2, 0.0, 1.0),
        drop=0.2 if rejected else 0.0,
        rejected=rejected,
        details={},
    )


def trial(
    of: Architecture,
    *artifacts: Artifact,
    number: int = 1,
    status: TrialStatus = TrialStatus.FINISHED,
    error: str | None = None,
    objective: float | None = None,
) -> TrialResult:
    scores = [a.scores.values["balanced-accuracy"] for a in artifacts]
    return TrialResult(
        id=f"{number:04d}-{of.key}",
        number=number,
        architecture=of,
        recipe=RECIPE,
        status=status,
        weights=None,
        epochs=(),
        artifacts=artifacts,
        objective=objective if objective is not None else max(scores, default=None),
        error=error,
        seconds={"train": 1.0},
        finished_after_s=10.0,
    )


def space(*architectures: Architecture, epochs: tuple[int, ...] = (3,)) -> SearchSpace:
    return SearchSpace(
        name="test",
        description="",
        tasks=("classification",),
        architectures=architectures,
        learning_rate=(1e-4, 1e-2),
        weight_decay=(1e-5, 1e-3),
        epochs=epochs,
        batch_sizes=(32,),
        freezes=("none",),
        label_smoothings=(0.0,),
        augmentations=(AUGMENTATION,),
        schemes=("float32", "int8-static"),
    )
