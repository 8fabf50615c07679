"""Hugging Face's ImageFolder: labels, boxes and masks from metadata files, judged line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_makers import shapes_of, splits_of, told, write_images, write_text
from PIL import Image

from automl.data.annotations import MaskCoding
from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.huggingface import HuggingfaceFormat
from automl.errors import DataError
from automl.records import Split, TruthKind

OBJECTS = {"bbox": [[1, 2, 10, 12.5], [5, 5, 4, 4]], "categories": ["cat", "dog"]}


def _read(root: Path, truth: TruthKind = "label", **options: object) -> Listing:
    return HuggingfaceFormat().read(root, options=ReadOptions(truth, **options))  # type: ignore[arg-type]


def _lines(root: Path, path: str, *rows: dict[str, Any]) -> None:
    write_text(root, path, "".join(json.dumps(row) + "\n" for row in rows))


def _labels(listing: Listing) -> dict[str, str | None]:
    return {one.path: one.label for one in listing.samples}


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two images for training and one for testing."""
    write_images(tmp_path, "train/a.png", "train/sub/b.png", "test/c.png")
    return tmp_path


def test_it_is_preferred_to_folders_of_classes(pets: Path) -> None:
    _lines(pets, "train/metadata.jsonl", {"file_name": "a.png", "label": "cat"})
    form, reason = choose(pets, "auto", truth="label")
    assert form.name == "huggingface"
    assert reason == (
        "'train/metadata.jsonl' describes the images beside it: Hugging Face's ImageFolder (set "
        "data.format to 'folder' to read it as 'folder' instead)"
    )


def test_labels_and_splits_are_read_from_every_folder(pets: Path) -> None:
    _lines(
        pets,
        "train/metadata.jsonl",
        {"file_name": "a.png", "label": "cat", "text": "a cat"},
        {"file_name": "sub/b.png", "label": "dog"},
    )
    write_text(pets, "test/metadata.csv", "\ufefffile_name,label\r\nc.png, dog\r\n")
    listing = _read(pets)
    assert _labels(listing) == {"test/c.png": "dog", "train/a.png": "cat", "train/sub/b.png": "dog"}
    assert set(splits_of(listing).items()) == {
        ("test/c.png", Split.TEST),
        ("train/a.png", Split.TRAIN),
        ("train/sub/b.png", Split.TRAIN),
    }
    assert (listing.classes, listing.findings, listing.files_seen) == (("cat", "dog"), (), 3)


def test_one_file_at_the_top_may_name_the_split(pets: Path) -> None:
    rows = [
        {"file_name": "train\\a.png", "label": 3, "split": "train"},
        {"file_name": "./train/sub/b.png", "label": 10, "split": "validation"},
        {"file_name": "test/c.png", "label": 3},
    ]
    _lines(pets, "metadata.jsonl", *rows)
    listing = _read(pets)
    assert listing.classes == ("3", "10")
    assert list(splits_of(listing).values()) == [None, Split.TRAIN, Split.VAL]


@pytest.mark.parametrize(
    "objects",
    [
        OBJECTS,
        {"bbox": OBJECTS["bbox"], "category": OBJECTS["categories"], "area": [1, 2], "id": [1, 2]},
        [
            {"bbox": [1, 2, 10, 12.5], "category": "cat"},
            {"bbox": [5, 5, 4, 4], "category": "dog"},
        ],
        json.dumps(OBJECTS),
    ],
    ids=["categories", "category", "list", "text"],
)
def test_objects_are_boxes_by_corner_and_size(pets: Path, objects: object) -> None:
    rows = [
        {"file_name": "a.png", "objects": objects, "width": 40, "height": 30},
        {"file_name": "sub/b.png", "objects": {"bbox": [], "categories": []}},
    ]
    _lines(pets, "train/metadata.jsonl", *rows)
    listing = _read(pets, "boxes")
    assert shapes_of(listing) == {
        "train/a.png": [("cat", "box", [1, 2, 11, 14.5]), ("dog", "box", [5, 5, 9, 9])],
        "train/sub/b.png": [],
    }
    assert listing.annotations is not None
    assert listing.annotations.claimed.tolist() == [[30, 40], [0, 0]]


@pytest.mark.parametrize("column", ["mask_file_name", "mask", "label"])
def test_a_column_names_the_masks(pets: Path, column: str) -> None:
    (pets / "train" / "masks").mkdir()
    for name in ("a", "b"):
        mask = np.tile(np.array([0, 1, 2], np.uint8), (30, 14))[:, :40]
        Image.fromarray(mask).save(pets / "train" / "masks" / f"{name}.png")
    write_text(pets, "classes.txt", "wall\ndoor\napple\n")
    rows = [
        {"file_name": "a.png", column: "masks/a.png"},
        {"file_name": "sub/b.png", column: "masks/b.png"},
    ]
    _lines(pets, "train/metadata.jsonl", *rows)
    listing = _read(pets, "mask")
    assert listing.annotations is not None
    assert listing.annotations.masks == ("train/masks/a.png", "train/masks/b.png")
    assert listing.annotations.codings == (MaskCoding("index", ("wall", "door", "apple")),)
    assert listing.classes == ("wall", "door", "apple")  # in the order of their numbers
    assert told(listing) == {
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'test/c.png'."
    }
    assert listing.files_seen == 3


