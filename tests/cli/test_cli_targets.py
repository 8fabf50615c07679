"""Several devices on the command line: what is unknown is refused early, what is predicted is marked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from record_makers import architecture, plan, predicted_verdict, verdict
from run_maker import run_automl

from automl.cli.summary import print_plan

SPEC = """\
task: classification
data: ./images
targets:
  - {latency: 20ms}
  - {name: line, device: DEVICE, latency: 20ms}
"""


def write(folder: Path, device: str) -> str:
    (folder / "spec.yaml").write_text(SPEC.replace("DEVICE", device))
    return "spec.yaml"


def test_validate_names_a_device_that_is_not_known_with_its_line(tmp_path: Path) -> None:
    ended = run_automl("validate", write(tmp_path, "raspbery-pi-4"), "--json", cwd=tmp_path)
    assert ended.returncode == 2
    (problem,) = json.loads(ended.stdout)["problems"]
    assert (problem["line"], problem["path"]) == (5, "targets[1].device")
    assert problem["message"] == ("unknown device 'raspbery-pi-4'. Did you mean 'raspberry-pi-4'?")


@pytest.mark.parametrize("device", ["raspberry-pi-4", "'http://pi.local:8420'"])
def test_validate_asks_no_agent_and_takes_every_device_that_is_known(
    device: str, tmp_path: Path
) -> None:
    ended = run_automl("validate", write(tmp_path, device), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (
        f"target    line: {device.strip(chr(39))}, 1 thread, frame: p95 <= 20.0 ms" in ended.stdout
    )


def test_a_plan_marks_what_was_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    net = architecture("net")
    made = plan(verdict(net, p95_ms=5.0), predicted_verdict(net, p95_ms=5.0))
    print_plan(type(made)(**{**vars(made), "predicted": 1}))
    here, there = capsys.readouterr().out.split("Plan for target 'pi'")
    assert "predicted" not in here
    assert "fits predicted" in " ".join(there.split())
    assert "2 files measured, 1 predicted, 0 known from before" in there
