"""A whole run: what lies in its folder, that its numbers are those of the delivered file, its ends."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_maker import copy_images
from run_maker import Finished, hash_tree, run_automl, shared_run, write_space, write_spec

from automl import load_bundle, load_spec
from automl.data.frames import FrameStore
from automl.errors import DataError, RunError, SpecError
from automl.export.bundle import read_card
from automl.export.evaluate import score_artifact
from automl.pipeline.engine import plan_only, read_run, resume, run
from automl.pipeline.folder import RunFolder
from automl.pipeline.judging import judged_images, task_of
from automl.pipeline.outcome import unmet
from automl.records import Audit, Split, TrialStatus
from automl.storage import read_record, sha256_file


@pytest.fixture(scope="module")
def finished(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return shared_run(tmp_path_factory.getbasetemp(), paper_images)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """The run's folder, to be damaged."""
    return Path(shutil.copytree(finished.path, tmp_path / "my runs" / "paper"))


def test_a_run_ends_well_with_all_its_files(finished: Finished) -> None:
    assert finished.ended.returncode == 0, finished.ended.stderr
    names = {path.name for path in finished.path.iterdir()}
    assert names == {
        ".lock",
        "audit.json",
        "bundle",
        "data.json",
        "events.jsonl",
        "plan.json",
        "quality.json",
        "report.html",
        "run.json",
        "selection.json",
        "spec.json",
        "spec.yaml",
        "trials",
    }
    assert (finished.path / "spec.yaml").read_bytes() == (
        finished.project / "paper.yaml"
    ).read_bytes()
    bundle = {path.name for path in (finished.path / "bundle" / "local").iterdir()}
    assert bundle == {"README.md", "labels.txt", "model.json", "model.onnx", "predict.py"}
    assert unmet(finished.record()) == []


def test_every_trial_of_the_plan_was_trained_and_kept(finished: Finished) -> None:
    trials = finished.trials()
    assert [t.number for t in trials] == [1, 2]
    assert len({t.architecture for t in trials}) == 2
    for trial in trials:
        assert (trial.status, trial.error, trial.weights) == (TrialStatus.FINISHED, None, None)
        assert [e.number for e in trial.epochs] == [1, 2, 3]
        assert set(trial.seconds) >= {"setup", "train", "export", "evaluate"}
        scores = [a.scores.values["balanced-accuracy"] for a in trial.artifacts]
        assert trial.objective in scores
        for artifact in trial.artifacts:
            file = finished.path / artifact.path
            assert sha256_file(file) == artifact.sha256
            assert file.stat().st_size == artifact.size_bytes
            assert artifact.parity.agreement == 1.0 or artifact.scheme != "float32"


def test_one_file_was_trained_measured_tested_and_delivered(finished: Finished) -> None:
    record = finished.record()
    assert record.selection is not None
    (chosen,) = record.selection.targets
    assert chosen.winner is not None
    assert chosen.measurement is not None
    delivered = finished.path / "bundle" / "local" / "model.onnx"
    own = {a.sha256 for t in record.trials if t.id == chosen.trial_id for a in t.artifacts}
    assert chosen.winner.sha256 in own
    assert (
        chosen.winner.sha256
        == sha256_file(delivered)
        == chosen.measurement.artifact_sha256
        == read_card(delivered.parent).model_sha256
    )
    assert chosen.measurement.fresh_process
    assert chosen.measurement.runs >= 1_000
    assert chosen.measurement.p95_ms.high <= 200.0
    best = max(t.objective or 0.0 for t in record.trials)
    assert chosen.winner.scores.values["balanced-accuracy"] == best


def test_the_test_scores_are_those_of_the_delivered_file(finished: Finished) -> None:
    record = finished.record()
    assert record.selection is not None
    (chosen,) = record.selection.targets
    dataset = record.data.dataset
    indices = dataset.indices(Split.TEST)
    task = task_of(record.spec, dataset)
    again = score_artifact(
        finished.path / "bundle" / "local" / "model.onnx",
        task,
        judged_images(task, FrameStore(dataset), Split.TEST),
        threads=1,
    )
    assert again == chosen.test_scores
    bundle = load_bundle(finished.path / "bundle" / "local")
    for index in indices[:4]:
        path = Path(dataset.root) / dataset.samples[index].path
        assert bundle.predict(path).label in dataset.classes


