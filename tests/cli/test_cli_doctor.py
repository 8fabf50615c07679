"""The command `automl doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from automl.cli.doctor import doctor, render_plain
from automl.hardware.checks import Check, Level


def test_doctor_prints_plain_lines_without_a_terminal() -> None:
    result = CliRunner().invoke(doctor, [])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any(line.split()[:2] == ["ok", "onnxruntime"] for line in lines)
    assert "\x1b" not in result.stdout


def test_doctor_prints_json() -> None:
    result = CliRunner().invoke(doctor, ["--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["ok"] is True
    assert answer["checks"][0].keys() == {"section", "name", "level", "value", "remedy"}


def test_doctor_exits_with_1_when_something_needed_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "file"))
    result = CliRunner().invoke(doctor, ["--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False


def test_plain_lines_are_aligned_and_give_the_remedy() -> None:
    checks = (
        Check("software", "timm", Level.OK, "1.0"),
        Check("software", "torch", Level.ERROR, "not installed", "`pip install torch`."),
    )
    assert render_plain(checks) == (
        "ok      timm   1.0\nerror   torch  not installed  -> `pip install torch`.\n"
    )
