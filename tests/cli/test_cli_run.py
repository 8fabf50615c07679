"""`automl run` and what is asked of its run afterwards, as a user calls it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_maker import copy_images
from run_maker import Finished, run_automl, shared_run, write_space, write_spec

from automl.cli import main
from automl.export.bundle import read_card
from automl.pipeline.folder import RunFolder
from automl.records import LatencyBudget, Requirement, TrialStatus
from automl.storage import write_record


@pytest.fixture(scope="module")
def finished(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return shared_run(tmp_path_factory.getbasetemp(), paper_images)


@pytest.fixture
def bundle(finished: Finished, tmp_path: Path) -> Path:
    """The delivered bundle, to be tampered with."""
    return Path(shutil.copytree(finished.path / "bundle" / "local", tmp_path / "bundle"))


def run_main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_run_prints_results_on_stdout_and_progress_on_stderr(finished: Finished) -> None:
    out, err = finished.ended.stdout, finished.ended.stderr
    assert "latency p95 <= 200 ms" in out
    assert "objective balanced-accuracy" in out
    assert "Report: runs/paper/report.html" in out
    assert "Bundle: runs/paper/bundle/local" in out
    for stage in ("Reading and checking the images", "Training what fits", "Writing the report"):
        assert stage in err
        assert stage not in out
    assert "\x1b" not in out + err, "no colours where there is no terminal"
    assert "Traceback" not in err
    assert "Warning" not in err


def test_the_command_that_is_printed_classifies_an_image(finished: Finished) -> None:
    (line,) = [line for line in finished.ended.stdout.splitlines() if line.startswith("Try a new")]
    begin = "Try a new image: automl predict runs/paper/bundle/local "
    assert line.startswith(begin)
    image = line.removeprefix(begin).strip("'")
    answered = run_automl("predict", "runs/paper/bundle/local", image, cwd=finished.project)
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout.startswith(f"{image}: ")


def test_status_of_a_finished_run(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_main(capsys, "status", finished.path, "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["phase"], facts["trials_finished"], facts["trials_failed"]) == ("finished", 2, 0)
    assert facts["best_score"] == max(t.objective or 0.0 for t in finished.trials())
    code, out, _ = run_main(capsys, "status", finished.path)
    assert (code, "phase: finished" in out) == (0, True)


def test_the_report_is_written_again(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = shutil.copytree(finished.path, tmp_path / "paper")
    (copied / "report.html").unlink()
    code, out, _ = run_main(capsys, "report", copied)
    assert (code, out) == (0, f"{copied}/report.html\n")
    assert (copied / "report.html").stat().st_size > 100_000


def test_resuming_a_finished_run_prints_its_outcome_as_json(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run_main(capsys, "resume", finished.path, "--json")
    outcome = json.loads(out)
    assert code == 0
    (target,) = outcome["targets"]
    record = finished.record()
    assert record.selection is not None
    assert record.selection.targets[0].winner is not None
    assert target["sha256"] == record.selection.targets[0].winner.sha256
    assert target["fits"] is True
    assert all(claim["holds"] for claim in target["claims"])
    assert outcome["trials"] == 2


def test_predict_answers_for_images_the_run_never_saw(
    finished: Finished, paper_images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [sorted((paper_images / label).iterdir())[70] for label in ("fail", "pass")]
    bundle = finished.path / "bundle" / "local"
    code, out, _ = run_main(capsys, "predict", bundle, *images, "--json")
    rows = json.loads(out)
    assert (code, [row["image"] for row in rows]) == (0, [str(image) for image in images])
    assert all(row["scores"][row["label"]] == max(row["scores"].values()) for row in rows)
    code, out, _ = run_main(capsys, "predict", bundle, *images, "--csv")
    again = list(csv.DictReader(io.StringIO(out)))
    assert [row["label"] for row in again] == [row["label"] for row in rows]


def test_verify_holds_every_claim_of_the_delivered_bundle(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_main(capsys, "verify", finished.path / "bundle" / "local", "--json")
    claims = {claim["requirement"]: claim for claim in json.loads(out)["claims"]}
    assert code == 0, err
    assert list(claims) == [
        "file as delivered",
        "size <= 20.0 MB",
        "latency p95 <= 200 ms",
        "answers as delivered",
        "balanced-accuracy as delivered",
    ]
    assert claims["balanced-accuracy as delivered"]["how"].startswith("16 test images")


@pytest.mark.parametrize("position", [0.01, 0.5, 0.99])
def test_verify_notices_a_flipped_bit(
    bundle: Path, position: float, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[int(position * len(content))] ^= 4
    (bundle / "model.onnx").write_bytes(bytes(content))
    code, out, err = run_main(capsys, "verify", bundle)
    assert (code, out) == (2, "")
    assert "is not the file that 'model.json' describes" in err


def test_verify_notices_an_edited_card(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (bundle / "model.json").read_text()
    assert '"limit_ms": 200.0' in text
    (bundle / "model.json").write_text(text.replace('"limit_ms": 200.0', '"limit_ms": 900.0'))
    code, out, err = run_main(capsys, "verify", bundle)
    assert (code, out) == (2, "")
    assert "is damaged or was edited. Copy the whole bundle again." in err


def test_verify_measures_and_tests_for_itself(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = read_card(bundle)
    target = replace(card.target, latency=(LatencyBudget("p95", 0.0001),))
    impossible = (Requirement("accuracy", None, ">=", 1.01),)
    write_record(bundle / "model.json", replace(card, target=target, requirements=impossible))
    code, out, err = run_main(capsys, "verify", bundle)
    assert code == 3
    assert "NO  latency p95 <= 0.0001 ms:" in out
    assert "NO  accuracy >= 1.01:" in out
    assert "Error: 2 of " in err


@pytest.fixture(scope="module")
def diverged(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run in which every training diverges, of a spec that bounds a score too."""
    project = tmp_path_factory.mktemp("diverged")
    write_space(
        project / "space.yaml", learning_rate=(10.0, 10.0), weight_decay=(10.0, 10.0), epochs=40
    )
    changes = {"weights: none": 'weights: none\nrequire: {"recall[fail]": ">= 0.5"}'}
    write_spec(project / "absurd.yaml", finished.data, trials=3, changes=changes)
    ended = run_automl("run", "absurd.yaml", "--json", cwd=project)
    return Finished(project / "runs" / "absurd", project, finished.data, ended, {})