ENTRY = "Left out: 1 entry that cannot be understood: "
PLACE = " (train/metadata.jsonl, line 2)."
BAD_LINES = [
    ('{"file_name": "a.png", ', "malformed-entry", f"{ENTRY}'no JSON: Expecting property name "
     f"enclosed in double quotes (column 23)'{PLACE}"),
    (b'{"file_name": "caf\xe9.png"}', "malformed-entry", f"{ENTRY}'no UTF-8 text (byte 0xe9)'{PLACE}"),
    ('["a.png"]', "malformed-entry", f"{ENTRY}'no row: [\"a.png\"]'{PLACE}"),
    ('{"label": "cat"}', "malformed-entry", f"{ENTRY}'a row without file_name'{PLACE}"),
    ('{"file_name": "../../x.png"}', "path-outside-root", "Left out: 1 entry whose image lies outside "
     f"the folder of the data: '../../x.png'{PLACE}"),
    ('{"file_name": "x.png"}', "missing-image",
     f"Left out: 1 entry for which there is no image: 'x.png'{PLACE}"),
    ('{"file_name": "a.png", "label": "dog"}', "duplicate-entry", "Counted once: 1 entry that describes "
     f"an image again: 'train/a.png'{PLACE}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "rule", "message"), BAD_LINES, ids=[f"{b[1]}-{i}" for i, b in enumerate(BAD_LINES)]
)
def test_a_bad_line_is_named(pets: Path, line: str | bytes, rule: str, message: str) -> None:
    content = line if isinstance(line, bytes) else line.encode()
    good = ('{"file_name": "a.png", "label": "cat"}', '{"file_name": "sub/b.png", "label": "dog"}')
    lines = [good[0].encode(), content, b"", good[1].encode()]
    write_text(pets, "train/metadata.jsonl", b"\n".join(lines))
    (pets / "test" / "c.png").unlink()
    listing = _read(pets)
    assert told(listing) == {rule: message}
    assert _labels(listing) == {"train/a.png": "cat", "train/sub/b.png": "dog"}


BAD_ROWS = [
    ("label", {"label": ["cat", "dog"]}, "label: [\"cat\", \"dog\"] is no class"),
    ("boxes", {"objects": {"bbox": [[1, 2, 3, 4]]}}, 'objects: {"bbox": [[1, 2, 3, 4]]} has no categories'),
    ("boxes", {"objects": {"bbox": [[1, 2, 3, 4]], "category": []}}, "objects: 1 boxes with 0 categories"),
    ("boxes", {"objects": [{"bbox": [1, 2, 3], "category": 1}]}, "[1, 2, 3] is no box [x, y, width, height]"),
    ("boxes", {"objects": {"bbox": [[1, 2, 3, 4]], "category": [None]}}, "null is no class"),
    ("boxes", {"objects": "none"}, "objects: Expecting value: line 1 column 1 (char 0)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("truth", "row", "problem"), BAD_ROWS, ids=[str(i) for i in range(len(BAD_ROWS))]
)
def test_a_bad_value_is_named(
    pets: Path, truth: TruthKind, row: dict[str, Any], problem: str
) -> None:
    good = {"file_name": "sub/b.png", "label": "dog", "objects": OBJECTS}
    _lines(pets, "train/metadata.jsonl", good, {"file_name": "a.png", **row})
    (pets / "test" / "c.png").unlink()
    assert told(_read(pets, truth))["malformed-entry"] == f"{ENTRY}'{problem}'{PLACE}"


def test_unknown_classes_and_images_without_a_row_are_named(pets: Path) -> None:
    _lines(
        pets,
        "train/metadata.jsonl",
        {"file_name": "a.png", "label": "cat"},
        {"file_name": "sub/b.png", "label": "catt"},
    )
    assert told(_read(pets, classes=("cat",))) == {
        "unknown-label": "Left out: 1 image of a class that is not among 'cat': 'catt' "
        "(train/metadata.jsonl, line 2). Did you mean 'cat'?",
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'test/c.png'.",
    }


def test_other_folders_are_not_taken_for_it(pets: Path) -> None:
    write_text(pets, "train/old_metadata.jsonl", "{}")
    assert HuggingfaceFormat().recognise(pets) is None
    with pytest.raises(DataError, match=r"needs metadata\.jsonl or metadata\.csv"):
        _read(pets)


def test_a_csv_file_that_is_no_text_is_an_error(pets: Path) -> None:
    write_text(pets, "metadata.csv", b"file_name,label\ncaf\xe9.png,cat\n")
    with pytest.raises(DataError, match=r"is not UTF-8 text\. Save it as UTF-8\.$"):
        _read(pets)
