"""When nothing fits, the smallest change that works is named."""

from __future__ import annotations

from record_makers import architecture, artifact, measurement, plan, target, trial, verdict

from automl.records import Candidate, Requirement, VerdictStatus
from automl.search.relaxation import limits_shortfall, plan_shortfall, requirements_shortfall
from automl.search.selection import contenders

FAST, SLOW = architecture("fast"), architecture("slow")


def test_the_candidate_nearest_to_the_limits_decides() -> None:
    measured = {
        Candidate(SLOW, "float32"): measurement(30.0),
        Candidate(FAST, "int8-static"): measurement(0.5),
    }
    short = limits_shortfall(target(p95_ms=0.01), measured)
    assert short.best_reached == ("fast-full-128 int8-static: p95 0.500 ms (upper bound 0.525 ms)")
    assert short.binding == "latency p95 <= 0.01 ms"
    assert short.relaxation == "latency: {p95: 0.58ms}"


def test_the_relaxed_limit_lets_the_same_measurement_pass() -> None:
    measured = {Candidate(FAST, "float32"): measurement(12.0, size_bytes=5_430_000)}
    short = limits_shortfall(target(p95_ms=10.0, size_bytes=1_000_000), measured)
    assert short.binding == "size <= 1.00 MB"
    assert short.relaxation == "latency: {p95: 14ms} and size: 5.5MB"


def test_a_scheme_that_the_spec_leaves_out_is_offered_first() -> None:
    made = plan(verdict(FAST, status=VerdictStatus.TOO_SLOW, p95_ms=20.0))
    offered = verdict(FAST, "int8-static", p95_ms=5.0)
    short = plan_shortfall(target(), made)
    assert "allow" not in short.relaxation
    with_offer = plan_shortfall(target(), type(made)(**{**vars(made), "alternatives": (offered,)}))
    assert with_offer.relaxation == (
        "allow int8-static in quantization (fast-full-128 int8-static fits), or latency: {p95: 24ms}"
    )


def test_nothing_measured_is_said() -> None:
    short = limits_shortfall(target(), {})
    assert short.best_reached == "nothing could be measured"


def test_missed_requirements_name_the_bound_that_was_reached() -> None:
    made = plan(verdict(FAST))
    trials = [trial(FAST, artifact(score=0.9, values={"recall[fail]": 0.8766}))]
    ranked = contenders(target(), made, trials, objective="balanced-accuracy")
    bounds = [
        Requirement("recall", "fail", ">=", 0.95),
        Requirement("balanced-accuracy", None, ">=", 0.8),
    ]
    short = requirements_shortfall(bounds, ranked)
    assert short.best_reached == (
        "fast-full-128 float32: recall[fail] 0.8766, balanced-accuracy 0.9000"
    )
    assert short.binding == "recall[fail] >= 0.95"
    assert short.relaxation.startswith('require recall[fail]: ">= 0.876", or allow more')
