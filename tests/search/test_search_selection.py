"""Who may win, in which order, and the reason that every other candidate gets."""

from __future__ import annotations

from dataclasses import replace

from record_makers import architecture, artifact, measurement, plan, target, trial, verdict

from automl.records import Requirement, TrialStatus, VerdictStatus
from automl.search.selection import (
    contenders,
    limit_missed,
    losing_reasons,
    requirement_missed,
)

BIG, SMALL = architecture("big"), architecture("small")
OBJECTIVE = "balanced-accuracy"


def test_contenders_are_ranked_by_score_then_speed() -> None:
    made = plan(verdict(BIG, p95_ms=8.0), verdict(SMALL, p95_ms=2.0), verdict(BIG, "int8-static"))
    trials = [
        trial(BIG, artifact(score=0.95), artifact("int8-static", score=0.93), number=1),
        trial(SMALL, artifact(score=0.95, sha256="s"), number=2),
    ]
    ranked = contenders(target(), made, trials, objective=OBJECTIVE)
    assert [c.candidate.key for c in ranked] == [
        "small-full-128 float32",
        "big-full-128 float32",
        "big-full-128 int8-static",
    ]


def test_rejected_infeasible_and_unfinished_files_are_no_contenders() -> None:
    made = plan(
        verdict(BIG),
        verdict(BIG, "int8-static", status=VerdictStatus.TOO_SLOW),
        verdict(SMALL),
    )
    trials = [
        trial(BIG, artifact(rejected="dropped 0.2"), artifact("int8-static"), number=1),
        trial(SMALL, number=2, status=TrialStatus.STOPPED, objective=0.5),
    ]
    assert contenders(target(), made, trials, objective=OBJECTIVE) == ()


def test_only_an_upper_bound_within_the_budget_passes() -> None:
    assert limit_missed(target(p95_ms=10.0), measurement(9.0)) is None
    assert limit_missed(target(p95_ms=10.0), measurement(9.8)) == (
        "latency p95 <= 10 ms",
        "in a fresh process p95 was 9.80 ms with an upper bound of 10.3 ms, above 10 ms",
    )
    big = measurement(1.0, size_bytes=3_000_000, memory_bytes=90)
    assert limit_missed(target(size_bytes=2_000_000), big) == (
        "size <= 2.00 MB",
        "the file has 3.00 MB",
    )
    assert limit_missed(target(memory_bytes=80), big) == (
        "memory <= 80 B",
        "a fresh process that ran it took 90 B",
    )


def test_too_few_runs_for_a_bound_prove_nothing() -> None:
    few = replace(measurement(1.0), runs=71)
    assert limit_missed(target(), few) == (
        "latency p95 <= 10 ms",
        "71 runs in 2 s are too few to bound p95, which takes 72",
    )
    assert limit_missed(target(), replace(few, runs=72)) is None


def test_a_required_metric_that_is_missed_or_missing_is_named() -> None:
    recall = Requirement("recall", "fail", ">=", 0.95)
    assert requirement_missed([recall], {"recall[fail]": 0.97}) is None
    assert requirement_missed([recall], {"recall[fail]": 0.9}) == (
        "recall[fail] >= 0.95",
        "recall[fail] was 0.9000 on the validation images",
    )
    assert requirement_missed([recall], {}) == (
        "recall[fail] >= 0.95",
        "recall[fail] could not be computed on the validation images",
    )


def test_every_loser_names_its_clause_and_by_how_much() -> None:
    slow, dead, idle = architecture("slow"), architecture("dead"), architecture("idle")
    made = plan(
        verdict(BIG, p95_ms=4.0),
        verdict(BIG, "int8-static", p95_ms=2.0),
        verdict(SMALL, p95_ms=5.0),
        verdict(slow, status=VerdictStatus.TOO_SLOW, p95_ms=50.0, reason="5 times the budget"),
        verdict(dead),
        verdict(idle),
    )
    trials = [
        trial(
            BIG,
            artifact(score=0.97, sha256="win"),
            artifact("int8-static", score=0.8, rejected="lost 0.17, at most 0.01"),
            number=1,
        ),
        trial(SMALL, artifact(score=0.93, sha256="small"), number=2),
        trial(dead, number=3, status=TrialStatus.FAILED, error="DivergedError: not a number"),
        trial(BIG, number=4, status=TrialStatus.STOPPED, objective=0.6),
    ]
    winner = contenders(target(), made, trials, objective=OBJECTIVE)[0]
    reasons = losing_reasons(target(), made, trials, winner=winner, missed={}, objective=OBJECTIVE)
    found = [(r.candidate.key, r.stage, r.clause, r.text) for r in reasons]
    early = "stopped after epoch 0 of 4: others scored better by then"
    assert found == [
        ("big-full-128 float32", "training", "search: early stopping", early),
        (
            "big-full-128 int8-static",
            "quantization",
            "quantization.max_drop",
            "lost 0.17, at most 0.01",
        ),
        ("big-full-128 int8-static", "training", "search: early stopping", early),
        (
            "small-full-128 float32",
            "selection",
            "objective balanced-accuracy",
            "scored 0.9300 on the validation images, the winner 0.9700 (0.0400 less)",
        ),
        ("slow-full-128 float32", "plan", "latency p95 <= 10 ms", "5 times the budget"),
        (
            "dead-full-128 float32",
            "training",
            "the trial finishes",
            "failed: DivergedError: not a number",
        ),
        (
            "idle-full-128 float32",
            "training",
            "search.time, search.trials",
            "fits, but the search ended before it was this network's turn",
        ),
    ]


def test_a_contender_ruled_out_at_the_end_keeps_the_sentence_of_its_measurement() -> None:
    made = plan(verdict(BIG), verdict(SMALL))
    trials = [
        trial(BIG, artifact(score=0.97, sha256="late"), number=1),
        trial(SMALL, artifact(score=0.90, sha256="win"), number=2),
    ]
    ranked = contenders(target(), made, trials, objective=OBJECTIVE)
    missed = {"late": ("latency p95 <= 10 ms", "upper bound of 11 ms")}
    (reason,) = losing_reasons(
        target(), made, trials, winner=ranked[1], missed=missed, objective=OBJECTIVE
    )
    assert (reason.stage, reason.clause, reason.text) == ("selection", *missed["late"])


def test_verdicts_of_other_targets_do_not_count() -> None:
    made = plan(verdict(BIG, status=VerdictStatus.TOO_SLOW), verdict(BIG, target_name="other"))
    other = replace(target(), name="other")
    trials = [trial(BIG, artifact())]
    assert contenders(target(), made, trials, objective=OBJECTIVE) == ()
    assert len(contenders(other, made, trials, objective=OBJECTIVE)) == 1