def test_trainings_that_diverge_are_recorded_and_end_with_three(diverged: Finished) -> None:
    assert diverged.ended.returncode == 3, diverged.ended.stderr
    trials = diverged.trials()
    assert len(trials) == 3
    failed = [t for t in trials if t.status is TrialStatus.FAILED]
    assert failed
    assert all("the training diverged" in str(t.error) for t in failed)
    assert not [t for t in trials if t.status is TrialStatus.FINISHED]
    (target,) = json.loads(diverged.ended.stdout)["targets"]
    assert (target["fits"], target["bundle"], target["candidate"]) == (False, None, None)
    assert target["binding"].startswith("training: DivergedError: The ")
    assert "Nothing fits target 'local'." in diverged.ended.stderr
    assert "Traceback" not in diverged.ended.stderr
    report = (diverged.path / "report.html").read_text()
    assert "the training diverged" in report


@pytest.fixture(scope="module")
def hopeless(
    finished: Finished, paper_images: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """A run against a deadline on labels that mean nothing: only the clock ends its trainings."""
    project = tmp_path_factory.mktemp("hopeless")
    data = copy_images(paper_images, project / "data", each=48)
    for position, image in enumerate(sorted((data / "fail").iterdir())):
        if position % 2:
            other = data / "pass" / sorted(p.name for p in (data / "pass").iterdir())[position]
            image.rename(project / "held")
            other.rename(data / "fail" / other.name)
            (project / "held").rename(data / "pass" / image.name)
    write_space(project / "space.yaml", epochs=10_000)
    changes = {
        "weights: none": 'weights: none\nrequire: {accuracy: ">= 0.999", "recall[fail]": 1}',
        ', split: {group: "([^/]+)_[0-9]+[.]jpg$"}': "",
    }
    write_spec(project / "noise.yaml", data, time_s=60, trials=50, changes=changes)
    ended = run_automl("run", "noise.yaml", "--json", "--quiet", cwd=project)
    return Finished(project / "runs" / "noise", project, data, ended, {})


def test_a_deadline_ends_the_run_in_time_with_what_there_is(hopeless: Finished) -> None:
    state = RunFolder(hopeless.path).read_state()
    assert state is not None
    assert state.elapsed_s < 60 + 20
    (trial, *_) = hopeless.trials()
    assert trial.status is TrialStatus.FINISHED
    assert 1 <= len(trial.epochs) < 10_000


def test_a_score_that_is_not_reached_ends_with_three_and_what_would_do(hopeless: Finished) -> None:
    assert hopeless.ended.returncode == 3
    (target,) = json.loads(hopeless.ended.stdout)["targets"]
    assert target["fits"] is False
    assert "accuracy >= 0.999" in hopeless.ended.stderr or "recall[fail] >= 1" in (
        hopeless.ended.stderr
    )
    assert "require" in target["relaxation"]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("task: clasification\n", 2, "Did you mean 'classification'?"),
        ("task: classification\ndata: ./empty\ntarget: {latency: 20ms}\n", 4, "empty"),
        ("task: classification\ndata: ./gone\ntarget: {latency: 20ms}\n", 4, "gone"),
        ("task: classification\ndata: ./single\ntarget: {latency: 20ms}\n", 4, "two classes"),
        (
            "task: classification\ndata: ./single\ntarget: {latency: 20ms}\nsearch: {space: qick}\n",
            2,
            "Did you mean 'quick'?",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_specs_and_data_that_cannot_be_used_exit_with_their_code(
    command: str,
    text: str,
    code: int,
    message: str,
    tmp_path: Path,
    paper_images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("single/fail").mkdir(parents=True)
    shutil.copy(next((paper_images / "fail").iterdir()), "single/fail")
    Path("bad.yaml").write_text(text)
    got, out, err = run_main(capsys, command, "bad.yaml", "--quiet")
    assert (got, out) == (code, ""), err
    assert err.startswith("Error: ")
    assert message in err
    assert not Path("runs/bad/selection.json").exists()


def test_plan_of_what_cannot_fit_exits_with_three(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_space(tmp_path / "space.yaml")
    changes = {"latency: 200ms": "latency: 0.001ms"}
    spec = write_spec(tmp_path / "fast.yaml", finished.data, changes=changes)
    code, out, err = run_main(capsys, "plan", spec, "--json", "--quiet")
    assert code == 3
    assert {v["status"] for v in json.loads(out)["verdicts"]} <= {"too-slow", "implied"}
    assert err.startswith("Error: Nothing fits target 'local'.\n  Best reached:        test_")
    assert "  Smallest change that works: latency: {p95: " in err
