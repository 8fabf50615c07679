"""What a delivered model claims, also where the test images cannot tell."""

from __future__ import annotations

import pytest
from record_makers import measurement, target

from automl.pipeline.claims import state_claims
from automl.records import Requirement, Scores

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
