"""What a delivered model claims, also where the test images cannot tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from record_makers import forecast, measurement, target
from report_records import passing

from automl.pipeline.claims import state_claims
from automl.pipeline.outcome import unmet
from automl.records import Requirement, Scores, Selection

GOOD_ALONE = Scores(values={"false-alarm-rate": 0.0}, confusion=((16, 0), (0, 0)), samples=16)


def test_objective_that_the_test_images_cannot_tell_is_claimed_as_not_known() -> None:
    *_, claim = state_claims(target(), measurement(8.0), (), GOOD_ALONE, "image-auroc")
    assert claim.requirement == "objective image-auroc"
    assert claim.got == "not known: the test images do not show it"
    assert claim.holds


@pytest.mark.parametrize(
    ("key", "relation", "got", "holds"),
    [
        ("image-auroc", ">=", "could not be computed", False),
        ("false-alarm-rate", "<=", "0.0 %", True),
    ],
)
def test_bound_on_what_the_test_images_cannot_tell_does_not_hold(
    key: str, relation: str, got: str, holds: bool
) -> None:
    bound = Requirement(key, None, relation, 0.05)
    claims = state_claims(target(), measurement(8.0), (bound,), GOOD_ALONE, "image-auroc")
    (claim,) = [one for one in claims if one.requirement.startswith(key)]
    assert (claim.got, claim.holds) == (got, holds)


@pytest.mark.parametrize(("p95_ms", "holds"), [(8.0, True), (9.8, False)])
def test_a_predicted_latency_is_claimed_as_such_and_never_as_proven(
    p95_ms: float, holds: bool
) -> None:
    (latency, size, objective) = state_claims(
        target(size_bytes=2_000_000), forecast(p95_ms), (), GOOD_ALONE, "false-alarm-rate"
    )
    assert (latency.holds, latency.proven) == (holds, False)
    assert latency.got.startswith(f"predicted {p95_ms:.2f} ms (95 % interval ")
    assert latency.how == (
        "predicted for pi, 1 thread, scope frame: from its published figures; to prove it, start "
        "'automl agent' on the device and run 'automl verify' on this bundle with --device "
        "http://DEVICE:8420"
    )
    assert (size.got, size.proven, objective.proven) == ("1.00 MB", True, True)


@pytest.mark.parametrize(
    ("memory_bytes", "got", "holds"),
    [
        (30_000_000, "predicted 30.0 MB", True),
        (300_000_000, "predicted 300 MB", False),
        (None, "not known", False),
    ],
)
def test_memory_that_is_not_known_to_fit_does_not_hold(
    memory_bytes: int | None, got: str, holds: bool
) -> None:
    known = forecast(5.0, memory_bytes=memory_bytes)
    asked = target(p95_ms=None, memory_bytes=100_000_000)
    memory = state_claims(asked, known, (), GOOD_ALONE, "false-alarm-rate")[0]
    assert (memory.got, memory.holds, memory.proven) == (got, holds, False)


def test_what_a_prediction_leaves_open_is_not_met_for_sure() -> None:
    record = passing()
    assert record.selection is not None
    (chosen,) = record.selection.targets
    claims = state_claims(target(), forecast(9.8), (), GOOD_ALONE, "false-alarm-rate")
    open_ = replace(record, selection=Selection((replace(chosen, claims=claims),)))
    (line,) = unmet(open_)
    assert line.startswith(
        "Target 'local' may miss 'latency p95 <= 10 ms': got predicted 9.80 ms ("
    )
    sure = state_claims(target(), forecast(8.0), (), GOOD_ALONE, "false-alarm-rate")
    assert unmet(replace(record, selection=Selection((replace(chosen, claims=sure),)))) == []
