"""What was predicted is marked wherever the report shows it, and nothing of it is called proven."""

from __future__ import annotations

import re
from dataclasses import replace

import report_records as runs

from automl.records import (
    Claim,
    Forecast,
    LatencyBudget,
    Measurement,
    RunRecord,
    Selection,
    TargetSelection,
    Verdict,
)
from automl.report import render_report
from automl.report.answer import Outcome
from automl.report.charts import build_charts
from automl.report.view import build_view

BOARD = replace(runs.LOCAL, name="board", device="raspberry-pi-5")
PROVE = "automl verify runs/paper/bundle/board --device http://DEVICE:8420"


def as_forecast(measured: Measurement) -> Forecast:
    return Forecast(
        device="raspberry-pi-5",
        basis="catalogue",
        explanation="from the published figures of the device alone",
        artifact_sha256=measured.artifact_sha256,
        threads=measured.threads,
        scope=measured.scope,
        frame_size=measured.frame_size,
        p50_ms=measured.p50_ms,
        p90_ms=measured.p90_ms,
        p95_ms=measured.p95_ms,
        p99_ms=measured.p99_ms,
        link_ms=0.0,
        memory_bytes=61_000_000,
        size_bytes=measured.size_bytes,
    )


def predicted_verdict(verdict: Verdict) -> Verdict:
    known = verdict.measurement
    forecast = None if known is None else as_forecast(known)
    return replace(verdict, measurement=None, forecast=forecast)


def predicted_claim(claim: Claim, *, holds: bool) -> Claim:
    if not claim.requirement.startswith(("latency", "memory")):
        return claim
    return replace(
        claim, got=f"predicted {claim.got}", how="by its figures", holds=holds, proven=False
    )


def predicted(chosen: TargetSelection, *, holds: bool = True) -> TargetSelection:
    assert chosen.measurement is not None
    return replace(
        chosen,
        measurement=None,
        forecast=as_forecast(chosen.measurement),
        claims=tuple(predicted_claim(claim, holds=holds) for claim in chosen.claims),
        runners_up=(),
    )


def run_for(*, holds: bool = True, also_local: bool = False) -> RunRecord:
    """Return a run whose board is only predicted."""
    found = runs.some_trials()
    board = predicted(runs.won(found, BOARD), holds=holds)
    targets = (runs.LOCAL, BOARD) if also_local else (BOARD,)
    chosen = (runs.won(found), board) if also_local else (board,)
    record = runs.record(found, Selection(chosen), targets)
    plan = replace(
        record.plan,
        verdicts=tuple(
            predicted_verdict(v) if v.target == "board" else v for v in record.plan.verdicts
        ),
        hosts={"local": runs.HOST} if also_local else {},
    )
    return replace(record, plan=plan)


def test_a_predicted_answer_says_so_first_and_how_to_prove_it() -> None:
    view = build_view(run_for())
    (target,) = view.targets
    assert target.outcome is Outcome.FITS
    assert view.headline == (
        "A model was found that should meet every requirement: predicted, not proven."
    )
    assert any(
        s.startswith(
            "By prediction it answers within 4.75 ms for 95 of 100 runs (47 % of the 10.0 ms"
        )
        and s.endswith("on 1 processor thread of raspberry-pi-5, where nothing was measured.")
        for s in target.answer.sentences
    ), target.answer.sentences
    assert [figure.label for figure in target.answer.figures] == [
        "balanced accuracy",
        "latency p95, predicted",
        "file size",
        "memory, predicted",
    ]
    assert PROVE in [step.command for step in target.answer.steps]


def test_every_row_with_a_predicted_latency_has_a_badge() -> None:
    (target,) = build_view(run_for()).targets
    rows = [row for row in target.candidates if row.latency_ms is not None]
    assert rows
    assert all(row.is_predicted for row in rows)
    assert all(row.is_predicted for row in target.schemes.rows if row.latency_ms is not None)
    page = render_report(run_for())
    badge = '<span class="badge warn">predicted</span>'
    schemes = [row for row in target.schemes.rows if row.latency_ms is not None]
    assert page.count(badge) == len(rows) + len(schemes)
    assert page.count('<span class="badge warn">predicted, not proven</span>') == 2
    assert "Fits, predicted" in page
    assert "<dt>Measured on" not in page, "nothing was"
    assert "Nothing was measured there, so nothing is proven." in page


def test_a_measured_target_beside_it_has_no_such_mark() -> None:
    record = run_for(also_local=True)
    view = build_view(record)
    assert view.headline == (
        "Each of the 2 targets has a model that meets every requirement (1 of them by prediction alone, "
        "which proves nothing)."
    )
    local, board = view.targets
    assert (local.is_predicted, board.is_predicted) == (False, True)
    assert not any(row.is_predicted for row in local.candidates)
    page = render_report(record)
    part = page[page.index('id="t0-answer"') : page.index('id="t1-answer"')]
    assert "predicted" not in re.sub(r'title="[^"]*"', "", part)
    charts = build_charts(view)
    titles = {key: chart.title for key, chart in charts.charts.items()}
    assert titles["schemes-0"] == "Latency under each scheme"
    assert titles["schemes-1"] == "Predicted latency under each scheme"
    for name in ("points", "untrained"):
        assert charts.tables[f"{name}-0"]["source"]["words"] == ["measured"]
        assert charts.tables[f"{name}-1"]["source"]["words"] == ["predicted"]


def test_a_prediction_that_is_not_sure_is_called_unsure() -> None:
    (target,) = build_view(run_for(holds=False)).targets
    assert target.outcome is Outcome.PARTLY
    assert target.answer.headline == "A model was chosen, but 2 of 5 requirements may not hold."
    assert "Not certain: latency p95 <= 10 ms (got predicted 4.75 ms)." in target.answer.sentences
    assert "? unsure, predicted" in render_report(run_for(holds=False))
    assert target.candidates[0].text == (
        "Chosen: the best score among those that, by prediction, may keep every limit."
    )


def test_a_target_without_a_limit_says_what_is_predicted() -> None:
    record = run_for()
    free = replace(BOARD, latency=())
    spec = replace(record.spec, targets=(free,))
    assert record.selection is not None
    selection = Selection((replace(record.selection.targets[0], target=free),))
    (target,) = build_view(replace(record, spec=spec, selection=selection)).targets
    assert any(
        s.startswith("By prediction it answers within 4.75 ms for 95 of 100 runs")
        and s.endswith("where nothing was measured; you set no limit.")
        for s in target.answer.sentences
    )
    assert LatencyBudget("p95", 10.0) in BOARD.latency
