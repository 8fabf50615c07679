"""Finding, reading and refusing spec files."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from nobody import said_as_nobody

from automl.errors import SpecError
from automl.resources import shipped
from automl.spec import load_spec, parse_spec
from automl.spec.loader import shipped_specs

SMALLEST = "task: classification\ndata: ./images\ntarget: {device: local, latency: 20ms}\n"


def test_paths_are_relative_to_the_spec_file_and_output_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "one.yaml").write_text(
        SMALLEST + "weights: ./w.pt\nsearch: {space: ../space.yaml}\noutput: out\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = load_spec("specs/one.yaml")
    assert spec.data.path == str(tmp_path / "specs" / "images")
    assert spec.weights == str(tmp_path / "specs" / "w.pt")
    assert spec.search.space == str(tmp_path / "space.yaml")
    assert (spec.output, spec.source, spec.name) == ("out", "specs/one.yaml", "one")


@pytest.mark.parametrize("name", ["quickstart", "quickstart.yaml", "specs/quickstart.yaml"])
def test_shipped_spec_is_found_by_name_from_anywhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = load_spec(name)
    assert spec.name == "quickstart"
    assert Path(spec.data.path) == shipped("specs", "data", "paper_pass_fail")


def test_quickstart_keeps_the_tiles_of_a_sheet_together(paper_images: Path) -> None:
    group = load_spec("quickstart").data.split.group
    assert group is not None
    paths = [path.relative_to(paper_images).as_posix() for path in paper_images.rglob("*.jpg")]
    matches = [re.search(group, path) for path in paths]
    sheets = Counter(match[1] for match in matches if match is not None)
    assert (len(matches), sum(sheets.values()), len(sheets)) == (960, 960, 228)
    assert sheets["pa_bft01_tl_s_d_01"] == 4


def test_own_file_goes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quickstart.yaml").write_text(SMALLEST)
    monkeypatch.chdir(tmp_path)
    assert load_spec("quickstart.yaml").data.path == str(tmp_path / "images")


def test_every_shipped_spec_is_valid() -> None:
    specs = [load_spec(path) for path in shipped_specs()]
    assert {"quickstart", "classification-full"} <= {spec.name for spec in specs}
    assert all(spec.expected or Path(spec.require_data().path).is_dir() for spec in specs)


def test_missing_file_names_close_ones(tmp_path: Path) -> None:
    (tmp_path / "camera.yaml").write_text(SMALLEST)
    wanted = tmp_path / "camra.yaml"
    with pytest.raises(SpecError) as caught:
        load_spec(wanted)
    expected = f"There is no spec '{wanted}'. Did you mean '{tmp_path / 'camera.yaml'}'?"
    assert shorten(str(caught.value)) == shorten(expected)


def shorten(text: str) -> str:
    """Paths longer than a message shows are cut in both."""
    return text[:60]


def test_missing_shipped_spec_names_close_ones() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec("quikstart")
    assert str(caught.value) == (
        "There is no spec 'quikstart'. "
        "Did you mean 'quickstart' or 'anomaly-quickstart' or 'detection-quickstart'?"
    )


def test_folder_is_not_a_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as caught:
        load_spec("photos")
    assert str(caught.value) == (
        "'photos' is a folder; a spec is a YAML file. 'automl init photos' writes one for images."
    )


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_endless_file_is_refused_as_too_large() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec("/dev/zero")
    assert "the file is larger than 1,000,000 bytes. Is it a spec?" in str(caught.value)


def test_unreadable_file_says_so() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "s.yaml"
        path.write_text(SMALLEST)
        path.chmod(0)
        said = said_as_nobody(lambda: load_spec(path))
    assert re.fullmatch(r"SpecError: .*Cannot read .*: Permission denied\..*", said, re.DOTALL), (
        said
    )


def test_mutated_specs_give_a_spec_or_a_spec_error_and_nothing_else() -> None:
    text = shipped("specs", "classification-full.yaml").read_text(encoding="utf-8")
    chance = random.Random(20)
    lines = [line.split("#")[0].rstrip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    pieces = ["", ":", "[", "]", "{", "}", "!!x ", "&a ", "*a", "\t", "-1", "null", "'", '"', "\n"]
    shown: list[str] = []
    for _ in range(200):
        mutated = "\n".join(chance.sample(lines, k=len(lines)) if chance.random() < 0.1 else lines)
        for _ in range(chance.randint(1, 4)):
            position = chance.randrange(len(mutated))
            end = position + chance.choice([0, 0, 1, 5])
            mutated = mutated[:position] + chance.choice(pieces) + mutated[end:]
        try:
            parse_spec(mutated, source="s.yaml", base=Path("/"))
        except SpecError as error:
            shown += str(error).splitlines()
    assert all(line.isprintable() for line in shown)


def test_reading_a_spec_imports_no_heavy_library() -> None:
    code = (
        "import sys; from automl.spec import load_spec; load_spec('quickstart');"
        "heavy = {'torch', 'ray', 'timm', 'pandas', 'numpy', 'PIL', 'onnx', 'optuna'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_public_names_are_there_and_others_are_not() -> None:
    import automl.spec

    for name in automl.spec.__all__:
        assert getattr(automl.spec, name) is not None
    with pytest.raises(AttributeError) as caught:
        _ = automl.spec.nothing
    assert str(caught.value) == "module 'automl.spec' has no attribute 'nothing'"