def test_every_candidate_of_the_plan_won_or_has_a_reason(finished: Finished) -> None:
    record = finished.record()
    assert record.selection is not None
    (chosen,) = record.selection.targets
    told = {reason.candidate for reason in chosen.reasons} | {chosen.candidate}
    assert told == {v.candidate for v in record.plan.verdicts}
    assert all(reason.clause and reason.text for reason in chosen.reasons)


def test_the_users_files_are_untouched(finished: Finished) -> None:
    assert hash_tree(finished.data) == finished.before


def test_files_that_cannot_be_read_are_left_out_and_named(finished: Finished) -> None:
    audit = read_record(finished.path / "audit.json", Audit)
    report = finished.path.joinpath("report.html").read_text()
    named = {path for finding in audit.findings for path in finding.paths}
    for name in ("fail/cut_0.jpg", "pass/empty_0.jpg"):
        assert name in named
        assert name in report
    odd = next(path for path in named if "script" in path)
    assert odd not in report, "a file's name is text in the report, never markup"
    used = {s.path for s in finished.record().data.dataset.samples}
    assert len(used) == 96
    assert not used & {"fail/cut_0.jpg", "pass/empty_0.jpg", odd}


def test_the_report_is_one_small_file_that_names_the_winner(finished: Finished) -> None:
    record = finished.record()
    assert record.selection is not None
    (chosen,) = record.selection.targets
    assert chosen.candidate is not None
    report = finished.path / "report.html"
    assert report.stat().st_size < 2_000_000
    assert chosen.candidate.architecture.backbone in report.read_text()


def test_the_diary_has_a_line_an_event(finished: Finished) -> None:
    lines = [json.loads(line) for line in (finished.path / "events.jsonl").read_text().splitlines()]
    assert all({"at", "event"} <= set(line) for line in lines)
    assert [line["name"] for line in lines if line["event"] == "stage"] == [
        "data",
        "quality",
        "plan",
        "search",
        "proof",
        "report",
    ]
    assert (lines[0]["event"], lines[-1]["event"]) == ("begin", "end")
    state = RunFolder(finished.path).read_state()
    assert state is not None
    assert [s.stage for s in state.stages] == [
        "data",
        "quality",
        "plan",
        "search",
        "proof",
        "report",
    ]
    assert sum(s.seconds for s in state.stages) <= state.elapsed_s + 1.0
    assert 0 < (state.first_deployable_s or 0.0) < state.elapsed_s


def test_resuming_a_run_that_ended_changes_nothing(finished: Finished, copied: Path) -> None:
    before = hash_tree(copied)
    record = resume(copied)
    assert record.selection == finished.record().selection
    assert {name: v for name, v in hash_tree(copied).items() if name != ".lock"} == {
        name: v for name, v in before.items() if name != ".lock"
    }


def test_a_report_that_was_not_written_yet_is_written_by_resuming(copied: Path) -> None:
    before = (copied / "report.html").read_text()
    (copied / "report.html").unlink()
    resume(copied)
    assert len((copied / "report.html").read_text()) == pytest.approx(len(before), rel=0.05)


