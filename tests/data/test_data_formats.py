"""Folder and CSV layouts: what is recognised, what is read, and what is wrong with a row."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from automl.data.formats import ReadOptions, detect
from automl.data.formats.csv import CsvFormat
from automl.data.formats.folder import FolderFormat
from automl.errors import DataError
from automl.records import PreparedData, Split

Draw = Callable[..., Image.Image]
LABELS = ReadOptions("label")


@pytest.fixture
def photos(tmp_path: Path, draw: Draw) -> Path:
    """Four images in one folder, beside which the list lies."""
    (tmp_path / "img").mkdir()
    for i in range(4):
        draw(i).save(tmp_path / "img" / f"{i}.png")
    return tmp_path


def _put(draw: Draw, root: Path, *paths: str) -> None:
    for seed, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        draw(seed).save(root / path)


def test_one_folder_per_class_is_recognised_with_the_reason(two_classes: Path) -> None:
    found = detect(two_classes, truth="label")
    assert (found.name, found.classes, found.images) == ("folder", ("fail", "pass"), 60)
    assert found.reason == "the folders 'fail', 'pass' hold images: one folder per class"


def test_number_classes_are_ordered_by_value(tmp_path: Path, draw: Draw) -> None:
    _put(draw, tmp_path, "10/a.png", "9/b.png", "1/c.png")
    assert detect(tmp_path, truth="label").classes == ("1", "9", "10")


def test_split_folders_above_the_classes_are_the_data_s_own_split(
    tmp_path: Path, draw: Draw
) -> None:
    _put(draw, tmp_path, "Train/a/1.png", "Train/b/2.png", "valid/a/3.PNG", "test/b/x/4.png")
    found = detect(tmp_path, truth="label")
    assert found.reason == (
        "the folders 'Train', 'test', 'valid' hold one folder per class: the data's own split"
    )
    listing = FolderFormat().read(tmp_path, options=LABELS)
    assert [(one.path, one.label, one.split) for one in listing.samples] == [
        ("Train/a/1.png", "a", Split.TRAIN),
        ("Train/b/2.png", "b", Split.TRAIN),
        ("test/b/x/4.png", "b", Split.TEST),
        ("valid/a/3.PNG", "a", Split.VAL),
    ]


def test_a_class_called_train_beside_others_is_a_class(tmp_path: Path, draw: Draw) -> None:
    _put(draw, tmp_path, "train/side/1.png", "bus/2.png", "car/3.png")
    assert FolderFormat().read(tmp_path, options=LABELS).classes == ("bus", "car", "train")


def test_hidden_files_and_documents_are_passed_over_and_other_files_counted(
    two_classes: Path, draw: Draw
) -> None:
    for name in (".DS_Store", "Thumbs.db", "LICENSE", "README.md", ".cache.png"):
        (two_classes / "pass" / name).write_bytes(b"x")
    (two_classes / "pass" / "notes.txt").write_bytes(b"x")
    draw(1).save(two_classes / "stray.png")
    (two_classes / "later").mkdir()
    listing = FolderFormat().read(two_classes, options=LABELS)
    assert {one.rule: one.paths for one in listing.findings} == {
        "ignored-file": ("pass/notes.txt",),
        "unlabelled-image": ("stray.png",),
        "empty-folder": ("later",),
    }
    assert (len(listing.samples), listing.files_seen) == (60, 61)


def test_loops_of_links_end_and_linked_folders_are_read(tmp_path: Path, draw: Draw) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    _put(draw, root, "a/1.png")
    _put(draw, elsewhere, "2.png")
    (root / "b").symlink_to(elsewhere)
    (root / "a" / "up").symlink_to(root)
    paths = [one.path for one in FolderFormat().read(root, options=LABELS).samples]
    assert paths == ["a/1.png", "b/2.png"]


def test_a_name_that_is_no_text_is_left_out_and_named(two_classes: Path) -> None:
    source = two_classes / "pass" / "s00_00.png"
    os.link(source, os.fsencode(two_classes) + b"/pass/caf\xe9.png")
    listing = FolderFormat().read(two_classes, options=LABELS)
    assert [(one.rule, one.paths) for one in listing.findings] == [
        ("undecodable-name", ("pass/caf\\xe9.png",))
    ]


def test_classes_of_the_spec_choose_order_and_leave_others_out(two_classes: Path) -> None:
    (two_classes / "fail").rename(two_classes / "pas")
    (two_classes / "pass").rename(two_classes / "fail")
    os.link(two_classes / "fail" / "s00_00.png", two_classes / "x.png")
    (two_classes / "pass").mkdir()
    (two_classes / "x.png").rename(two_classes / "pass" / "x.png")
    listing = FolderFormat().read(
        two_classes, options=ReadOptions("label", classes=("pass", "fail"))
    )
    assert listing.classes == ("pass", "fail")
    assert listing.findings[0].message == (
        "Left out: the folder 'pas' with 30 images, which is not among the spec's data.classes. "
        "Did you mean 'pass'?"
    )
    with pytest.raises(DataError, match=r"no image of that class. Did you mean 'pass'\?$"):
        FolderFormat().read(two_classes, options=ReadOptions("label", classes=("pass", "passs")))


@pytest.mark.parametrize(
    "text",
    [
        "path,label,split\nimg/0.png,a,train\nimg/1.png,b,val\n",
        "\ufeffpath,label,split\r\nimg/0.png,a,train\r\nimg/1.png,b,val\r\n",
        "img/0.png;a;train\nimg/1.png;b;valid\n",
        "img/0.png\ta\tTRAIN\n\nimg/1.png\tb\tval\n",
        '\n"Label","File","Subset"\n"a","img/0.png","train"\n"b","./img/1.png","val"\n',
        "path,label,split\nimg\\0.png, a ,train\nimg/../img/1.png,b,val\n",
    ],
    ids=["header", "bom", "semicolon", "tab", "columns", "backslash"],
)
def test_csv_is_read_however_it_is_written(photos: Path, text: str) -> None:
    (photos / "labels.csv").write_text(text, encoding="utf-8")
    for root in (photos, photos / "labels.csv"):
        listing = CsvFormat().read(root, options=LABELS)
        assert [(one.path, one.label, one.split) for one in listing.samples] == [
            ("img/0.png", "a", Split.TRAIN),
            ("img/1.png", "b", Split.VAL),
        ]
        assert listing.root == photos
        assert listing.findings == ()


def test_auto_prefers_a_list_whose_images_exist_and_says_so(photos: Path) -> None:
    (photos / "labels.csv").write_text("img/0.png,a\nimg/1.png,b\n")
    (photos / "other.csv").write_text("x,y\n")
    found = detect(photos, truth="label")
    assert (found.name, found.images) == ("csv", 2)
    assert found.reason == (
        "'labels.csv' lists images with their labels "
        "(set data.format to 'folder' to read it as 'folder' instead)"
    )


def test_auto_takes_no_notice_of_a_csv_that_lists_no_images(two_classes: Path) -> None:
    (two_classes / "results.csv").write_text("run,score\n1,0.9\n2,0.8\n")
    assert detect(two_classes, truth="label").name == "folder"


@pytest.mark.parametrize(
    ("row", "rule", "message"),
    [
        ("img/9.png", "malformed-row", "1 row without both a path and a label (L, line 6)."),
        ("img/9.png,", "empty-label", "1 row with an empty label (L, line 6)."),
        (
            "../secret.png,a",
            "path-outside-root",
            "1 row whose path leads out of the folder of the list (L, line 6).",
        ),
        (
            "/etc/secret.png,a",
            "path-outside-root",
            "1 row whose path leads out of the folder of the list (L, line 6).",
        ),
        (
            "img/9.png,a,tarin",
            "unknown-split",
            "1 row with a split that is not train, val or test: 'tarin' (L, line 6). "
            "Did you mean 'train'?",
        ),
        (
            "img/3.png,a",
            "conflicting-rows",
            "2 rows that give one image two different labels (L, lines 5, 6).",
        ),
        ("img/0.png,a,train", "duplicate-row", "1 row repeating an earlier row (L, line 6)."),
        (
            "img/0.png,a,test",
            "conflicting-splits",
            "1 row naming an image again with another (L, line 6).",
        ),
        ("img/9.png,7", "integer-label", "numbers as labels, in 1 row: '7' (L, line 6)."),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(
    photos: Path, row: str, rule: str, message: str
) -> None:
    rows = [f"img/{i}.png,{'ab'[i // 2]},train" for i in range(4)]
    (photos / "L").with_suffix(".csv").write_text("\n".join(["path,label,split", *rows, row]))
    findings = CsvFormat().read(photos, options=LABELS).findings
    assert [one.rule for one in findings] == [rule]
    assert findings[0].message.partition(": ")[2] == message.replace("(L,", "(L.csv,")


def test_a_label_that_the_spec_does_not_list_is_named(photos: Path) -> None:
    (photos / "labels.csv").write_text("img/0.png,pass\nimg/1.png,fail\nimg/2.png,pas\n")
    found = (
        CsvFormat().read(photos, options=ReadOptions("label", classes=("pass", "fail"))).findings[0]
    )
    assert (found.rule, found.paths) == ("unknown-label", ("img/2.png",))
    assert found.message == (
        "Left out: 1 row with a label that is not among the spec's data.classes: 'pas' "
        "(labels.csv, line 3). Did you mean 'pass'?"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "'{file}' is empty. Write one row per image: path,label."),
        (b"path,label\n\xff,a\n", "{file}, line 2: byte 0xff is not UTF-8."),
        (b"img/0.png\n", "{file}, line 1: needs at least two columns"),
        (b"path,lable\nimg/0.png,a\n", "{file}, line 1: no column is called 'label'; got"),
        (b"path,label\n", "No row of '{file}' names an image that can be used."),
        (b"path,label\nimg/0.png,a\0\n", "{file}, line 2: holds a NUL character."),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(photos: Path, content: bytes, message: str) -> None:
    file = photos / "labels.csv"
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        CsvFormat().read(photos, options=LABELS)
    assert str(caught.value).startswith(message.format(file=file))


def test_an_archive_or_image_as_data_path_is_refused_with_advice(photos: Path) -> None:
    with pytest.raises(DataError, match=r"is a file, and no list of images. Name a folder"):
        detect(photos / "img" / "0.png", truth="label")


def test_a_list_prepares_like_a_folder(
    two_classes: Path, prepared: Callable[..., PreparedData]
) -> None:
    rows = [f"{f.relative_to(two_classes)},{f.parent.name}" for f in two_classes.rglob("*.png")]
    (two_classes / "labels.csv").write_text("\n".join(rows))
    by_list, by_folder = prepared(two_classes), prepared(two_classes, form="folder")
    assert by_list.audit.format == "csv"
    assert by_list.dataset.samples == by_folder.dataset.samples
    assert by_list.dataset.cache == by_folder.dataset.cache
