"""`automl predict`: answers on stdout, unreadable images on stderr, and nothing heavy imported."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bundle_maker import Made, shared_bundle

from automl.cli import main


@pytest.fixture(scope="module")
def made(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle as a run delivers it; tests that change it copy it first."""
    return shared_bundle(tmp_path_factory.getbasetemp(), paper_images)


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["predict", *(str(argument) for argument in arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_answers_are_one_line_an_image(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    images = sorted((made.data / "fail").iterdir())[:2]
    code, out, err = _run(capsys, made.bundle.path, *images)
    expected = [made.bundle.predict(image) for image in images]
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{image}: {answer.label} ({answer.confidence:.1%})"
        for image, answer in zip(images, expected, strict=True)
    ]


def test_json_is_one_list_with_every_score(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    image = next((made.data / "pass").iterdir())
    code, out, _ = _run(capsys, made.bundle.path, image, "--json", "--threads", 2)
    (row,) = json.loads(out)
    assert code == 0
    assert sorted(row) == ["confidence", "image", "label", "scores"]
    assert sorted(row["scores"]) == ["fail", "pass"]
    assert row["scores"][row["label"]] == pytest.approx(row["confidence"], abs=1e-5)


def test_csv_has_a_header_and_a_row_an_image_of_a_folder(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(capsys, made.bundle.path, made.data, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["image"] for row in rows] == [
        str(image) for label in ("fail", "pass") for image in sorted((made.data / label).iterdir())
    ]
    assert set(rows[0]) == {"image", "label", "confidence"}


def test_unreadable_images_are_named_and_the_others_answered(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next((made.data / "fail").iterdir())
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:400])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "none").mkdir()
    names = [tmp_path / name for name in ("cut.jpg", "empty.jpg", "gone.jpg", "none")]
    code, out, err = _run(capsys, made.bundle.path, *names, good)
    assert code == 4
    assert len(out.splitlines()) == 1
    assert out.startswith(f"{good}: ")
    lines = err.splitlines()
    assert lines[0].startswith(f"{names[0]}: cannot be decoded (")
    assert lines[1:] == [
        f"{names[1]}: the file is empty (0 bytes)",
        f"{names[2]}: No such file or directory",
        f"{names[3]}: the folder holds no image",
        "Error: 4 images could not be answered; each is named above.",
    ]


def test_json_stays_valid_when_an_image_fails(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(capsys, made.bundle.path, tmp_path / "gone.jpg", "--json")
    assert (code, json.loads(out)) == (4, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'BUNDLE'."),
        (["bundle"], "Missing argument 'IMAGES...'."),
        (["bundle", "a.jpg", "--threads", "0"], "Invalid value for '--threads'"),
    ],
)
def test_wrong_command_lines_exit_with_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = _run(capsys, *arguments)
    assert code == 2
    assert message in err


def test_a_folder_that_is_no_bundle_exits_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, tmp_path, "a.jpg")
    assert (code, out) == (2, "")
    assert err == (
        f"Error: '{tmp_path}' is not a bundle: 'model.json' is missing. A bundle is the folder "
        "'bundle/<target>' of a finished run.\n"
    )


def test_a_damaged_bundle_exits_with_two(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = shutil.copytree(made.bundle.path, tmp_path / "bench")
    (copied / "model.onnx").write_bytes(b"nothing")
    code, _, err = _run(capsys, copied, "a.jpg")
    assert code == 2
    assert "is not the file that 'model.json' describes" in err


def test_predicting_imports_neither_torch_nor_onnx_nor_ray(made: Made) -> None:
    image = next((made.data / "fail").iterdir())
    code = (
        "import sys; from automl.cli import main; "
        f"code = main(['predict', {str(made.bundle.path)!r}, {str(image)!r}]); "
        "heavy = [m for m in ('torch', 'onnx', 'ray', 'timm', 'pandas') if m in sys.modules]; "
        "print(code, heavy, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "0 []\n"
