"""`automl verify`: every claim again, on this machine, with exit code 3 when one does not hold."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_maker import Made, shared_bundle

from automl.cli import main
from automl.export.bundle import read_card
from automl.records import LatencyBudget, Scores
from automl.storage import write_record


@pytest.fixture(scope="module")
def made(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle as a run delivers it; tests that change it copy it first."""
    return shared_bundle(tmp_path_factory.getbasetemp(), paper_images)


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.bundle.path, tmp_path / "bench"))


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["verify", *(str(argument) for argument in arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def _claims(out: str) -> dict[str, dict[str, object]]:
    return {claim["requirement"]: claim for claim in json.loads(out)["claims"]}


def test_a_sound_bundle_holds_every_claim(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, made.bundle.path, "--json")
    assert code == 0
    claims = _claims(out)
    assert list(claims) == [
        "file as delivered",
        "size <= 100 MB",
        "latency p95 <= 1000 ms",
        "answers as delivered",
        "recall[fail] >= 0",
        "balanced-accuracy as delivered",
    ]
    assert all(claim["holds"] for claim in claims.values())
    assert claims["answers as delivered"]["how"] == "3 reference inputs"
    scores = made.bundle.card.test_scores
    assert scores is not None
    assert (
        claims["balanced-accuracy as delivered"]["got"]
        == f"{scores.values['balanced-accuracy']:.4f}"
    )
    assert "runs in a fresh process, scope frame" in str(claims["latency p95 <= 1000 ms"]["how"])
    assert err.splitlines()[0] == "measuring in a fresh process"


def test_claims_that_do_not_hold_are_listed_and_exit_with_three(
    made: Made, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = read_card(copied)
    assert card.test_scores is not None
    target = replace(card.target, latency=(LatencyBudget("p95", 0.0001),), size_bytes=1000)
    better = Scores({"balanced-accuracy": 1.5}, (), card.test_scores.samples)
    write_record(copied / "model.json", replace(card, target=target, test_scores=better))
    code, out, err = _run(capsys, copied)
    assert code == 3
    assert "ok  file as delivered: the same" in out
    assert "NO  size <= 1.00 kB:" in out
    assert "NO  latency p95 <= 0.0001 ms:" in out
    assert "NO  balanced-accuracy as delivered:" in out
    assert "Error: 3 of 6 claims do not hold:\n  size <= 1.00 kB: asked at most 1.00 kB" in err


def test_scores_are_not_checked_without_the_data_and_that_is_said(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = read_card(copied)
    gone = tmp_path / "gone"
    write_record(copied / "model.json", replace(card, data=replace(card.data, path=str(gone))))
    code, out, _ = _run(capsys, copied)
    assert code == 0
    assert (
        f"--  balanced-accuracy as delivered: not checked: '{gone}' is not there; name the data's "
        "folder with --data"
    ) in out
    assert "1 reference input; 2 not checked" in out


def test_data_may_have_moved(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shutil.copytree(made.data, tmp_path / "moved")
    code, out, _ = _run(capsys, made.bundle.path, "--data", moved, "--json")
    assert code == 0
    assert f"below '{moved}'" in str(_claims(out)["balanced-accuracy as delivered"]["how"])


def test_scores_are_not_checked_on_other_images(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(made.data, tmp_path / "other")
    for image in sorted((other / "fail").iterdir())[:6]:
        image.unlink()
    code, out, _ = _run(capsys, made.bundle.path, "--data", other, "--json")
    assert code == 0
    assert _claims(out)["balanced-accuracy as delivered"]["got"] == (
        f"not checked: the test images below '{other}' are not those that the model was tested on"
    )


def test_data_that_cannot_be_used_is_said(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(capsys, made.bundle.path, "--data", tmp_path, "--json")
    got = str(_claims(out)["balanced-accuracy as delivered"]["got"])
    assert code == 0
    assert got.startswith("not checked: the data cannot be used: ")


def test_a_damaged_bundle_exits_with_two(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "model.onnx").write_bytes((copied / "model.onnx").read_bytes() + b"x")
    code, out, err = _run(capsys, copied)
    assert (code, out) == (2, "")
    assert "Copy the whole bundle again." in err
