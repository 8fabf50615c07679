"""The page in a real browser: charts drawn, nothing asked for, nothing wider than the window."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from chromium import Browser

from automl.report import render_report, wanted_pictures

pytestmark = pytest.mark.browser


def write(folder: Path, runs: ModuleType, name: str, thumbnail: bytes) -> Path:
    record = runs.many_trials(300) if name == "many_trials" else getattr(runs, name)()
    page = folder / f"{name}.html"
    images = {picture.key: thumbnail for picture in wanted_pictures(record)}
    page.write_text(render_report(record, images=images), "utf-8")
    return page


@pytest.mark.parametrize(
    ("name", "charts"),
    [
        ("passing", 5),
        ("nothing_fits", 2),
        ("interrupted", 5),
        ("two_targets", 8),
        ("hostile", 5),
        ("many_trials", 5),
    ],
)
def test_page_draws_itself_quietly_at_every_width(
    browser: Browser, runs: ModuleType, tmp_path: Path, thumbnail: bytes, name: str, charts: int
) -> None:
    page = write(tmp_path, runs, name, thumbnail)
    for width in (1400, 390):
        browser.open(page, width=width)
        assert browser.evaluate("document.documentElement.dataset.errors || ''") == ""
        assert browser.complaints() == []
        assert browser.requests() == [page.resolve().as_uri()]
        assert browser.evaluate("document.querySelectorAll('.plot svg').length") == charts
        assert browser.evaluate("document.documentElement.dataset.overflow") == "0"


@pytest.mark.parametrize(
    ("name", "charts"), [("segmentation", 7), ("detection", 8), ("anomaly", 6)]
)
def test_page_of_every_task_draws_itself_at_every_width(
    browser: Browser, tasks: ModuleType, tmp_path: Path, thumbnail: bytes, name: str, charts: int
) -> None:
    page = write(tmp_path, tasks, name, thumbnail)
    for width in (1400, 390):
        browser.open(page, width=width)
        assert browser.evaluate("document.documentElement.dataset.errors || ''") == ""
        assert browser.complaints() == []
        assert browser.requests() == [page.resolve().as_uri()]
        assert browser.evaluate("document.querySelectorAll('.plot svg').length") == charts
        assert browser.evaluate("document.documentElement.dataset.overflow") == "0"
        unseen = "[...document.images].filter(i => !i.naturalWidth || !i.clientWidth).length"
        assert browser.evaluate(unseen) == 0


def test_charts_follow_the_window(
    browser: Browser, runs: ModuleType, tmp_path: Path, thumbnail: bytes
) -> None:
    browser.open(write(tmp_path, runs, "passing", thumbnail), width=1400)
    width = "document.querySelector('.plot svg').getBoundingClientRect().width"
    wide = browser.evaluate(width)
    browser.resize(500)
    browser.wait(f"{width} < 460")
    assert wide > 800


def test_candidates_are_filtered_and_sorted(
    browser: Browser, runs: ModuleType, tmp_path: Path, thumbnail: bytes
) -> None:
    browser.open(write(tmp_path, runs, "passing", thumbnail), width=1400)
    shown = "[...document.querySelectorAll('#candidates-0 tbody tr')].filter(r => !r.hidden)"
    typed = "const i = document.querySelector('.controls input'); i.value = 'MAX_drop';"
    browser.evaluate(f"{{ {typed} i.dispatchEvent(new Event('input')); }}")
    assert browser.evaluate(f"{shown}.length") == 1
    assert browser.evaluate("document.querySelector('.controls output').textContent") == (
        "1 of 26 shown"
    )
    clear = "const i = document.querySelector('.controls input'); i.value = '';"
    browser.evaluate(f"{{ {clear} i.dispatchEvent(new Event('input')); }}")
    latency = "document.querySelector('#candidates-0 th:nth-child(5) button')"
    browser.evaluate(f"{latency}.click()")
    first = browser.evaluate(f"{shown}[0].cells[4].textContent")
    browser.evaluate(f"{latency}.click()")
    last = browser.evaluate(f"{shown}[0].cells[4].textContent")
    assert (first, last) == ("0.920", "48.4")


def test_hostile_names_run_nothing(
    browser: Browser, runs: ModuleType, tmp_path: Path, thumbnail: bytes
) -> None:
    browser.open(write(tmp_path, runs, "hostile", thumbnail), width=1400)
    assert browser.evaluate("document.querySelectorAll('img[src=x], [onerror]').length") == 0
    assert browser.evaluate("document.scripts.length") == 3
    assert [e for e in browser.events if e["method"] == "Page.javascriptDialogOpening"] == []


def test_chart_text_is_readable_in_the_dark(
    browser: Browser, runs: ModuleType, tmp_path: Path, thumbnail: bytes
) -> None:
    page = write(tmp_path, runs, "passing", thumbnail)
    label = "getComputedStyle(document.querySelector('.plot .role-axis-label text')).fill"
    browser.open(page, width=1400, dark=True)
    assert browser.evaluate(label) == "rgb(170, 181, 194)"
    browser.open(page, width=1400)
    assert browser.evaluate(label) == "rgb(75, 87, 102)"
