"""The folder that is handed over: what is in it, that it is whole, and that damage is noticed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from bundle_maker import Made, shared_bundle

import automl.predictor
from automl.errors import RunError
from automl.export.bundle import load_bundle, read_card, write_bundle
from automl.export.card import Reference, make_card
from automl.export.readme import render_readme
from automl.export.references import check_references, pattern_frame
from automl.pipeline.verify import _folder_of_images
from automl.records import Claim, Scores, TargetSelection, dump_record, load_record
from automl.storage import sha256_file, write_record


@pytest.fixture(scope="module")
def made(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle as a run delivers it; tests that change it copy it first."""
    return shared_bundle(tmp_path_factory.getbasetemp(), paper_images)


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.bundle.path, tmp_path / "bench"))


def test_bundle_holds_the_model_and_little_else(made: Made) -> None:
    sizes = {entry.name: entry.stat().st_size for entry in made.bundle.path.iterdir()}
    assert sorted(sizes) == ["README.md", "labels.txt", "model.json", "model.onnx", "predict.py"]
    assert sum(sizes.values()) - sizes["model.onnx"] < 100_000
    assert [entry.name for entry in made.bundle.path.parent.iterdir() if entry.name[0] == "."] == []


def test_files_are_those_that_were_measured_and_tested(made: Made) -> None:
    folder, card = made.bundle.path, made.bundle.card
    assert card.model_sha256 == sha256_file(folder / "model.onnx")
    assert card.model_size_bytes == (folder / "model.onnx").stat().st_size
    assert (folder / "labels.txt").read_text() == "fail\npass\n"
    predictor = Path(automl.predictor.__file__).read_bytes()
    assert (folder / "predict.py").read_bytes() == predictor
    assert (card.architecture, card.scheme, card.image_size) == (
        "test_resnet-full-32",
        "float32",
        32,
    )
    assert card.requirements == made.spec.requirements


def test_bundle_predicts_paths_bytes_and_arrays_alike(made: Made) -> None:
    image = next((made.data / "fail").iterdir())
    answers = [
        made.bundle.predict(given)
        for given in (
            image,
            str(image),
            image.read_bytes(),
            automl.predictor.decode_image(image.read_bytes()),
        )
    ]
    assert made.bundle.labels == ("fail", "pass")
    assert {answer.label for answer in answers} <= {"fail", "pass"}
    for answer in answers[1:]:
        assert np.array_equal(answer.probabilities, answers[0].probabilities)


def test_loading_a_bundle_and_predicting_imports_no_torch(made: Made) -> None:
    image = next((made.data / "fail").iterdir())
    code = (
        "import sys; from automl.export.bundle import load_bundle; "
        f"load_bundle({str(made.bundle.path)!r}).predict({str(image)!r}); "
        "print([m for m in ('torch', 'onnx', 'ray', 'timm') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_writing_replaces_a_bundle_that_is_there(made: Made, copied: Path) -> None:
    (copied / "stale.txt").write_text("old")
    card = replace(made.bundle.card, name="second", references=())
    artifact = made.bundle.path / "model.onnx"
    again = write_bundle(copied, artifact=artifact, card=card, reference_images={})
    assert again.card.name == "second"
    assert not (copied / "stale.txt").exists()
    assert [entry.name for entry in copied.parent.iterdir()] == ["bench"]


def test_a_failed_write_leaves_the_old_bundle(made: Made, copied: Path) -> None:
    artifact = made.bundle.path / "model.onnx"
    with pytest.raises(automl.predictor.ImageError):
        write_bundle(
            copied, artifact=artifact, card=made.bundle.card, reference_images={"bad.jpg": b""}
        )
    assert load_bundle(copied).card == made.bundle.card
    assert [entry.name for entry in copied.parent.iterdir()] == ["bench"]


def _remove_model(folder: Path) -> str:
    (folder / "model.onnx").unlink()
    return (
        f"'{folder}' is not a bundle: 'model.onnx' is missing. A bundle is the folder "
        "'bundle/<target>' of a finished run."
    )


def _change_model(folder: Path) -> str:
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[:-1])
    expected, found = read_card(folder).model_sha256[:12], sha256_file(folder / "model.onnx")[:12]
    return (
        f"'{folder}/model.onnx' is not the file that 'model.json' describes: its SHA-256 is "
        f"{found}…, expected {expected}…. Copy the whole bundle again."
    )


def _edit_card(folder: Path) -> str:
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace("test_resnet", "test_magic"))
    return f"'{folder}/model.json' is damaged or was edited. Copy the whole bundle again."


def _truncate_card(folder: Path) -> str:
    (folder / "model.json").write_text((folder / "model.json").read_text()[:500])
    return f"'{folder}/model.json' is damaged or was edited. Copy the whole bundle again."


def _use_later_format(folder: Path) -> str:
    write_record(folder / "model.json", replace(read_card(folder), format_version=9))
    return (
        f"'{folder}' is a bundle of format 9; this automl reads format 2. Use the automl that made "
        "it (0.1.0)."
    )


@pytest.mark.parametrize(
    "damage", [_remove_model, _change_model, _edit_card, _truncate_card, _use_later_format]
)
def test_damage_is_named_with_its_remedy(damage: Callable[[Path], str], copied: Path) -> None:
    expected = damage(copied)
    with pytest.raises(RunError) as raised:
        load_bundle(copied)
    assert str(raised.value) == expected


def test_a_folder_that_is_no_bundle_says_what_is_one(tmp_path: Path) -> None:
    with pytest.raises(RunError) as raised:
        load_bundle(tmp_path)
    assert str(raised.value) == (
        f"'{tmp_path}' is not a bundle: 'model.json' is missing. A bundle is the folder "
        "'bundle/<target>' of a finished run."
    )


