"""A hardware plan in words, in the terminal and as a page: sources told apart, text escaped."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest
from chromium import Browser
from planner_makers import BOARD, CLOUD, DOWN, candidate, forecast, target_on
from record_makers import HOST, architecture, measurement

from automl.cli.planner_table import print_hardware_plan
from automl.hardware.costs import DEFAULT_RULES, assumptions_of, break_even
from automl.pipeline.placements import RANKING, Looked, outlook_of, place
from automl.records import Evidence, Forecast, MeasuredEnergy, Measurement, Verdict
from automl.records.planner import Cheapest, HardwarePlan, Network
from automl.report.planner_numbers import (
    format_energy,
    format_fraction,
    format_rate,
    format_span,
    format_usd,
)
from automl.report.planner_page import render_planner
from automl.report.planner_view import build_planner_view
from automl.search.limits import judge_evidence

HOSTILE = "</script><img src=x onerror=alert(1)>[red]"


def hardware(
    rows: list[tuple[Looked, str, Evidence]], *, name: str = "plan", sentence: str = ""
) -> HardwarePlan:
    """Return a plan of some devices, each with the candidates that are given for it."""
    placements, outlooks = [], []
    for where in dict.fromkeys(row[0].target.name for row in rows):
        own = []
        for looked, backbone, known in rows:
            if looked.target.name != where:
                continue
            status, reason = judge_evidence(looked.target, known)
            measured = known if isinstance(known, Measurement) else None
            expected = known if isinstance(known, Forecast) else None
            verdict = Verdict(candidate(backbone), where, status, reason, measured, expected)
            own.append(place(verdict, looked, rules=DEFAULT_RULES, frame_bytes=50_000))
        placements += own
        outlooks.append(outlook_of(next(r[0] for r in rows if r[0].target.name == where), own, {}))
    even = break_even(CLOUD, 10.0, BOARD, 20.0, rules=DEFAULT_RULES)
    assert even is not None
    return HardwarePlan(
        spec_name=name,
        spec_sha256="0" * 64,
        task="classification",
        space="quick",
        classes=3,
        frame_size=(480, 640),
        frame_bytes=50_000,
        frame_basis="640 x 480 pixels, as the spec says",
        rules=DEFAULT_RULES,
        assumptions=assumptions_of(DEFAULT_RULES),
        networks=(Network(architecture("net_a"), 10, 20),),
        outlooks=tuple(outlooks),
        placements=tuple(placements),
        ranking=RANKING,
        cheapest=Cheapest("board", candidate(), 0.1, True, sentence) if sentence else None,
        break_evens=(even,),
        notes=("A note.",),
        measured=0,
        predicted=4,
        cached=0,
        seconds=1.0,
    )


BOARD_AT = Looked(target_on("board"), BOARD.title, BOARD, None)
CLOUD_AT = Looked(target_on("cloud"), CLOUD.title, CLOUD, None)
HERE = Looked(target_on("local"), "this machine (test processor)", None, HOST)
ROWS: list[tuple[Looked, str, Evidence]] = [
    (BOARD_AT, "net_a", forecast(10.0)),
    (BOARD_AT, "net_b", forecast(20.0)),
    (CLOUD_AT, "net_a", forecast(90.0, device="cloud", link_ms=30.0)),
    (HERE, "net_a", measurement(10.0)),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_energy(12.345), "12.3 J"),
        (format_energy(0.31), "310 mJ"),
        (format_energy(0.00021), "210 µJ"),
        (format_usd(1234.5), "1,234 USD"),
        (format_usd(0.0591), "0.059 USD"),
        (format_fraction(0.0), "0.00"),
        (format_fraction(0.41), "0.41"),
        (format_rate(1240.4), "1,240"),
        (format_rate(7.44), "7.4"),
        (format_rate(0.123), "0.12"),
        (format_span(2.8, 13.6), "2.80 to 13.6 ms"),
    ],
)
def test_numbers_are_written_with_two_or_three_digits(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (ROWS, "2 of 3 devices meet the limits, 1 of them by prediction."),
        (ROWS[:1], "The device meets the limits, by prediction."),
        (ROWS[3:], "The device meets the limits."),
        (ROWS[1:2], "The device may meet the limits; only a measurement can tell."),
        (ROWS[:3], "1 of 2 devices meets the limits, by prediction."),
        (ROWS[2:3], "The device does not meet the limits."),
    ],
)
def test_the_headline_says_what_rests_on_a_prediction(
    rows: list[tuple[Looked, str, Evidence]], expected: str
) -> None:
    assert build_planner_view(hardware(rows)).headline == expected


def test_every_number_of_a_prediction_is_marked_and_none_of_a_measurement() -> None:
    board, _, here = build_planner_view(hardware(ROWS)).devices
    (best, other) = board.rows
    for text in (best.latency, best.limited, best.memory, best.energy, best.cost, best.frames):
        assert text.startswith("~"), text
    assert all(figure.value.startswith("~") for figure in board.figures)
    assert "~" not in "".join((here.rows[0].latency, here.rows[0].frames, here.rows[0].memory))
    assert not any("~" in figure.value for figure in here.figures)
    assert (best.verdict, other.verdict) == ("fits", "unsure")
    assert board.source.startswith("predicted, from the published figures")
    assert here.source.startswith("measured, ")


def test_energy_is_marked_unless_the_machine_counted_it() -> None:
    told = MeasuredEnergy(0.0042, load_w=12.0, idle_w=5.0, seconds=2.0, source="RAPL: package-0")
    counted = replace(measurement(10.0), energy=told)
    at = Looked(target_on("local"), BOARD.title, BOARD, HOST)
    (here,) = build_planner_view(hardware([(at, "net_a", counted)])).devices
    assert here.rows[0].energy == "4.20"
    (figure,) = [one for one in here.figures if one.label == "energy an image"]
    assert figure.value == "4.20 mJ"
    assert figure.note.startswith("measured: 12 W at work less 5 W when idle, by the counters")
    (here,) = build_planner_view(hardware([(at, "net_a", measurement(10.0))])).devices
    assert here.rows[0].energy.startswith("~")
    (figure,) = [one for one in here.figures if one.label == "energy an image"]
    assert figure.value.startswith("~")
    assert figure.note.startswith("estimated: 10 W under load")


def test_rows_are_in_units_that_can_be_compared() -> None:
    (best, _) = build_planner_view(hardware(ROWS)).devices[0].rows
    assert (best.latency, best.interval) == ("~10.0 to 12.0 ms", "6.00 to 24.0 ms")
    assert (best.memory, best.size) == ("~60.0", "5.00")  # megabytes
    assert best.energy == "~100"  # 10 W x 10 ms, millijoules
    assert best.frames == "~100"


def test_a_far_machine_tells_its_network_apart_and_what_happens_without_it() -> None:
    cloud = build_planner_view(hardware(ROWS)).devices[1]
    assert cloud.network == (
        "Of this the network takes 30.0 ms (95 of 100 times at most 55.0 ms): 50.0 kB are sent in "
        "10.0 ms, the rest is the way there and back."
    )
    assert cloud.notes == ("Gets warm.", f"When the link is down: {DOWN}")
    assert cloud.needed == (
        "The smallest latency limit that something keeps here: p95 240 ms, by prediction "
        "(net_a-full-128 float32)."
    )


def test_what_is_predicted_says_what_would_prove_it() -> None:
    board, _, here = build_planner_view(hardware(ROWS)).devices
    assert board.proof == (
        "run 'automl agent' on such a device, and plan again with --device http://ADDRESS:8420 and "
        "the token that it prints in AUTOML_AGENT_TOKEN"
    )
    assert here.proof == ""
    foreign = replace(BOARD_AT, profile=replace(BOARD, provider=None))
    (only,) = build_planner_view(hardware([(foreign, "net_a", forecast(10.0))])).devices
    assert only.proof.startswith("onnxruntime does not run there: convert a model")


def test_bars_of_all_devices_share_one_scale() -> None:
    view = build_planner_view(hardware(ROWS))
    bars = [device.bar for device in view.devices]
    assert all(bar is not None for bar in bars)
    limits = {round(bar.limit or 0, 6) for bar in bars if bar is not None}
    assert len(limits) == 1
    board, cloud, here = (bar.mark for bar in bars if bar is not None)
    assert here < board < cloud  # p95 of 10, 12 and 108 ms
    for bar in bars:
        assert bar is not None
        assert 0 <= bar.left <= bar.mark <= bar.left + bar.width <= 100.001
    places = [place for place, _ in view.scale]
    assert places == sorted(places)


def test_the_terminal_shows_all_within_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_hardware_plan(build_planner_view(hardware(ROWS, sentence="Little Board is cheapest.")))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert "\x1b" not in out
    for text in ("Little Board is cheapest.", "USD/million", "Rent or buy", "price of electricity"):
        assert text in out, text


def test_names_neither_steer_the_terminal_nor_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    evil = f"{HOSTILE}\x1b[2J"
    profile = replace(BOARD, title=evil, notes=(evil,))
    where = Looked(target_on("board"), evil, profile, None)
    plan = hardware([(where, "net_a", forecast(10.0))], name=evil, sentence=evil)
    print_hardware_plan(build_planner_view(plan))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]" in out
    page = render_planner(plan)
    assert "<img src=x" not in page
    assert "&lt;/script&gt;&lt;img src=x" in page
    assert page.count("</script>") == page.count("<script>") == 1


def test_the_page_asks_nothing_of_any_other_machine() -> None:
    page = render_planner(hardware(ROWS))
    assert "default-src 'none'" in html.unescape(page)
    asked = re.findall(r"(?:src|data|action)=\"(https?:[^\"]*)", page)
    assert asked == []
    assert set(re.findall(r"href=\"(https?:[^\"]*)", page)) == {"https://example.com/sheet.pdf"}


def test_the_page_says_why_for_every_candidate() -> None:
    plan = hardware(ROWS)
    page = render_planner(plan)
    for one in plan.placements:
        assert one.reason.replace("<=", "&lt;=") in page
    for one in plan.assumptions:
        assert one.reason in page


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 768, 320])
def test_the_page_fits_every_width_and_complains_of_nothing(
    browser: Browser, width: int, tmp_path: Path
) -> None:
    file = tmp_path / "plan.html"
    file.write_text(render_planner(hardware(ROWS, sentence="Little Board is cheapest.")))
    browser.open(file, width=width)
    assert browser.evaluate("document.documentElement.dataset.overflow") == "0"
    assert browser.requests() == [file.resolve().as_uri()]
    assert browser.complaints() == []


@pytest.mark.browser
def test_a_column_of_predicted_numbers_can_be_sorted(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "plan.html"
    file.write_text(render_planner(hardware(ROWS)))
    browser.open(file, width=1280)
    table = "document.querySelectorAll('#d0 table')[0]"
    cells = f"[...{table}.tBodies[0].rows].map(row => row.cells[3].textContent.trim()).join(';')"
    click = f"{table}.tHead.rows[0].cells[3].querySelector('button').click()"
    browser.evaluate(f"{click}, {click}")
    assert browser.evaluate(cells) == "~20.0 to 24.0 ms;~10.0 to 12.0 ms"
    browser.evaluate(click)
    assert browser.evaluate(cells) == "~10.0 to 12.0 ms;~20.0 to 24.0 ms"
