"""The page as text: complete, safe, small."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from types import ModuleType

import pytest

from automl.report.render import MAX_IMAGE_BYTES, render_report, script_json, wanted_pictures

CASES = ("passing", "nothing_fits", "interrupted", "before_training", "two_targets", "hostile")


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text outside of scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text.append(data)


def parse(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    return parser


@pytest.mark.parametrize("name", CASES)
def test_page_asks_nothing_of_any_other_machine(runs: ModuleType, name: str) -> None:
    elements = parse(render_report(getattr(runs, name)()))
    for tag, attributes in elements.found:
        for key in ("src", "href", "action", "data", "poster", "srcset"):
            address = attributes.get(key)
            assert address is None or address.startswith(("#", "data:")), (tag, address)
        assert not [key for key in attributes if key.startswith("on")], tag


def test_policy_forbids_everything_but_the_page_s_own_scripts(runs: ModuleType) -> None:
    page = render_report(runs.passing())
    elements = parse(page)
    policy = next(
        attributes["content"]
        for tag, attributes in elements.found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_hostile_names_stay_text(runs: ModuleType, thumbnail: bytes) -> None:
    record = runs.hostile()
    images = {picture.key: thumbnail for picture in wanted_pictures(record)}
    page = render_report(record, images=images)
    elements = parse(page)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 3
    assert all("alt" in attributes for tag, attributes in elements.found if tag == "img")
    text = "".join(elements.text)
    for name in runs.HOSTILE:
        assert name in text
    assert "{{ 7*7 }}" in text


def test_data_in_a_script_cannot_end_it() -> None:
    value = ["</script><!--", "\u2028\u2029", "a & b", '"']
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_data_in_a_script_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json([float("nan")])


def test_report_names_every_section(runs: ModuleType) -> None:
    elements = parse(render_report(runs.passing()))
    ids = {attributes["id"] for _, attributes in elements.found if attributes.get("id")}
    sections = {
        "answer", "requirements", "pareto", "candidates", "schemes", "results", "samples",
        "training", "data", "time", "settings", "terms",
    }  # fmt: skip
    assert sections <= ids
    links = [
        attributes["href"][1:]
        for tag, attributes in elements.found
        if tag == "a" and attributes.get("href")
    ]
    assert set(links) <= ids


@pytest.mark.parametrize("name", CASES)
def test_ids_are_unique_and_links_lead_somewhere(runs: ModuleType, name: str) -> None:
    elements = parse(render_report(getattr(runs, name)()))
    ids = [attributes["id"] for _, attributes in elements.found if attributes.get("id")]
    assert len(set(ids)) == len(ids)
    for tag, attributes in elements.found:
        if tag == "a":
            assert (attributes["href"] or "")[1:] in ids


def test_failed_trials_show_their_error(runs: ModuleType) -> None:
    text = " ".join(parse(render_report(runs.passing())).text)
    assert "The loss is not a number after epoch 2." in text


def test_report_shows_spec_seeds_versions_and_hashes(runs: ModuleType) -> None:
    record = runs.passing()
    text = "".join(parse(render_report(record)).text)
    assert record.spec.text in text
    for expected in (
        record.spec.sha256,
        record.data.dataset.fingerprint,
        record.selection.targets[0].winner.sha256,
        "split 7, search 7",
        "automl run specs/paper.yaml",
        "2.15.0",
    ):
        assert expected in text


def test_pictures_are_inlined_until_the_page_would_be_too_large(
    runs: ModuleType, thumbnail: bytes
) -> None:
    record = runs.passing()
    keys = [picture.key for picture in wanted_pictures(record)]
    assert keys[0] == "data:fail/sheet_01_1.jpg"
    page = render_report(record, images=dict.fromkeys(keys, thumbnail))
    assert page.count('<img src="data:image/jpeg;base64,') == len(keys)
    large = thumbnail.ljust(MAX_IMAGE_BYTES // 3, b"\0")
    page = render_report(record, images=dict.fromkeys(keys, large))
    assert page.count('<img src="data:image/jpeg;base64,') == 3
    assert page.count("no picture") == len(keys) - 3


@pytest.mark.parametrize(("trials", "most_bytes"), [(300, 2_000_000), (1000, 3_000_000)])
def test_page_of_a_long_night_stays_small(runs: ModuleType, trials: int, most_bytes: int) -> None:
    record = runs.many_trials(trials)
    images = {picture.key: b"\x00" * 16000 for picture in wanted_pictures(record)}
    page = render_report(record, images=images)
    assert len(page.encode()) < most_bytes
    assert f"{trials:,} trials" in html.unescape(page)


def test_names_that_are_not_unicode_do_not_break_the_page(runs: ModuleType) -> None:
    page = render_report(replace(runs.passing(), name="bad \udcff name"))
    assert "bad ? name" in page


def test_report_imports_heavy_libraries_only_when_it_draws() -> None:
    code = (
        "import sys, automl.report\n"
        "heavy = {'altair', 'jinja2', 'vl_convert', 'torch', 'pandas'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
