"""What a report says of networks that were looked at and not trained in full."""

from __future__ import annotations

from dataclasses import replace

from report_records import passing

from automl.records import Probe, RunRecord, TrialResult
from automl.report.render import render_report
from automl.report.training import drawn_trials, rank_trials


def looked_at(known: RunRecord) -> RunRecord:
    """The record with a delivered probe, a glance, and two sets of features, of which one failed."""
    first, *rest = known.trials
    key = first.architecture.key
    probe: TrialResult = replace(
        first,
        id="0090-head",
        number=90,
        rung="probe",
        epochs=(),
        recipe=replace(first.recipe, epochs=0),
    )
    glance = replace(
        first,
        id="0091-glance",
        number=91,
        rung="glance",
        epochs=first.epochs[:1],
        artifacts=(),
        objective=None,
    )
    probes = (
        Probe(
            "p1",
            "net_a",
            128,
            {key: 0.9125},
            {key: "ridge (strength 10)"},
            {key: 0.875},
            624,
            None,
            {"features": 2.5},
            9.0,
        ),
        Probe("p2", "net_b", 96, {}, {}, {}, 0, "AutomlError: no <weights>", {}, 9.0),
    )
    return replace(known, trials=(first, *rest, probe, glance), probes=probes)


def test_probes_and_glances_are_told_apart_from_trainings() -> None:
    page = render_report(looked_at(passing()))
    assert "Looked at before training" in page
    assert "ridge (strength 10)" in page
    assert "net_b at 96 px" in page
    assert "AutomlError: no &lt;weights&gt;" in page
    assert '<td class="n">#90<td class="name">' in page
    row = page.split('<td class="n">#91<td class="name">')[-1].split("<tr>")[0]
    assert '<td class="name">glance<td class="n">' in row


def test_a_glance_has_no_learning_curve() -> None:
    known = looked_at(passing())
    assert [t.rung for t in drawn_trials(rank_trials(known), set())].count("glance") == 0


def test_a_run_without_probes_says_nothing_of_them() -> None:
    assert "Looked at before training" not in render_report(passing())
