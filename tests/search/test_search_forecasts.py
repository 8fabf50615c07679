"""Predictions plan like measurements, and never speak as if they were some."""

from __future__ import annotations

import pytest
from record_makers import (
    architecture,
    artifact,
    forecast,
    measurement,
    plan,
    predicted_verdict,
    target,
    trial,
    verdict,
)

from automl.records import Candidate, Forecast, Measurement, VerdictStatus
from automl.search.feasibility import Examined, judge
from automl.search.limits import judge_evidence
from automl.search.relaxation import limits_shortfall, plan_shortfall
from automl.search.selection import contenders, forecast_missed, losing_reasons

NET, OTHER = architecture(), architecture("net_b")
PI = target(name="pi")


def examined(
    forecasts: dict[str, Forecast], measured: dict[str, Measurement] | None = None
) -> Examined:
    return Examined(
        {(scheme, "pi"): one for scheme, one in (measured or {}).items()},
        {},
        frozenset({"int8-mixed"}),
        {(scheme, "pi"): one for scheme, one in forecasts.items()},
    )


@pytest.mark.parametrize(
    ("p95_ms", "spread", "status", "reason"),
    [
        (
            5.0,
            0.5,
            VerdictStatus.FITS,
            "latency p95 <= 10 ms: predicted 5.00 ms (2.50 ms to 7.50 ms)",
        ),
        (
            8.0,
            0.5,
            VerdictStatus.UNSURE,
            "latency p95 <= 10 ms: predicted 8.00 ms (4.00 ms to 12.0 ms), so only a measurement on "
            "the device can decide",
        ),
        (
            30.0,
            0.5,
            VerdictStatus.TOO_SLOW,
            "latency p95 <= 10 ms: predicted 30.0 ms (15.0 ms to 45.0 ms), 3.0 times the budget",
        ),
    ],
)
def test_the_whole_interval_decides_and_the_reason_says_predicted(
    p95_ms: float, spread: float, status: VerdictStatus, reason: str
) -> None:
    known = forecast(p95_ms, spread=spread)
    found = judge(Candidate(NET, "float32"), PI, examined({"float32": known}))
    assert (found.status, found.reason) == (status, reason)
    assert (found.measurement, found.forecast, found.evidence) == (None, known, known)


def test_memory_that_nothing_predicts_leaves_the_case_open() -> None:
    asked = target(name="pi", memory_bytes=100_000_000)
    status, reason = judge_evidence(asked, forecast(5.0, memory_bytes=None))
    assert (status, reason) == (
        VerdictStatus.UNSURE,
        "memory <= 100 MB: nothing predicts it, so only a measurement on the device can decide",
    )
    status, reason = judge_evidence(asked, forecast(5.0, memory_bytes=120_000_000))
    assert (status, reason) == (
        VerdictStatus.TOO_MUCH_MEMORY,
        "memory <= 100 MB: running it would take 120 MB by prediction",
    )


def test_a_measurement_counts_more_than_a_forecast_of_the_same_file() -> None:
    known = examined({"float32": forecast(30.0)}, {"float32": measurement(5.0)})
    found = judge(Candidate(NET, "float32"), PI, known)
    assert found.status is VerdictStatus.FITS
    assert found.forecast is None
    assert "predicted" not in found.reason


def test_int8_that_is_slower_by_prediction_says_so() -> None:
    known = examined({"float32": forecast(3.0), "int8-static": forecast(6.0)})
    found = judge(Candidate(NET, "int8-static"), PI, known)
    assert found.status is VerdictStatus.SLOWER_THAN_FLOAT
    assert found.reason == (
        "slower than float32, which fits as well: p50 predicted 5.40 ms against predicted 2.70 ms"
    )


@pytest.mark.parametrize(
    ("p95_ms", "status"), [(2.0, VerdictStatus.AFTER_TRAINING), (30.0, VerdictStatus.TOO_SLOW)]
)
def test_mixed_precision_follows_its_predicted_fastest_form(
    p95_ms: float, status: VerdictStatus
) -> None:
    known = examined({"float32": forecast(40.0), "int8-static": forecast(p95_ms)})
    assert judge(Candidate(NET, "int8-mixed"), PI, known).status is status


def test_only_a_prediction_that_is_wholly_within_the_limits_misses_none() -> None:
    assert forecast_missed(PI, forecast(9.0)) is None
    assert forecast_missed(PI, forecast(9.8)) == (
        "latency p95 <= 10 ms",
        "predicted 9.80 ms (9.31 ms to 10.3 ms), so only a measurement on the device can decide",
    )
    assert forecast_missed(target(name="pi", size_bytes=10), forecast(9.0)) == (
        "size <= 10 B",
        "the file has 1.00 MB",
    )


def test_contenders_of_a_predicted_target_are_ranked_by_score_then_prediction() -> None:
    made = plan(predicted_verdict(NET, p95_ms=8.0), predicted_verdict(OTHER, p95_ms=2.0))
    trials = [
        trial(NET, artifact(score=0.95, sha256="a"), number=1),
        trial(OTHER, artifact(score=0.95, sha256="b"), number=2),
    ]
    ranked = contenders(PI, made, trials, objective="balanced-accuracy")
    assert [c.candidate.architecture for c in ranked] == [OTHER, NET]
    reasons = losing_reasons(
        PI, made, trials, winner=ranked[0], missed={}, objective="balanced-accuracy"
    )
    assert [r.text for r in reasons] == [
        "scored the same (0.9500) but is slower: p50 predicted 7.20 ms against predicted 1.80 ms"
    ]
    assert reasons[0].latency_ms == 8.0


def test_a_shortfall_says_what_is_predicted() -> None:
    short = limits_shortfall(PI, {Candidate(NET, "float32"): forecast(30.0)})
    assert short.best_reached == (
        "net_a-full-128 float32: predicted p95 30.0 ms (upper bound 31.5 ms)"
    )
    assert short.relaxation == "latency: {p95: 35ms}"


def test_a_plan_without_the_lost_device_says_which_one() -> None:
    made = plan(verdict(NET, status=VerdictStatus.FAILED, p95_ms=None, target_name="pi"))
    lost = type(made)(**{**vars(made), "lost": {"pi": "The device cannot be reached."}})
    short = plan_shortfall(PI, lost)
    assert short.best_reached == "nothing could be measured: The device cannot be reached."
    assert short.binding == "the device local answers"
    assert plan_shortfall(PI, made).best_reached == "nothing could be measured"
