"""`automl audit`, as a user calls it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from automl.cli import main


@pytest.fixture
def spec(paper_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A spec for 320 photographs, four a class of which lie in the wrong folder."""
    monkeypatch.chdir(tmp_path)
    for label, other in (("pass", "fail"), ("fail", "pass")):
        for number, path in enumerate(sorted((paper_images / label).glob("*.jpg"))[::3]):
            folder = Path("images", other if number in (7, 42, 93, 120) else label)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / path.name)
    Path("mine.yaml").write_text("task: classification\ndata: ./images\ntarget: {latency: 20ms}\n")
    return "mine.yaml"


def test_audit_tells_what_it_read_and_that_nothing_leaks(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", spec, "--quiet"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == ""
    assert "is read as 'folder': " in lines[0]
    assert lines[1] == "320 images, 2 classes: 'fail', 'pass'."
    assert "No image lies in two splits, and no group does." in lines
    assert not any(line.startswith("Labels:") for line in lines)


def test_audit_lists_doubted_labels_and_writes_them(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", spec, "--labels", "--output", "doubted.csv", "--quiet"]) == 0
    shown = capsys.readouterr().out.splitlines()
    (head,) = [line for line in shown if line.startswith("Labels: 320 images checked, about ")]
    assert shown[-1] == "Wrote 'doubted.csv'."
    with Path("doubted.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert f"; {len(rows)} doubted" in head
    assert len(rows) >= 2
    for row in rows:
        assert row["path"].partition("/")[0] == row["given"] != row["suggested"]
        assert float(row["doubt"]) > 0.5
        assert row["left"] == row["bottom"] == ""
        assert any(row["path"] in line for line in shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "new.csv"], "--output lists the labels doubted, so it needs --labels."),
        (
            ["--labels", "--output", "mine.yaml"],
            "Error: 'mine.yaml' exists and is not overwritten. Use --output FILE.\n",
        ),
    ],
)
def test_audit_refuses_an_output_before_any_work(
    arguments: list[str], message: str, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", spec, *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert not Path("new.csv").exists()
