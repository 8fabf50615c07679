"""The report of a long night: it stays small, holds what matters, and says what it leaves out."""

from __future__ import annotations

import html
from dataclasses import replace
from types import ModuleType

import pytest

from automl.records import RunRecord, Selection
from automl.report import MAX_IMAGE_BYTES, render_report, wanted_pictures
from automl.report.candidate_row import CandidateRow, CandidateState, listed_rows
from automl.report.samples import Picture, each_once
from automl.report.view import build_view

MOST_BYTES = 3_000_000
TRIALS = 1_000


@pytest.fixture(scope="module")
def night(runs: ModuleType) -> RunRecord:
    record: RunRecord = runs.many_trials(TRIALS)
    return record


def on_targets(record: RunRecord, runs: ModuleType, count: int) -> RunRecord:
    """Return the same night with so many targets, all alike."""
    targets = tuple(replace(runs.LOCAL, name=f"line{i}") for i in range(count))
    assert record.selection is not None
    (chosen,) = record.selection.targets
    verdicts = tuple(
        replace(verdict, target=target.name)
        for target in targets
        for verdict in record.plan.verdicts
    )
    return replace(
        record,
        spec=replace(record.spec, targets=targets),
        plan=replace(record.plan, verdicts=verdicts),
        selection=Selection(tuple(replace(chosen, target=target) for target in targets)),
    )


@pytest.mark.parametrize("targets", [1, 3, 6])
def test_a_page_of_a_thousand_trials_and_all_its_pictures_can_be_sent(
    night: RunRecord, runs: ModuleType, targets: int
) -> None:
    record = on_targets(night, runs, targets)
    wanted = wanted_pictures(record)
    images = {picture.key: b"\0" * (MAX_IMAGE_BYTES // len(wanted)) for picture in wanted}
    page = render_report(record, images=images)
    assert page.count("data:image/jpeg;base64,") >= len(wanted)
    assert len(page.encode()) < MOST_BYTES


def test_a_long_table_says_where_the_rest_is(night: RunRecord) -> None:
    view = build_view(night)
    (target,) = view.targets
    page = html.unescape(render_report(night))
    left_out = len(target.candidates) - len(target.listed)
    assert left_out > 0
    assert (
        "The table holds the best of each kind of end. "
        f"The other {left_out:,}, with their reasons, are in selection.json."
    ) in page
    assert "The table holds the 300 best. The other 700 are in the trials' folders." in page
    assert f"{TRIALS:,} trials" in page


def test_a_long_table_keeps_the_winner_the_front_and_all_that_was_not_trained(
    night: RunRecord,
) -> None:
    (target,) = build_view(night).targets
    listed = set(target.listed)
    assert target.listed[0].state is CandidateState.WINNER
    for row in target.candidates:
        if row.on_front or row.state is CandidateState.UNTRAINED:
            assert row in listed
    assert sum(count for _, count in target.states) == len(target.candidates)


def test_a_short_table_holds_everything(runs: ModuleType) -> None:
    record = runs.passing()
    view = build_view(record)
    page = render_report(record)
    assert view.listed == view.trials
    assert all(target.listed == target.candidates for target in view.targets)
    assert "The table holds" not in page


def test_listed_rows_are_the_first_of_each_end(night: RunRecord) -> None:
    (target,) = build_view(night).targets
    rows: tuple[CandidateRow, ...] = tuple(replace(r, on_front=False) for r in target.candidates)
    kept = listed_rows(rows, at_most=2)
    for state in CandidateState:
        own = [row for row in rows if row.state is state]
        expected = own if state is CandidateState.UNTRAINED else own[:2]
        assert [row for row in kept if row.state is state] == expected


def test_a_file_chosen_for_several_targets_shows_its_answers_once(
    night: RunRecord, runs: ModuleType
) -> None:
    record = on_targets(night, runs, 2)
    first, second = build_view(record).targets
    assert (first.same_file_as, second.same_file_as) == ("", "line0")
    assert first.results.samples
    assert not second.results.samples
    page = html.unescape(render_report(record))
    name = '<bdi title="line0">line0</bdi>'
    sentence = f"The same file was chosen for {name}, where its answers for test images are shown."
    assert sentence in page


def test_a_picture_counts_as_often_as_the_page_holds_it() -> None:
    one, other = (Picture(f"data:{name}", name, in_run=False) for name in ("a.jpg", "b.jpg"))
    assert each_once([one, other, one]) == (replace(one, uses=2), other)
