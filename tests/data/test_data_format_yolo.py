"""YOLO text files: layouts, names of classes, splits, and what is wrong with a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotation_makers import shapes_of, splits_of, told, write_images, write_text

from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.yolo import YoloFormat
from automl.errors import DataError
from automl.records import Split, TruthKind

WHOLE = "0 0.5 0.5 1 1\n"
"""A box over the whole image."""


def _read(root: Path, truth: TruthKind = "boxes", **options: object) -> Listing:
    return YoloFormat().read(root, options=ReadOptions(truth, **options))  # type: ignore[arg-type]


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Two images with labels, and one on which nothing is to be seen, as LabelImg writes them."""
    write_images(tmp_path, "images/a.jpg", "images/b.PNG", "images/c.jpg")
    write_text(tmp_path, "labels/classes.txt", "cell\r\nplate\r\n")
    write_text(tmp_path, "labels/a.txt", "0 0.25 0.5 0.5 0.2\r\n1 0.5 0.5 0.1 0.1\r\n")
    write_text(tmp_path, "labels/b.txt", WHOLE)
    write_text(tmp_path, "labels/c.txt", "")
    return tmp_path


def test_it_is_recognised_by_the_numbers_in_a_file(cells: Path) -> None:
    form, reason = choose(cells, "auto", truth="boxes")
    assert form.name == "yolo"
    assert reason == "'labels/a.txt' describes the objects in one image: YOLO"


def test_other_text_files_are_not_taken_for_it(tmp_path: Path) -> None:
    write_text(tmp_path, "notes.txt", "five words in a row\n")
    write_text(tmp_path, "classes.txt", "1 2 3 4 5\n")
    assert YoloFormat().recognise(tmp_path) is None


def test_boxes_are_read_as_shares_and_an_empty_file_is_background(cells: Path) -> None:
    listing = _read(cells)
    assert (listing.classes, listing.findings) == (("cell", "plate"), ())
    assert shapes_of(listing) == {
        "images/a.jpg": [("cell", "box", [0, 12, 20, 18]), ("plate", "box", [18, 13.5, 22, 16.5])],
        "images/b.PNG": [("cell", "box", [0, 0, 40, 30])],
        "images/c.jpg": [],
    }


@pytest.mark.parametrize("truth", ["boxes", "mask"])
def test_outlines_are_read(cells: Path, truth: TruthKind) -> None:
    write_text(cells, "labels/a.txt", "1 0 0 0.5 0 0.5 0.5\n")
    write_text(cells, "labels/b.txt", "1 0 0 0.5 0 0.5 0.5 0 0.5\n")
    listing = _read(cells, truth)
    plate = [("plate", "polygon", [0, 0, 20, 0, 20, 15])]
    assert shapes_of(listing)["images/a.jpg"] == plate
    assert shapes_of(listing)["images/b.PNG"] == [
        ("plate", "polygon", [0, 0, 20, 0, 20, 15, 0, 15])
    ]


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("x.jpg", "x.txt"),
        ("x.jpg", "labels/x.txt"),
        ("train/images/x.jpg", "train/labels/x.txt"),
        ("images/train/deep/x.jpg", "labels/train/deep/x.txt"),
        ("JPEGImages/x.jpg", "labels/x.txt"),
        ("pictures/x.jpg", "boxes/x.txt"),
        ("license_plate_1.jpg", "license_plate_1.txt"),
    ],
)
def test_labels_are_found_wherever_they_lie(tmp_path: Path, image: str, file: str) -> None:
    write_images(tmp_path, image)
    write_text(tmp_path, file, WHOLE)
    listing = _read(tmp_path)
    assert shapes_of(listing) == {image: [("0", "box", [0, 0, 40, 30])]}
    assert told(listing) == {
        "integer-label": "Taken as the name of a class: the number '0', as no classes.txt or "
        "data.yaml names it."
    }