def test_references_hold_for_the_delivered_file(made: Made) -> None:
    claim = check_references(made.bundle.path / "model.onnx", made.bundle.card, made.data)
    assert claim.holds
    assert load_record(Claim, dump_record(claim)) == claim
    assert claim.how == "3 reference inputs"
    assert claim.asked == "numbers within 0.001, same answer"


def test_references_are_not_checked_on_images_that_are_gone_or_others(
    made: Made, tmp_path: Path
) -> None:
    changed = tmp_path / made.bundle.card.references[1].name
    changed.parent.mkdir(parents=True)
    changed.write_bytes(b"other")
    claim = check_references(made.bundle.path / "model.onnx", made.bundle.card, tmp_path)
    assert claim.holds
    assert claim.how == (f"1 reference input; 2 not checked: the image is not below '{tmp_path}'")


def test_references_notice_another_answer(made: Made) -> None:
    wrong = Reference("pattern", None, (("fail", 0.9), ("pass", 0.1)))
    turned = Reference("pattern", None, (("pass", 0.9), ("fail", 0.1)))
    artifact = made.bundle.path / "model.onnx"
    claims = [
        check_references(artifact, replace(made.bundle.card, references=(r,)), made.data)
        for r in (wrong, turned)
    ]
    assert not any(claim.holds for claim in claims)
    assert sum(claim.got.endswith(", another answer") for claim in claims) == 1


def test_references_are_found_inside_parquet_and_beside_a_file_of_annotations(
    made: Made, tmp_path: Path
) -> None:
    content = (made.data / made.bundle.card.references[1].name).read_bytes()
    rows = pyarrow.table({"image": [{"bytes": content, "path": None}]})
    (tmp_path / "annotations").mkdir()
    pyarrow.parquet.write_table(rows, tmp_path / "train.parquet")
    inside = replace(made.bundle.card.references[1], name="train.parquet#0000000")
    card = replace(made.bundle.card, references=(inside,))
    for named in (tmp_path, tmp_path / "train.parquet", tmp_path / "annotations" / "all.json"):
        assert _folder_of_images(card, named) == tmp_path
    claim = check_references(made.bundle.path / "model.onnx", card, tmp_path)
    assert (claim.holds, claim.how) == (True, "1 reference input")


def test_pattern_is_the_same_everywhere() -> None:
    frame = pattern_frame(5, 7)
    assert (frame.shape, frame.dtype) == ((5, 7, 3), np.uint8)
    assert frame[4, 6].tolist() == [43, 41, 39]
    assert pattern_frame(200, 300).std() > 50


def test_card_of_many_classes_stays_small(made: Made) -> None:
    count = 1000
    many = Scores(
        {"accuracy": 0.5, "balanced-accuracy": 0.5, "recall[fail]": 0.4}
        | {f"recall[{i}]": 0.5 for i in range(count)},
        tuple((0,) * count for _ in range(count)),
        10,
    )
    chosen = _selection(made, many)
    dataset = replace(_dataset(made), classes=tuple(map(str, range(count))))
    card = make_card(
        chosen, artifact=made.bundle.path / "model.onnx", spec=made.spec, dataset=dataset
    )
    assert card.test_scores is not None
    assert card.test_scores.confusion == ()
    assert sorted(card.test_scores.values) == ["accuracy", "balanced-accuracy", "recall[fail]"]


def _dataset(made: Made):  # type: ignore[no-untyped-def]
    from automl.data import prepare

    return prepare(made.spec.data, truth="label", stored_side=64).dataset


def _selection(made: Made, scores: Scores) -> TargetSelection:
    from automl.records import Artifact, Parity

    winner = Artifact("float32", "x", "0", 1, scores, Parity(1, 0.0, 1.0), 0.0, None, {})
    return TargetSelection(
        target=made.spec.targets[0],
        winner=winner,
        trial_id="t",
        candidate=None,
        measurement=None,
        test_scores=scores,
        claims=(),
        reasons=(),
        runners_up=(),
        predictions=(),
        best_reached=None,
        binding=None,
        relaxation=None,
    )


def test_a_target_without_winner_has_no_card(made: Made) -> None:
    chosen = replace(_selection(made, Scores({}, (), 0)), winner=None)
    with pytest.raises(ValueError, match=r"^Target 'bench' has no winner to describe\.$"):
        make_card(chosen, artifact=made.bundle.path, spec=made.spec, dataset=_dataset(made))


def test_readme_makes_hostile_names_harmless(made: Made) -> None:
    hostile = ("<script>alert(1)</script>", "a|b\n# title", "[x](http://e)")
    text = render_readme(replace(made.bundle.card, labels=hostile))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, a\\|b \\# title, \\[x\\](http://e))." in text
    assert text.startswith("# paper &lt;check&gt;\n")
    assert "<script" not in text


def test_readme_gives_the_requirements_and_the_commands(made: Made) -> None:
    text = (made.bundle.path / "README.md").read_text()
    assert "| latency p95 &lt;= 1000 ms | 1 ms | yes | a test |" in text
    assert "python predict.py image.jpg" in text
    assert made.bundle.card.model_sha256 in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_card_is_json_that_others_can_read(made: Made) -> None:
    card = json.loads((made.bundle.path / "model.json").read_text())["record"]
    assert card["labels"] == ["fail", "pass"]
    assert card["data"]["path"] == str(made.data)
    assert card["test_scores"]["samples"] == made.bundle.card.test_scores.samples  # type: ignore[union-attr]
