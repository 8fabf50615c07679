"""Parquet files of images: what is read of the rows, and the images that stay inside."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from annotation_makers import shapes_of, splits_of, told, write_images, write_text
from PIL import Image

from automl.data import parquet_images
from automl.data.annotations import MaskCoding
from automl.data.examine import examine
from automl.data.facts import load_facts, save_facts
from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.parquet import ParquetFormat
from automl.data.source import as_file, is_member, member_path, read_source, source_status
from automl.errors import DataError
from automl.records import Split, TruthKind

TRAIN, TEST = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"


def _png(seed: int) -> bytes:
    stream = io.BytesIO()
    cells = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(cells).save(stream, "PNG")
    return stream.getvalue()


def _images(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"bytes": _png(first + at), "path": f"{first + at}.png"} for at in range(count)]


def _write(
    root: Path,
    path: str,
    columns: dict[str, Sequence[Any]],
    *,
    features: dict[str, Any] | None = None,
    rows_in_group: int = 4,
) -> None:
    table = pa.table(columns)
    if features is not None:
        described = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": described})
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, root / path, row_group_size=rows_in_group)


def _read(root: Path, truth: TruthKind = "label", **options: object) -> Listing:
    return ParquetFormat().read(root, options=ReadOptions(truth, **options))  # type: ignore[arg-type]


LABELS = {"label": {"names": ["zebra", "ant"], "_type": "ClassLabel"}}


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Ten images to learn from, in three row groups, and three to test with."""
    _write(
        tmp_path,
        TRAIN,
        {"image": _images(10), "label": [at % 2 for at in range(10)]},
        features=LABELS,
    )
    _write(tmp_path, TEST, {"image": _images(3, 10), "label": [0, 1, -1]}, features=LABELS)
    return tmp_path


def test_rows_are_samples_with_the_names_and_the_order_of_their_classes(animals: Path) -> None:
    form, reason = choose(animals, "auto", truth="label")
    assert (form.name, reason) == (
        "parquet",
        f"'{TEST}' holds images and what is known of them: parquet",
    )
    listing = _read(animals)
    assert [(one.path, one.label, one.split) for one in listing.samples[:3]] == [
        (f"{TEST}#0000000", "zebra", Split.TEST),
        (f"{TEST}#0000001", "ant", Split.TEST),
        (f"{TRAIN}#0000000", "zebra", Split.TRAIN),
    ]
    assert (listing.classes, len(listing.samples), listing.files_seen) == (("zebra", "ant"), 12, 13)
    assert told(listing) == {
        "unlabelled-image": f"Left out: 1 image without a class: '{TEST}#0000002'."
    }


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("validation-00000-of-00002.parquet", Split.VAL),
        ("default/train/0000.parquet", Split.TRAIN),
        ("test.parquet", Split.TEST),
        ("testimony.parquet", None),
        ("all.PARQUET", None),
    ],
)
def test_the_name_of_a_file_gives_the_split(tmp_path: Path, path: str, split: Split | None) -> None:
    _write(tmp_path, path, {"image": _images(1), "label": ["a"]})
    assert list(splits_of(_read(tmp_path)).values()) == [split]


def test_one_file_may_be_named(animals: Path) -> None:
    listing = _read(animals / TRAIN)
    assert listing.root == animals / "data"
    assert listing.samples[-1].path == "train-00000-of-00001.parquet#0000009"
    assert read_source(listing.root, listing.samples[-1].path) == _png(9)


