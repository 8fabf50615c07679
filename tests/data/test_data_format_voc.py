"""Pascal VOC XML: layouts, corners, splits, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotation_makers import (
    shapes_of,
    splits_of,
    told,
    voc_object,
    voc_xml,
    write_images,
    write_text,
)

from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.voc import VocFormat
from automl.errors import DataError
from automl.records import Split

BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>
<annotation><filename>&lol2;</filename></annotation>"""
OUTSIDE = """<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<annotation><filename>&x;</filename></annotation>"""


def _read(root: Path, **options: object) -> Listing:
    return VocFormat().read(root, options=ReadOptions("boxes", **options))  # type: ignore[arg-type]


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Three images below JPEGImages, each with a file below Annotations."""
    for at, name in enumerate(("a", "b", "c")):
        write_images(tmp_path, f"JPEGImages/{name}.jpg")
        thing = voc_object("cell", (2 + at, 3, 20, 25))
        write_text(tmp_path, f"Annotations/{name}.xml", voc_xml(f"{name}.jpg", thing))
    return tmp_path


def test_it_is_recognised_by_the_root_element(cells: Path) -> None:
    form, reason = choose(cells, "auto", truth="boxes")
    assert form.name == "voc"
    assert reason == "'Annotations/a.xml' describes the boxes in one image: Pascal VOC"


def test_other_xml_files_are_not_taken_for_it(tmp_path: Path) -> None:
    write_text(tmp_path, "annotations.xml", "<annotations><image/></annotations>")
    assert VocFormat().recognise(tmp_path) is None


def test_boxes_and_sizes_are_read(cells: Path) -> None:
    listing = _read(cells)
    assert (listing.classes, listing.files_seen) == (("cell",), 3)
    assert shapes_of(listing) == {
        "JPEGImages/a.jpg": [("cell", "box", [2, 3, 20, 25])],
        "JPEGImages/b.jpg": [("cell", "box", [3, 3, 20, 25])],
        "JPEGImages/c.jpg": [("cell", "box", [4, 3, 20, 25])],
    }
    assert listing.annotations is not None
    assert listing.annotations.claimed.tolist() == [[30, 40]] * 3
    assert listing.findings == ()


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("Unknown", [0, 3, 40, 30]),  # LabelImg writes 1 for an edge at 0
        ("The VOC2007 Database", [0, 2, 40, 30]),  # pixels count from 1, the last one included
    ],
)
def test_corners_follow_the_tool_that_wrote_them(
    cells: Path, database: str, expected: list[float]
) -> None:
    content = voc_xml("a.jpg", voc_object("cell", (1, 3, 40, 30)), database=database)
    write_text(cells, "Annotations/a.xml", content)
    assert shapes_of(_read(cells))["JPEGImages/a.jpg"] == [("cell", "box", expected)]


def test_difficult_objects_count_neither_way_and_truncated_ones_do(cells: Path) -> None:
    things = (
        voc_object("cell", (2, 3, 9, 9), truncated=0, difficult=1),
        voc_object("cell", (5, 5, 9, 9), truncated=1, difficult=0),
    )
    write_text(cells, "Annotations/a.xml", voc_xml("a.jpg", *things))
    kinds = [kind for _, kind, _ in shapes_of(_read(cells))["JPEGImages/a.jpg"]]
    assert kinds == ["box?", "box"]


def test_parts_of_an_object_are_not_objects(cells: Path) -> None:
    part = "<part><name>core</name><bndbox><xmin>7</xmin></bndbox></part></object>"
    thing = voc_object("cell", (2, 3, 9, 9)).replace("</object>", part)
    write_text(cells, "Annotations/a.xml", voc_xml("a.jpg", thing))
    listing = _read(cells)
    assert listing.classes == ("cell",)
    assert shapes_of(listing)["JPEGImages/a.jpg"] == [("cell", "box", [2, 3, 9, 9])]


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("images/x.png", "annotations/x.xml"),
        ("x.PNG", "x.XML"),
        ("pictures/x.png", "boxes/x.xml"),
        ("images/part/x.png", "Annotations/part/x.xml"),
    ],
)
def test_images_are_found_wherever_they_lie(tmp_path: Path, image: str, file: str) -> None:
    write_images(tmp_path, image)
    write_text(tmp_path, file, voc_xml("old name.jpg", voc_object("cell", (2, 3, 9, 9))))
    assert list(shapes_of(_read(tmp_path))) == [image]


def test_the_name_in_the_file_counts_where_no_image_is_called_like_the_file(tmp_path: Path) -> None:
    write_images(tmp_path, "images/photo 7.png")
    thing = voc_object("cell", (2, 3, 9, 9))
    write_text(tmp_path, "Annotations/0007.xml", voc_xml("C:\\here\\photo 7.png", thing))
    assert list(shapes_of(_read(tmp_path))) == ["images/photo 7.png"]


def test_lists_give_the_split(cells: Path) -> None:
    write_images(cells, "JPEGImages/d.jpg", "JPEGImages/e.jpg")
    for name in ("d", "e"):
        write_text(cells, f"Annotations/{name}.xml", voc_xml(f"{name}.jpg"))
    write_text(cells, "ImageSets/Main/train.txt", "a\r\n\r\n")
    write_text(cells, "ImageSets/Main/val.txt", "\ufeffb  1\n")
    write_text(cells, "ImageSets/Main/test.txt", "c -1\na\n")
    write_text(cells, "ImageSets/Main/trainval.txt", "a\nb\nd.jpg\n")
    write_text(cells, "ImageSets/Main/cell_train.txt", "a 1\n")
    listing = _read(cells)
    assert splits_of(listing) == {
        "JPEGImages/a.jpg": Split.TRAIN,
        "JPEGImages/b.jpg": Split.VAL,
        "JPEGImages/c.jpg": Split.TEST,
        "JPEGImages/d.jpg": Split.TRAIN,
    }
    assert told(listing) == {
        "unlisted-image": "Left out: 1 image that no list in ImageSets/Main names: "
        "'JPEGImages/e.jpg'.",
        "ignored-file": "Ignored: 1 file with a name that is not an image's: "
        "'ImageSets/Main/cell_train.txt'.",
        "conflicting-splits": "Kept in the first split given: 1 entry naming an image again with "
        "another (ImageSets/Main/test.txt, line 2).",
    }


def test_folders_give_the_split_where_there_are_no_lists(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_images(tmp_path, f"{split}/x.jpg")
        write_text(tmp_path, f"{split}/x.xml", voc_xml("x.jpg", voc_object("cell", (2, 3, 9, 9))))
    assert splits_of(_read(tmp_path)) == {"train/x.jpg": Split.TRAIN, "valid/x.jpg": Split.VAL}


BAD: list[tuple[str, str | bytes, str, str]] = [
    (
        "cut off",
        "<annotation>\n<object>\n<name>cell</na",
        "malformed-file",
        "Left out: 1 annotation file that cannot be read: 'unclosed token' "
        "(Annotations/a.xml, line 3).",
    ),
    (
        "not UTF-8",
        b"<annotation>\n<filename>caf\xe9.jpg</filename></annotation>",
        "malformed-file",
        "Left out: 1 annotation file that cannot be read: 'not well-formed (invalid token)' "
        "(Annotations/a.xml, line 2).",
    ),
    (
        "an entity bomb",
        BOMB,
        "malformed-file",
        "Left out: 1 annotation file that cannot be read: 'declares the entity 'lol', which could "
        "be a bomb' (Annotations/a.xml).",
    ),
    (
        "a reference to another file",
        OUTSIDE,
        "malformed-file",
        "Left out: 1 annotation file that cannot be read: 'declares the entity 'x', which could "
        "be a bomb' (Annotations/a.xml).",
    ),
    (
        "some other XML",
        "<html><body/></html>",
        "malformed-file",
        "Left out: 1 annotation file that cannot be read: '<html> where <annotation> should begin' "
        "(Annotations/a.xml).",
    ),
    (
        "empty",
        "",
        "malformed-file",
        "Left out: 1 annotation file that cannot be read: 'no element found' "
        "(Annotations/a.xml, line 1).",
    ),
    (
        "corners that are words",
        voc_xml("a.jpg", voc_object("cell", ("left", 3, 9, 9))),
        "malformed-entry",
        "Left out: 1 entry that cannot be understood: 'bndbox left 3 9 9' "
        "(Annotations/a.xml, line 7).",
    ),
    (
        "an object without a box",
        voc_xml("a.jpg", "<object>\n<name>cell</name></object>"),
        "malformed-entry",
        "Left out: 1 entry that cannot be understood: 'bndbox missing' (Annotations/a.xml, line 7).",
    ),
    (
        "an object without a name",
        voc_xml("a.jpg", voc_object("cell", (2, 3, 9, 9)), voc_object(" ", (2, 3, 9, 9))),
        "malformed-entry",
        "Left out: 1 entry that cannot be understood: 'no name' (Annotations/a.xml, line 11).",
    ),
    (
        "the image is gone",
        voc_xml("gone.jpg"),
        "missing-image",
        "Left out: 1 entry for which there is no image: 'gone.jpg'.",
    ),
]


@pytest.mark.parametrize(("content", "rule", "message"), [row[1:] for row in BAD])
def test_what_is_wrong_with_a_file_is_said_exactly(
    cells: Path, content: str | bytes, rule: str, message: str
) -> None:
    if rule == "missing-image":
        (cells / "JPEGImages" / "a.jpg").unlink()
    write_text(cells, "Annotations/a.xml", content)
    listing = _read(cells)
    assert told(listing)[rule] == message
    assert {"JPEGImages/b.jpg", "JPEGImages/c.jpg"} <= set(splits_of(listing))


def test_an_image_that_two_files_describe_is_counted_once(cells: Path) -> None:
    write_text(cells, "more/a.xml", voc_xml("a.jpg", voc_object("cell", (9, 9, 20, 20))))
    listing = _read(cells)
    assert told(listing) == {
        "duplicate-entry": "Counted once: 1 entry that describes an image again (more/a.xml)."
    }
    assert shapes_of(listing)["JPEGImages/a.jpg"] == [("cell", "box", [2, 3, 20, 25])]


def test_two_images_that_could_be_meant_are_not_guessed_between(cells: Path) -> None:
    write_images(cells, "one/z.png", "two/z.png")
    write_text(cells, "Annotations/z.xml", voc_xml("z.png", voc_object("cell", (2, 3, 9, 9))))
    assert told(_read(cells)) == {
        "ambiguous-image": "Left out: 1 entry that several images could be meant by: 'z.png'."
    }


def test_images_without_a_file_are_left_out_or_background(cells: Path) -> None:
    write_images(cells, "JPEGImages/d.jpg", "SegmentationClass/a.png")
    assert told(_read(cells)) == {
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'JPEGImages/d.jpg'."
    }
    listing = _read(cells, unannotated="background")
    assert shapes_of(listing)["JPEGImages/d.jpg"] == []


def test_misspelt_classes_are_told_with_the_likely_name(cells: Path) -> None:
    write_text(cells, "Annotations/a.xml", voc_xml("a.jpg", voc_object("celll", (2, 3, 20, 25))))
    message = told(_read(cells, classes=("cell",)))["unknown-class"]
    assert message.endswith("Did you mean 'cell'?")


def test_the_format_says_what_it_needs(tmp_path: Path) -> None:
    file = write_text(tmp_path, "a.zip", b"PK")
    with pytest.raises(
        DataError, match=r"^The format 'voc' needs a folder with XML files; '.*a.zip'"
    ):
        _read(file)
    with pytest.raises(DataError, match=r"^No XML file was found in '"):
        _read(tmp_path)