def test_the_image_parallel_to_a_file_wins_over_others_of_its_name(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_images(tmp_path, f"images/{split}/1.jpg")
        write_text(tmp_path, f"labels/{split}/1.txt", WHOLE)
    write_text(tmp_path, "classes.txt", "cell\n")
    listing = _read(tmp_path)
    assert splits_of(listing) == {"images/train/1.jpg": Split.TRAIN, "images/val/1.jpg": Split.VAL}
    assert listing.findings == ()


@pytest.mark.parametrize(
    "yaml",
    [
        "names: [cell, plate]\nnc: 2\ntrain: ../train/images\nval: ../valid/images\ntest:\n",
        "path: /content/somewhere\ntrain: train/images\nval: [valid/images]\nnames:\n  1: plate\n"
        "  0: cell\n",
        "\ufeffpath: .\r\ntrain: train.txt\r\nval: valid\\images\r\nnames: [cell, plate]\r\n",
    ],
)
@pytest.mark.parametrize("by_file", [False, True])
def test_data_yaml_gives_names_and_splits(tmp_path: Path, yaml: str, by_file: bool) -> None:
    for path in ("train/images/a.jpg", "valid/images/b.jpg", "old/images/c.jpg"):
        write_images(tmp_path, path)
        write_text(tmp_path, path.replace("images", "labels").replace("jpg", "txt"), WHOLE)
    file = write_text(tmp_path, "data.yaml", yaml)
    if "train.txt" in yaml:
        write_text(tmp_path, "train.txt", "/content/x/train/images/a.jpg\n./gone.jpg\n")
    listing = _read(file if by_file else tmp_path)
    assert listing.classes == ("cell",)
    assert splits_of(listing) == {
        "train/images/a.jpg": Split.TRAIN,
        "valid/images/b.jpg": Split.VAL,
    }
    said = told(listing)
    assert said.pop("unlisted-image") == (
        "Left out: 1 image outside the folders and lists that data.yaml names: 'old/images/c.jpg'."
    )
    assert said.pop("missing-image", None) == (
        "Left out: 1 image that 'train.txt' lists, but that is not there: './gone.jpg'."
        if "train.txt" in yaml
        else None
    )
    assert list(said) == ["unused-class"]


def test_darknet_s_files_give_names_and_splits(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(tmp_path, f"obj_train_data/{name}.png")
        write_text(tmp_path, f"obj_train_data/{name}.txt", WHOLE)
    write_text(
        tmp_path,
        "obj.data",
        "classes = 1\ntrain = data/train.txt\nvalid=data/valid.txt\n"
        "names = data/obj.names\nbackup = backup/\n",
    )
    write_text(tmp_path, "obj.names", "cell\n")
    write_text(tmp_path, "train.txt", "data/obj_train_data/a.png\n")
    write_text(tmp_path, "valid.txt", "data/obj_train_data/b.png\n")
    listing = _read(tmp_path)
    assert (listing.classes, listing.findings) == (("cell",), ())
    assert list(splits_of(listing).values()) == [Split.TRAIN, Split.VAL]


def test_paths_that_are_not_there_and_images_in_two_splits_are_named(cells: Path) -> None:
    write_text(
        cells, "data.yaml", "names: [cell, plate]\ntrain: images\nval: images\ntest: images/test\n"
    )
    listing = _read(cells)
    assert set(splits_of(listing).values()) == {Split.TRAIN}
    said = told(listing)
    assert said["missing-folder"] == "Not found: 'images/test', which data.yaml names for a split."
    assert said["conflicting-splits"] == (
        "Kept in the first split given: 3 images that data.yaml gives two splits: "
        "'images/a.jpg', 'images/b.PNG', 'images/c.jpg'."
    )


def test_the_spec_s_classes_name_the_numbers_where_no_file_does(cells: Path) -> None:
    (cells / "labels" / "classes.txt").unlink()
    listing = _read(cells, classes=("cell", "plate"))
    assert (listing.classes, listing.findings) == (("cell", "plate"), ())


def test_of_poses_the_box_is_read(cells: Path) -> None:
    write_text(cells, "data.yaml", "names: [cell, plate]\nkpt_shape: [1, 3]\n")
    write_text(cells, "labels/a.txt", "0 0.25 0.5 0.5 0.2 0.3 0.3 2\n")
    assert shapes_of(_read(cells))["images/a.jpg"] == [("cell", "box", [0, 12, 20, 18])]


BAD_LINES = [
    ("0 0.5 0.5 1", "4 values instead of 5 (0 0.5 0.5 1)"),
    ("0 0.5 0.5 1 1 0.98", "6 values instead of 5 (0 0.5 0.5 1 1 0.98)"),
    ("cell 0.5 0.5 1 1", "not only numbers (cell 0.5 0.5 1 1)"),
    ("0 0.5 nan 1 1", "not only numbers (0 0.5 nan 1 1)"),
    ("0 20 15 10 10", "20 where a share from 0 to 1 should be"),
    ("0 0.5 0.5 -0.2 0.1", "-0.2 where a share from 0 to 1 should be"),
    ("2 0.5 0.5 1 1", "class 2, where labels/classes.txt names 2 classes from 0 to 1"),
    ("-1 0.5 0.5 1 1", "a class number of -1"),
    ("0.5 0.5 0.5 1 1", "a class number of 0.5"),
    ("0 0 0 0.5 0 0.5 0.5 0", "an odd number of coordinates (0 0 0 0.5 0 0.5 0.5 0)"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_what_is_wrong_with_a_line_is_said_exactly(cells: Path, line: str, reason: str) -> None:
    write_text(cells, "labels/a.txt", f"0 0.25 0.5 0.5 0.2\r\n\r\n{line}\r\n")
    listing = _read(cells)
    assert told(listing)["malformed-entry"] == (
        f"Left out: 1 entry that cannot be understood: '{reason}' (labels/a.txt, line 3)."
    )
    assert shapes_of(listing)["images/a.jpg"] == [("cell", "box", [0, 12, 20, 18])]


def test_edges_are_forgiven_a_hundredth(cells: Path) -> None:
    write_text(cells, "labels/a.txt", "1.0 0.5 0.5 1.000001 -0.0\n")
    assert "malformed-entry" not in told(_read(cells))


def test_files_that_are_not_text_are_named(cells: Path) -> None:
    write_text(cells, "labels/a.txt", b"0 0.5 0.5 1 1\n\xe9\n")
    assert told(_read(cells))["malformed-file"] == (
        "Left out: 1 annotation file that cannot be read: 'byte 0xe9 in line 2 is not UTF-8' "
        "(labels/a.txt)."
    )


def test_files_and_images_that_do_not_match_are_named(cells: Path) -> None:
    write_text(cells, "labels/gone.txt", WHOLE)
    write_text(cells, "labels/notes.txt", "to do: cell 5\n")
    write_images(cells, "images/d.jpg", "one/e.jpg", "two/e.jpg")
    write_text(cells, "old/a.txt", WHOLE)
    write_text(cells, "old/e.txt", WHOLE)
    listing = _read(cells)
    assert told(listing) == {
        "ignored-file": "Ignored: 1 file with a name that is not an image's: 'labels/notes.txt'.",
        "missing-image": "Left out: 1 entry for which there is no image: 'gone'.",
        "ambiguous-image": "Left out: 1 entry that several images could be meant by: 'e'.",
        "duplicate-entry": "Counted once: 1 entry that describes an image again: "
        "'labels/a.txt and old/a.txt'.",
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'images/d.jpg'.",
    }
    assert shapes_of(_read(cells, unannotated="background"))["images/d.jpg"] == []


def test_background_images_keep_the_split_of_data_yaml(cells: Path) -> None:
    (cells / "labels" / "c.txt").unlink()
    write_images(cells, "test/d.jpg")
    write_text(cells, "data.yaml", "names: [cell, plate]\ntrain: images\ntest: test\n")
    listing = _read(cells, unannotated="background")
    assert splits_of(listing)["test/d.jpg"] is Split.TEST


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("data.yaml", "names: [cell\n", r"data.yaml, line 2: not YAML \("),
        ("data.yaml", "names: [a, a]\n", r"data.yaml: 'names' must list the names of the classes"),
        ("data.yaml", "names: {x: a}\n", r"or give each number its name; got \"\{'x': 'a'\}\"\.$"),
        ("data.yaml", "nc: 3\nnames: [a]\n", r"data.yaml: 'nc' is 3, but 'names' has 1\. Correct"),
        ("classes.txt", "plate\ncell\n", r"^'classes.txt' and 'labels/classes.txt' in '.*' name "),
        (
            "labels/classes.txt",
            b"caf\xe9\n",
            r"labels/classes.txt' is not UTF-8\. Save it as UTF-8",
        ),
        ("labels/classes.txt", "\n", r"labels/classes.txt' is empty\. Write the name of each"),
    ],
)
def test_names_that_cannot_be_understood_stop_the_reading(
    cells: Path, path: str, content: str | bytes, message: str
) -> None:
    write_text(cells, path, content)
    with pytest.raises(DataError, match=message):
        _read(cells)


def test_the_format_says_what_it_needs(tmp_path: Path) -> None:
    file = write_text(tmp_path, "a.zip", b"PK")
    with pytest.raises(DataError, match=r"^The format 'yolo' needs a folder, or its data.yaml; '"):
        _read(file)
    with pytest.raises(DataError, match=r"^No text file with labels was found in '"):
        _read(tmp_path)
    yaml = write_text(tmp_path, "data.yaml", "train: images\n")
    with pytest.raises(
        DataError, match=r"data.yaml' names no classes. Add them under the key 'names'"
    ):
        _read(yaml)