OBJECT_COLUMNS = [
    [{"bbox": [[1.0, 2.0, 10.0, 12.5]], "category": [1]}, {"bbox": [], "category": []}],
    [[{"bbox": [1.0, 2.0, 10.0, 12.5], "category": 1}], []],
]
FEATURES = [
    {
        "objects": {
            "feature": {
                "bbox": {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"},
                "category": {"names": ["x", "cat"], "_type": "ClassLabel"},
            },
            "_type": "Sequence",
        }
    },
    {
        "objects": {
            "feature": {
                "bbox": {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"},
                "category": {"names": ["x", "cat"], "_type": "ClassLabel"},
            },
            "_type": "List",
        }
    },
]


@pytest.mark.parametrize(
    ("objects", "features"),
    list(zip(OBJECT_COLUMNS, FEATURES, strict=True)),
    ids=["lists", "structs"],
)
def test_objects_are_boxes(tmp_path: Path, objects: list[Any], features: dict[str, Any]) -> None:
    columns = {"image": _images(2), "width": [40, 40], "height": [30, 30], "objects": objects}
    _write(tmp_path, TRAIN, columns, features=features)
    listing = _read(tmp_path, "boxes")
    assert shapes_of(listing) == {
        f"{TRAIN}#0000000": [("cat", "box", [1, 2, 11, 14.5])],
        f"{TRAIN}#0000001": [],
    }
    assert listing.annotations is not None
    assert listing.annotations.claimed.tolist() == [[30, 40]] * 2


def _mask_png() -> bytes:
    stream = io.BytesIO()
    mask = np.tile(np.array([0, 1, 2, 255], np.uint8), (30, 10))
    Image.fromarray(mask).save(stream, "PNG")
    return stream.getvalue()


def test_a_second_column_of_images_holds_the_masks(tmp_path: Path) -> None:
    masks = [{"bytes": _mask_png(), "path": None}] * 2
    _write(tmp_path, TRAIN, {"annotation": masks, "image": _images(2)})
    write_text(tmp_path, "classes.txt", "wall\ndoor\napple\n")
    listing = _read(tmp_path, "mask")
    assert listing.annotations is not None
    assert listing.annotations.masks == (
        f"{TRAIN}#0000000:annotation",
        f"{TRAIN}#0000001:annotation",
    )
    assert listing.annotations.codings == (MaskCoding("index", ("wall", "door", "apple")),)
    assert listing.classes == ("wall", "door", "apple")
    assert read_source(tmp_path, f"{TRAIN}#0000001:annotation") == _mask_png()
    assert read_source(tmp_path, f"{TRAIN}#0000001") == _png(1)


def test_a_column_of_paths_names_files_beside(tmp_path: Path) -> None:
    write_images(tmp_path, "data/img/a.png", "data/b.png", "data/c.png")
    paths = ["img\\a.png", "b.png", "b.png", None]
    _write(tmp_path, TRAIN, {"file_name": paths, "label": ["x", "y", "y", "z"]})
    listing = _read(tmp_path)
    assert [(one.path, one.label) for one in listing.samples] == [
        ("data/b.png", "y"),
        ("data/img/a.png", "x"),
    ]
    assert told(listing) == {
        "malformed-entry": "Left out: 1 entry that cannot be understood: 'a row without an image' "
        f"({TRAIN}, row 3).",
        "duplicate-entry": f"Counted once: 1 entry that describes an image again: "
        f"'data/b.png' ({TRAIN}, row 2).",
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'data/c.png'.",
    }


def test_bad_rows_and_files_are_named(animals: Path) -> None:
    _write(
        animals, "data/train-x.parquet", {"image": _images(2, 20), "label": [7, 1]}, features=LABELS
    )
    _write(animals, "data/other.parquet", {"number": [1, 2]})
    write_text(animals, "data/torn.parquet", (animals / TRAIN).read_bytes()[:-50])
    assert told(_read(animals)) == {
        "malformed-file": "Left out: 2 annotation files that cannot be read: 'no parquet file with "
        "images' (data/other.parquet; data/torn.parquet).",
        "malformed-entry": "Left out: 1 entry that cannot be understood: 'label: 7 is no number of "
        "one of the 2 classes' (data/train-x.parquet, row 0).",
        "unlabelled-image": f"Left out: 1 image without a class: '{TEST}#0000002'.",
    }


def test_other_files_are_not_taken_for_it(tmp_path: Path) -> None:
    _write(tmp_path, "numbers.parquet", {"number": [1]})
    assert ParquetFormat().recognise(tmp_path) is None
    assert ParquetFormat().recognise(tmp_path / "numbers.parquet") is None
    (tmp_path / "numbers.parquet").unlink()
    with pytest.raises(DataError, match=r"needs a file that ends in \.parquet"):
        _read(tmp_path)


@pytest.mark.parametrize("group_bytes", [0, 64 * 2**20], ids=["streamed", "whole"])
def test_every_row_is_read_in_any_order(
    animals: Path, monkeypatch: pytest.MonkeyPatch, group_bytes: int
) -> None:
    monkeypatch.setattr(parquet_images, "_GROUP_BYTES", group_bytes)
    monkeypatch.setattr(parquet_images, "_ROWS_AT_ONCE", 3)
    for row in (0, 1, 9, 8, 3, 3, 7, 0, 5, 6):
        assert read_source(animals, member_path(TRAIN, row)) == _png(row)
    assert read_source(animals, f"{TEST}#1") == _png(11)


MISSING = [
    (f"{TRAIN}#10", "no row 10"),
    (f"{TRAIN}#1:depth", "no column of images 'depth'"),
    ("data/nothing.parquet#1", "No such file or directory"),
    ("data/rows.parquet#0", "row without an image"),
    ("data/rows.parquet#2", "row without an image"),  # it leads out of the folder
]


@pytest.mark.parametrize(("path", "text"), MISSING, ids=[one[1] for one in MISSING])
def test_what_is_not_there_is_missing_like_a_file(animals: Path, path: str, text: str) -> None:
    rows = [{"bytes": None, "path": None}, *_images(1), {"bytes": None, "path": "../../secret.png"}]
    _write(animals, "data/rows.parquet", {"image": rows})
    with pytest.raises(FileNotFoundError, match=text):
        read_source(animals, path)
    facts = examine(animals, path, stored_side=None).facts
    assert (facts.rule, facts.error) == ("missing-file", text)


def test_a_row_may_refer_to_a_file(tmp_path: Path) -> None:
    write_images(tmp_path, "img/a.png")
    rows = [{"bytes": None, "path": "img/a.png"}, *_images(1)]
    _write(tmp_path, TRAIN, {"image": rows})
    assert read_source(tmp_path, f"{TRAIN}#0") == (tmp_path / "img/a.png").read_bytes()


def test_a_damaged_file_is_an_unreadable_one(animals: Path) -> None:
    content = bytearray((animals / TRAIN).read_bytes())
    content[20:3000] = bytes(2980)
    (animals / TRAIN).write_bytes(content)
    facts = examine(animals, f"{TRAIN}#0", stored_side=None).facts
    assert facts.rule is not None
    write_text(animals, TEST, b"PAR1 but not really")
    facts = examine(animals, f"{TEST}#0", stored_side=None).facts
    assert facts.rule == "unreadable-file"
    assert facts.error is not None
    assert facts.error.startswith("no parquet file, or a damaged one (")


def test_a_file_that_was_written_again_is_read_again(animals: Path) -> None:
    assert read_source(animals, f"{TRAIN}#1") == _png(1)
    before = source_status(animals, f"{TRAIN}#1")
    _write(animals, TRAIN, {"image": _images(4, 50), "label": [0] * 4})
    os.utime(animals / TRAIN, ns=(before.mtime_ns + 10**9, before.mtime_ns + 10**9))
    assert read_source(animals, f"{TRAIN}#1") == _png(51)
    assert source_status(animals, f"{TRAIN}#1") != before


def test_a_file_that_looks_like_a_row_is_a_file(tmp_path: Path) -> None:
    write_text(tmp_path, "a.parquet#1", b"words")
    assert is_member("a.parquet#1")
    assert read_source(tmp_path, "a.parquet#1") == b"words"


def test_known_facts_of_a_row_hold_until_its_file_changes(
    animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    path = f"{TRAIN}#3"
    examined = examine(animals, path, stored_side=8)
    assert (examined.facts.height, examined.facts.width) == (30, 40)
    assert examined.thumbnail is not None
    save_facts(animals, [examined.facts], examined.thumbnail[None])
    assert load_facts(animals).current(animals, path) == (examined.facts, 0)
    os.utime(animals / TRAIN, ns=(1, 1))
    assert load_facts(animals).current(animals, path) is None


def test_rows_are_indexed_without_reading_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [{"bytes": os.urandom(200_000), "path": "x.png"} for _ in range(50)]
    _write(tmp_path, TRAIN, {"image": images, "label": ["a", "b"] * 25})
    assert (tmp_path / TRAIN).stat().st_size > 10_000_000
    pool = pa.default_memory_pool()
    before = pool.max_memory()
    listing = _read(tmp_path)
    assert len(listing.samples) == 50
    assert pool.max_memory() - before < 2_000_000 or pool.max_memory() < 2_000_000


def test_a_row_can_be_had_as_a_file(
    animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    copy = as_file(animals, f"{TRAIN}#3")
    assert copy.read_bytes() == _png(3)
    assert copy.is_relative_to(tmp_path / "cache")
    assert as_file(animals, f"{TRAIN}#3") == copy
    assert as_file(animals, "plain.png") == animals / "plain.png"
