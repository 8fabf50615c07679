"""`automl plan` for planners: devices, cost and a page, before there are images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_maker import write_space

from automl.cli import main
from automl.records import Plan, load_record
from automl.records.planner import HardwarePlan

SPEC = """\
task: classification
classes: [pass, fail]
image_size: 320x240
target: {name: board, device: raspberry-pi-5, latency: 100ms}
search: {space: ./space.yaml}
weights: none
"""


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_space(tmp_path / "space.yaml")
    (tmp_path / "s.yaml").write_text(SPEC)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_json_holds_the_plan_and_what_it_means_for_the_devices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = call(
        capsys,
        *("plan", "s.yaml", "--device", "intel-n100", "--device", "aws-c7g-xlarge"),
        *("--images-a-day", "1000", "--life-years", "3", "--electricity", "0.3"),
        *("--json", "--quiet"),
    )
    assert (code, err) == (0, "")
    content = json.loads(out)
    hardware = load_record(HardwarePlan, json.dumps(content.pop("hardware")))
    plan = load_record(Plan, json.dumps(content))
    names = ["board", "intel-n100", "aws-c7g-xlarge"]
    assert [outlook.name for outlook in hardware.outlooks] == names
    assert list(dict.fromkeys(verdict.target for verdict in plan.verdicts)) == names
    rules = hardware.rules
    assert (rules.images_a_day, rules.life_years, rules.electricity_usd_kwh) == (1000, 3.0, 0.3)


def test_table_and_page_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(
        capsys, "plan", "s.yaml", "--device", "intel-n100", "--html", "plan.html", "--quiet"
    )
    assert (code, err) == (0, "")
    assert out.startswith("All 2 devices meet the limits, by prediction.\n")
    assert max(map(len, out.splitlines())) <= 100
    assert out.endswith("Page: plan.html\n")
    page = (tmp_path / "plan.html").read_text()
    assert "All 2 devices meet the limits, by prediction." in page
    for text in ("Raspberry Pi 5 (8 GB)", "test_efficientnet-full-32", "images a day"):
        assert text in out, text
        assert text.lower() in page.lower(), text


def test_what_no_device_meets_exits_with_three_and_names_a_budget(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("s.yaml").write_text(SPEC.replace("100ms", "0.001ms"))
    code, out, err = call(capsys, "plan", "s.yaml", "--quiet")
    assert code == 3
    assert out.startswith("The device does not meet the limits.")
    assert "The smallest latency limit that something keeps here: p95 " in out
    assert err.startswith("Error: Nothing fits target 'board'.\n  Best reached:        ")


@pytest.mark.parametrize("command", ["run", "audit"])
def test_a_spec_without_images_is_planned_and_nothing_else(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, command, "s.yaml", "--quiet")
    assert (code, out) == (2, "")
    assert err == (
        "Error: 's.yaml' names no images, so it can be planned ('automl plan') and nothing else. To go "
        "on, add 'data: ./images' in place of 'classes' and 'image_size'.\n"
    )
    assert not Path("runs").exists()


def test_a_device_that_is_not_known_names_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "plan", "s.yaml", "--device", "intel-n10", "--quiet")
    assert (code, out) == (2, "")
    assert err.endswith("unknown device 'intel-n10'. Did you mean 'intel-n100'?\n")


def test_a_page_that_cannot_be_written_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    code, _, err = call(capsys, "plan", "s.yaml", "--html", "file/plan.html", "--quiet")
    assert code == 2
    assert err.startswith("Error: Cannot write 'file/plan.html': ")


@pytest.mark.parametrize(
    "options", [("--images-a-day", "0"), ("--life-years", "0"), ("--electricity", "-1")]
)
def test_numbers_that_no_cost_can_be_counted_by_are_refused(
    options: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "plan", "s.yaml", *options)
    assert (code, out) == (2, "")
    assert options[0] in err


def test_validate_tells_that_there_are_no_images_yet(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "validate", "s.yaml")
    assert (code, err) == (0, "")
    assert "images    none yet: 320 x 240 pixels, 2 classes; to be planned only" in out


def test_an_example_without_images_is_copied_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "examples", "plan-only", "--output", "mine")
    assert (code, out.splitlines()) == (0, ["mine/plan-only.yaml", "mine/spec.schema.json"])
