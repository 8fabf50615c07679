"""Every registered data format: reads a tiny set back, and names every bad input once."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl import registry
from automl.data import prepare
from automl.data.formats import DatasetFormat, detect
from automl.data.frames import FrameStore
from automl.errors import DataError
from automl.records import DataSpec, PreparedData, SplitSpec

FORMATS = registry.names("format")
Images = dict[str, tuple[str, bytes]]
"""File name -> class and content."""


def _png(seed: int) -> bytes:
    cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(cells).resize((20, 20)).save(stream, "PNG")
    return stream.getvalue()


def _write_folder(root: Path, images: Images) -> None:
    for name, (label, content) in images.items():
        (root / label).mkdir(parents=True, exist_ok=True)
        (root / label / name).write_bytes(content)


def _write_csv(root: Path, images: Images) -> None:
    (root / "all").mkdir(parents=True)
    with (root / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label"])
        for name, (label, content) in images.items():
            (root / "all" / name).write_bytes(content)
            writer.writerow([f"all/{name}", label])


WRITERS: dict[str, Callable[[Path, Images], None]] = {"folder": _write_folder, "csv": _write_csv}
"""How to write a set of images in each format: the one thing a new format adds here."""


@pytest.fixture
def good() -> Images:
    return {f"{i:02d}.png": (("left", "right")[i % 2], _png(i)) for i in range(48)}


@pytest.fixture
def bad() -> dict[str, tuple[str, bytes]]:
    """File name -> rule and content."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(
        stream, "JPEG"
    )
    return {
        "cut.jpg": ("truncated-file", stream.getvalue()[:1500]),
        "empty.png": ("empty-file", b""),
        "words.jpg": ("not-an-image", b"these are words"),
    }


def _prepare(root: Path, name: str) -> PreparedData:
    split = SplitSpec(val=0.2, test=0.2, group=None, seed=0)
    spec = DataSpec(str(root), name, (), split, 10**8)
    return prepare(spec, truth="label", stored_side=32)


def test_every_format_can_be_written_here() -> None:
    assert set(WRITERS) == set(FORMATS), "add how to write the new format to WRITERS"


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_reads_back_what_was_written(name: str, tmp_path: Path, good: Images) -> None:
    WRITERS[name](tmp_path, good)
    result = _prepare(tmp_path, name)
    dataset = result.dataset
    assert dataset.classes == ("left", "right")
    assert {Path(one.path).name: dataset.classes[one.label] for one in dataset.samples} == {
        file: label for file, (label, _) in good.items()
    }
    store = FrameStore(dataset)
    for i, sample in enumerate(dataset.samples):
        assert store.encoded(i) == good[Path(sample.path).name][1]
    assert result.audit.findings == ()


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_detected_with_a_reason(name: str, tmp_path: Path, good: Images) -> None:
    WRITERS[name](tmp_path, good)
    found = detect(tmp_path, truth="label")
    assert (found.name, found.classes, found.images) == (name, ("left", "right"), 48)
    assert found.reason


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_names_every_bad_file_once(
    name: str, tmp_path: Path, good: Images, bad: dict[str, tuple[str, bytes]]
) -> None:
    wrong = {file: ("left", content) for file, (_, content) in bad.items()}
    WRITERS[name](tmp_path, good | wrong)
    result = _prepare(tmp_path, name)
    named = {one.rule: [Path(path).name for path in one.paths] for one in result.audit.findings}
    assert named == {rule: [file] for file, (rule, _) in bad.items()}
    assert (result.audit.files_seen, result.audit.files_used) == (51, 48)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_keeps_its_protocol(name: str, tmp_path: Path) -> None:
    reader: DatasetFormat = registry.load("format", name)()
    assert reader.name == name
    assert "classification" in reader.tasks
    assert reader.recognise(tmp_path) is None
    with pytest.raises(DataError):
        reader.read(tmp_path, classes=())
    with pytest.raises(DataError):
        _prepare(tmp_path / "nowhere", name)
