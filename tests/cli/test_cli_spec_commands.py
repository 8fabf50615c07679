"""`automl validate`, `schema`, `init` and `examples`, as a user calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from automl.cli import main
from automl.spec import load_spec

BAD = "task: classification\ndata: ./images\ntarget: {device: local, latency: 20}\nsearch: {tme: 1s}\n"


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_validate_says_what_the_spec_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "quickstart"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("quickstart.yaml is valid.\n  name      quickstart\n")
    assert "target    local, 1 thread, frame: p95 <= 10.0 ms, size <= 20.0 MB" in captured.out


def test_validate_names_every_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text(BAD)
    assert main(["validate", "bad.yaml"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "Error: bad.yaml has 2 problems:\n"
        "bad.yaml:3:25: target.latency: a duration is a number and a unit, such as 20ms; got 20.\n"
        "bad.yaml:4:10: search.tme: unknown key. Did you mean 'time'?\n"
    )


def test_validate_notes_that_the_images_are_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.yaml").write_text("task: classification\ndata: ./x\ntarget: {latency: 20ms}\n")
    assert main(["validate", "s.yaml"]) == 0
    assert capsys.readouterr().err.startswith("Note: there is no '")


def test_validate_checks_the_augmentation_against_the_space(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("s.yaml").write_text(
        "task: classification\ndata: ./x\ntarget: {latency: 20ms}\naugmentation: ligth\n"
    )
    assert main(["validate", "s.yaml"]) == 2
    assert "unknown preset 'ligth' of search space 'quick'" in capsys.readouterr().err


def test_validate_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text(BAD)
    assert main(["validate", "bad.yaml", "--json"]) == 2
    content = json.loads(capsys.readouterr().out)
    assert content["valid"] is False
    assert content["problems"][1] == {
        "source": "bad.yaml",
        "line": 4,
        "column": 10,
        "path": "search.tme",
        "message": "unknown key. Did you mean 'time'?",
    }
    assert main(["validate", "quickstart", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["valid"], content["spec"]["name"]) == (True, "quickstart")
    assert main(["validate", "nowhere.yaml", "--json"]) == 2
    content = json.loads(capsys.readouterr().out)
    assert content["problems"][0]["message"].startswith("There is no spec 'nowhere.yaml'.")


@pytest.mark.parametrize(
    ("arguments", "title"), [([], "automl spec"), (["--space"], "automl search space")]
)
def test_schema_prints_json_schema(
    arguments: list[str], title: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", *arguments]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert content["title"] == title


def test_init_says_what_it_saw_and_writes_a_valid_spec(
    paper_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(paper_images, "my images")
    before = sorted(Path("my images").rglob("*"))
    assert main(["init", "my images"]) == 0
    shown = capsys.readouterr().out
    assert "'my images' is read as 'folder'" in shown
    assert "960 images, 2 classes: 'fail', 'pass'." in shown
    assert "File names look like tiles or frames of 228 things" in shown
    assert shown.endswith("Wrote 'my-images.yaml'. Next: automl plan my-images.yaml\n")
    spec = load_spec("my-images.yaml")
    assert (spec.data.path, spec.data.format) == (str(tmp_path / "my images"), "folder")
    assert spec.data.split.group is None
    assert sorted(Path("my images").rglob("*")) == before


def test_init_never_overwrites(paper_images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text("precious")
    assert main(["init", str(paper_images), "--output", "mine.yaml"]) == 2
    assert capsys.readouterr().err == (
        "Error: 'mine.yaml' exists and is not overwritten. Use --output FILE.\n"
    )
    assert Path("mine.yaml").read_text() == "precious"


def test_init_of_an_unknown_task_or_a_missing_folder_writes_nothing(
    paper_images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(paper_images), "--task", "clasification"]) == 2
    expected = "Error: Unknown task 'clasification'. Did you mean 'classification'?\n"
    assert capsys.readouterr().err == expected
    assert main(["init", "nowhere"]) == 4
    assert list(Path().iterdir()) == []


def test_examples_are_listed_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["examples"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "anomaly-quickstart",
        "classification-full",
        "detection-quickstart",
        "plan-only",
        "quickstart",
        "segmentation-quickstart",
    ]
    assert all(len(line) > 40 for line in lines)


def test_example_is_copied_with_its_images_and_runs_from_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["examples", "quickstart", "--output", "mine"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "mine/quickstart.yaml"
    spec = load_spec("mine/quickstart.yaml")
    assert Path(spec.data.path) == tmp_path / "mine" / "data" / "paper_pass_fail"
    assert len(list(Path(spec.data.path).rglob("*.jpg"))) == 960
    assert Path("mine/spec.schema.json").is_file()
    assert main(["examples", "quickstart", "--output", "mine"]) == 2
    assert capsys.readouterr().err == (
        "Error: 'mine/quickstart.yaml' exists and is not overwritten. Use --output FOLDER.\n"
    )


def test_unknown_example_names_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["examples", "quikstart"]) == 2
    expected = "Error: Unknown example 'quikstart'. Did you mean 'quickstart'?\n"
    assert capsys.readouterr().err == expected
