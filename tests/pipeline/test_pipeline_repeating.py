"""What other work disturbed is measured once more, and the quieter answer counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from record_makers import measurement

from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.pipeline.repeating import measure_calmly
from automl.records import Measurement, Scope

CALM = measurement(10.0)
DISTURBED = measurement(20.0, cpu_ms=9.0)
WORSE = measurement(30.0, cpu_ms=9.0)
FAILED = MeasureFailure("file", "it was killed")
Answer = Measurement | MeasureFailure


def request(name: str) -> MeasureRequest:
    return MeasureRequest(
        path=name,
        sha256=name,
        threads=1,
        scope=Scope.FRAME,
        frame_size=(8, 8),
        min_runs=1,
        min_seconds=0.0,
        budgets=(),
        stop_early=False,
        memory=False,
    )


class Script:
    """Answers for each file, in the order of asking."""

    def __init__(self, **answers: Sequence[Answer]) -> None:
        self._answers = {name: list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    def __call__(self, requests: Sequence[MeasureRequest]) -> list[Answer]:
        self.asked.append(" ".join(one.path for one in requests))
        return [self._answers[one.path].pop(0) for one in requests]


def test_the_makers_of_this_test_are_what_they_are_called() -> None:
    assert (CALM.is_disturbed, DISTURBED.is_disturbed, WORSE.is_disturbed) == (False, True, True)


def test_only_what_was_disturbed_is_measured_again() -> None:
    script = Script(a=[CALM], b=[DISTURBED, CALM], c=[FAILED], d=[DISTURBED, CALM])
    assert measure_calmly(script, [request(name) for name in "abcd"]) == [CALM, CALM, FAILED, CALM]
    assert script.asked == ["a b c d", "b d"]


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ((DISTURBED, WORSE), DISTURBED),
        ((WORSE, DISTURBED), DISTURBED),
        ((DISTURBED, FAILED), DISTURBED),
        ((DISTURBED, replace(CALM, runs=5)), replace(CALM, runs=5)),
    ],
)
def test_the_quieter_of_two_answers_counts(answers: tuple[Answer, Answer], kept: Answer) -> None:
    assert measure_calmly(Script(a=answers), [request("a")]) == [kept]


def test_where_nothing_was_disturbed_it_is_asked_once() -> None:
    script = Script(a=[CALM], b=[FAILED])
    assert measure_calmly(script, [request("a"), request("b")]) == [CALM, FAILED]
    assert script.asked == ["a b"]
