"""A device elsewhere must answer as this machine does: small differences of rounding pass, others do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from bundle_maker import Made, shared_bundle
from numpy.typing import NDArray

from automl.errors import AutomlError
from automl.export.bundle import MODEL
from automl.hardware.answers import RawOutputs, raw_outputs
from automl.pipeline.agreement import check_agreement
from automl.records import Claim

Change = Callable[[list[RawOutputs]], list[RawOutputs]]


@pytest.fixture(scope="module")
def made(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return shared_bundle(tmp_path_factory.getbasetemp(), paper_images)


class Elsewhere:
    """Answers with the file itself, then changes what it says."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def answer(
        self,
        path: str,
        sha256: str,
        images: Sequence[bytes | NDArray[np.uint8]],
        *,
        threads: int = 1,
    ) -> list[RawOutputs]:
        frames = [image for image in images if not isinstance(image, bytes)]
        assert len(frames) == len(images), "frames are sent, so that only the model differs"
        return self._change(list(raw_outputs(path, frames)))


def claim_of(made: Made, change: Change, *, scheme: str = "float32") -> Claim:
    images = [path.read_bytes() for path in sorted((made.data / "fail").iterdir())[:3]]
    return check_agreement(
        made.bundle.path / MODEL,
        made.bundle.card.model_sha256,
        scheme,
        target=made.bundle.card.target,
        device=Elsewhere(change),
        images=images,
    )


def shifted(by: float) -> Change:
    """Move probability from the first class to the second."""

    def change(answers: list[RawOutputs]) -> list[RawOutputs]:
        step = np.array([[-by, by]], np.float32)
        return [{"probabilities": one["probabilities"] + step} for one in answers]

    return change


def opposite(answers: list[RawOutputs]) -> list[RawOutputs]:
    """Let the other class lead, by far."""
    sure = np.array([[0.1, 0.9]], np.float32)
    return [
        {"probabilities": sure if one["probabilities"].argmax() == 0 else sure[:, ::-1]}
        for one in answers
    ]


def lost(answers: list[RawOutputs]) -> list[RawOutputs]:
    raise AutomlError("The connection was lost.")


def test_the_same_answers_hold_with_the_number_of_images(made: Made) -> None:
    claim = claim_of(made, lambda answers: answers)
    assert claim == Claim(
        requirement="same answers on the device",
        asked="numbers within 0.001, same answer",
        got="largest difference 0",
        how="3 images, answered by the delivered file on local and here",
        holds=True,
    )


@pytest.mark.parametrize(
    ("scheme", "by", "holds"),
    [("float32", 0.0005, True), ("float32", 0.01, False), ("int8-static", 0.01, True)],
)
def test_how_much_may_differ_depends_on_how_numbers_are_stored(
    made: Made, scheme: str, by: float, holds: bool
) -> None:
    claim = claim_of(made, shifted(by), scheme=scheme)
    assert claim.holds is holds, claim
    assert claim.got.startswith(f"largest difference {by:.2g}")


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lost, "could not be compared: The connection was lost."),
        (lambda answers: answers[1:], "could not be compared: 3 answers were asked for; 2 came."),
        (
            lambda answers: [{"scores": one["probabilities"]} for one in answers],
            "could not be compared: the device gave no such answer (KeyError('probabilities')).",
        ),
    ],
)
def test_answers_that_cannot_be_compared_do_not_hold(made: Made, change: Change, got: str) -> None:
    claim = claim_of(made, change)
    assert (claim.holds, claim.got) == (False, got)


def test_other_answers_are_counted(made: Made) -> None:
    claim = claim_of(made, opposite)
    assert not claim.holds
    assert claim.got.endswith(", 3 other answers")