def test_damaged_results_are_made_again_and_finished_trials_are_kept(
    finished: Finished, copied: Path
) -> None:
    before = hash_tree(copied / "trials")
    for name in ("selection.json", "data.json"):
        content = (copied / name).read_bytes()
        (copied / name).write_bytes(content[: len(content) // 2])
    record = resume(copied)
    known = finished.record().selection
    assert record.selection is not None
    assert known is not None
    assert record.resumed == 1
    assert record.selection.targets[0].winner == known.targets[0].winner
    assert record.selection.targets[0].test_scores == known.targets[0].test_scores
    assert hash_tree(copied / "trials") == before
    assert read_record(copied / "data.json", type(record.data)) == record.data


def test_a_damaged_result_counts_as_not_run(copied: Path) -> None:
    first, second = RunFolder(copied).read_trials()
    (copied / "trials" / first.id / "result.json").write_bytes(b'{"kind": "Trial')
    assert RunFolder(copied).read_trials() == (second,)


def test_a_run_whose_spec_is_damaged_in_both_places_says_what_to_do(copied: Path) -> None:
    (copied / "selection.json").unlink()
    for name in ("run.json", "spec.json"):
        (copied / name).write_bytes(b"\x00" * 50)
    with pytest.raises(RunError) as caught:
        resume(copied)
    assert str(caught.value) == (
        f"'{copied}/spec.json' is damaged; start the run again with '{copied}/spec.yaml'."
    )


def test_a_report_that_was_cut_is_written_again_and_nothing_else(copied: Path) -> None:
    report = copied / "report.html"
    whole, before = report.read_bytes(), hash_tree(copied, "*.json")
    report.write_bytes(whole[: len(whole) // 2])
    resume(copied)
    assert report.read_bytes().rstrip().endswith(b"</html>")
    assert hash_tree(copied, "*.json") == before


def test_data_that_changed_since_is_refused_with_the_files(
    finished: Finished, copied: Path
) -> None:
    (copied / "selection.json").unlink()
    changed = finished.data / "fail" / "pa_bft01_tl_s_d_01_1.jpg"
    content = changed.read_bytes()
    new = finished.data / "pass" / "new_0.jpg"
    try:
        new.write_bytes(content)
        changed.unlink()
        with pytest.raises(RunError) as caught:
            resume(copied)
    finally:
        new.unlink()
        changed.write_bytes(content)
    text = str(caught.value)
    assert text.startswith(f"The images in '{finished.data}' changed since this run began: ")
    assert "fail/pa_bft01_tl_s_d_01_1.jpg" in text
    assert "pass/new_0.jpg" in text
    assert text.endswith("Restore them, or start a new run.")


def test_a_folder_without_a_run_or_a_plan_is_refused(tmp_path: Path, copied: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        resume(tmp_path)
    (copied / "plan.json").unlink()
    with pytest.raises(RunError) as caught:
        read_run(copied)
    assert str(caught.value) == f"'{copied}' has no plan yet. Go on with: automl resume '{copied}'"


def test_a_run_that_is_not_finished_says_how_to_go_on(copied: Path) -> None:
    (copied / "selection.json").unlink()
    assert unmet(read_run(copied)) == [
        f"The run is not finished. Go on with: automl resume '{copied}'"
    ]


@pytest.fixture
def project(finished: Finished, tmp_path: Path) -> Path:
    """A folder with the space of the finished run, so that what was measured is known."""
    write_space(tmp_path / "space.yaml")
    return tmp_path


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(
        self, text: str, *, best: float | None = None, left_s: float | None = None
    ) -> None:
        return


def test_a_run_in_which_nothing_fits_says_what_would(finished: Finished, project: Path) -> None:
    spec = write_spec(
        project / "fast.yaml", finished.data, changes={"latency: 200ms": "latency: 0.001ms"}
    )
    notes = Notes()
    record = run(replace(load_spec(spec), output=str(project / "runs")), observer=notes)
    assert notes.stages == ["data", "quality", "plan", "proof", "report"], (
        "nothing is trained in vain"
    )
    assert record.trials == ()
    (line,) = unmet(record)
    assert line.startswith("Nothing fits target 'local'.\n  Best reached:        test_")
    assert "Binding requirement: latency p95 <= 0.001 ms" in line
    assert record.selection is not None
    (chosen,) = record.selection.targets
    assert chosen.relaxation is not None
    assert chosen.relaxation.startswith("latency: {p95: ")
    spec = write_spec(
        project / "relaxed.yaml", finished.data, changes={"latency: 200ms": chosen.relaxation}
    )
    plan = plan_only(load_spec(spec))
    assert plan.feasible()
    assert (project / "runs" / "fast" / "report.html").is_file()


def test_too_little_time_to_train_anything_is_said(finished: Finished, project: Path) -> None:
    spec = write_spec(project / "hasty.yaml", finished.data, time_s=12)
    record = run(replace(load_spec(spec), output=str(project / "runs")))
    assert record.trials == ()
    assert unmet(record) == [
        "Nothing fits target 'local'.\n"
        "  Best reached:        networks that fit were found, but none was trained to the end\n"
        "  Binding requirement: search.time\n"
        "  Smallest change that works: a longer search.time in the spec, and a new run"
    ]


def test_a_size_that_nothing_has_is_named_with_the_smallest_that_works(
    finished: Finished, project: Path
) -> None:
    changes = {"size: 20MB": "size: 1kB"}
    spec = write_spec(project / "small.yaml", finished.data, changes=changes)
    record = run(replace(load_spec(spec), output=str(project / "runs")))
    assert record.selection is not None
    (chosen,) = record.selection.targets
    assert chosen.binding == "size <= 1.00 kB"
    assert chosen.relaxation is not None
    changes = {"size: 20MB": chosen.relaxation}
    relaxed = write_spec(project / "relaxed.yaml", finished.data, changes=changes)
    assert plan_only(load_spec(relaxed)).feasible()


def test_a_size_that_only_int8_has_leads_to_that_scheme(finished: Finished, project: Path) -> None:
    sizes = {
        v.candidate.scheme: v.measurement.size_bytes
        for v in finished.record().plan.verdicts
        if v.measurement is not None and v.candidate.architecture.backbone == "test_efficientnet"
    }
    assert sizes["int8-static"] < sizes["float32"]
    one = "architectures:\n  - {family: e, backbones: [test_efficientnet], image_sizes: [32]}\n"
    text = (project / "space.yaml").read_text()
    begin, end = text.index("architectures:"), text.index("recipe:")
    (project / "space.yaml").write_text(text[:begin] + one + text[end:])
    between = (sizes["int8-static"] + sizes["float32"]) // 2
    changes = {
        "size: 20MB": f"size: {between}B",
        "weights: none": "weights: none\nquantization: [float32]",
    }
    spec = write_spec(project / "small.yaml", finished.data, changes=changes)
    record = run(replace(load_spec(spec), output=str(project / "runs")))
    assert record.selection is not None
    (chosen,) = record.selection.targets
    assert chosen.relaxation is not None
    assert chosen.relaxation.startswith("allow int8-static in quantization (test_efficientnet-")
    changes["weights: none"] = "weights: none\nquantization: [float32, int8-static]"
    relaxed = write_spec(project / "relaxed.yaml", finished.data, changes=changes)
    feasible = plan_only(load_spec(relaxed)).feasible()
    assert {candidate.scheme for candidate in feasible} == {"int8-static"}


def test_a_network_that_does_not_exist_is_refused_before_the_run(
    finished: Finished, project: Path
) -> None:
    text = (project / "space.yaml").read_text()
    (project / "space.yaml").write_text(text.replace("[test_resnet]", "[tset_resnet]"))
    spec = write_spec(project / "odd.yaml", finished.data)
    with pytest.raises(SpecError, match=r"Unknown backbone 'tset_resnet'\. Did you mean"):
        plan_only(load_spec(spec))


def test_a_run_takes_the_next_free_name(finished: Finished, project: Path) -> None:
    changes = {"size: 20MB": "size: 1kB"}
    spec = load_spec(write_spec(project / "small.yaml", finished.data, changes=changes))
    spec = replace(spec, output=str(project / "runs"))
    assert [Path(run(spec).folder).name for _ in range(3)] == ["small", "small-2", "small-3"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_of_one_class_proves_nothing_and_is_refused(
    finished: Finished, project: Path, paper_images: Path, split: str
) -> None:
    data = copy_images(paper_images, project / "data", each=6)
    rows = ["path,label,split"]
    for label in ("fail", "pass"):
        for position, image in enumerate(sorted((data / label).iterdir())):
            part = ("train", "train", "val", "val", "test", "test")[position]
            part = "train" if part == split and label == "fail" else part
            rows.append(f"{label}/{image.name},{label},{part}")
    (data / "table.csv").write_text("\n".join(rows) + "\n")
    spec = project / "own.yaml"
    spec.write_text(
        "task: classification\n"
        f"data: {{path: {data}/table.csv}}\n"
        "target: {latency: 1s}\nobjective: auroc\nsearch: {space: ./space.yaml}\n"
    )
    with pytest.raises(DataError) as caught:
        plan_only(load_spec(spec))
    assert str(caught.value) == (
        f"The {split} split holds images of 'pass' only, so nothing can be said of the others. "
        f"Add images of 'fail' to it, or let the split be drawn."
    )


def test_an_output_that_is_a_file_is_refused(finished: Finished, project: Path) -> None:
    (project / "runs").write_text("not a folder")
    spec = load_spec(write_spec(project / "paper.yaml", finished.data))
    with pytest.raises(RunError) as caught:
        run(replace(spec, output=str(project / "runs")))
    assert str(caught.value).startswith(f"The folder '{project / 'runs' / 'paper'}' cannot be made")


def test_the_python_api_works_in_a_plain_script(finished: Finished, project: Path) -> None:
    import subprocess
    import sys

    write_spec(project / "paper.yaml", finished.data)
    script = project / "plain.py"
    script.write_text(
        "import automl\n"
        "plan = automl.plan(automl.load_spec('paper.yaml'))\n"
        "print(len(plan.feasible()) > 0)\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script)], cwd=project, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr
    assert run_automl("status", "nowhere", cwd=project).returncode == 2
