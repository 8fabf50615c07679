"""COCO JSON: layouts, shapes, splits, and what is wrong with an entry or a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from annotation_makers import coco, shapes_of, splits_of, told, write_images, write_json, write_text

from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.coco import CocoFormat
from automl.errors import DataError
from automl.records import Split, TruthKind

BOX = {"image_id": 1, "category_id": 7, "bbox": [2, 3, 10, 20], "iscrowd": 0}
RING = [2, 3, 12, 3, 12, 23]
NAMES = {7: "cell", 3: "plate"}


def _read(root: Path, truth: TruthKind = "boxes", **options: object) -> Listing:
    return CocoFormat().read(root, options=ReadOptions(truth, **options))  # type: ignore[arg-type]


def _write(root: Path, *annotations: dict[str, Any]) -> Path:
    write_images(root, "images/a.jpg", "images/b.jpg")
    content = coco({1: "a.jpg", 2: "b.jpg"}, annotations, NAMES)
    return write_json(root, "annotations.json", content)


def _shapes(root: Path, truth: TruthKind, **more: Any) -> list[tuple[str, str, list[float]]]:
    _write(root, {**BOX, **more})
    return shapes_of(_read(root, truth))["images/a.jpg"]


@pytest.mark.parametrize("by_file", [False, True])
def test_it_is_recognised_by_its_keys(tmp_path: Path, by_file: bool) -> None:
    file = _write(tmp_path, BOX)
    form, reason = choose(file if by_file else tmp_path, "auto", truth="boxes")
    assert form.name == "coco"
    expected = "is a COCO JSON file" if by_file else "lists images and their annotations: COCO"
    assert reason == f"'annotations.json' {expected}"


def test_other_json_is_not_taken_for_it(tmp_path: Path) -> None:
    write_json(tmp_path, "a.json", {"images": ["a.jpg"], "annotations": {"a": 1}})
    write_json(tmp_path, "b.json", [{"image_id": 1}])
    write_text(tmp_path, "c.json", "no json")
    assert CocoFormat().recognise(tmp_path) is None


def test_images_boxes_and_classes_are_read_in_the_order_of_the_ids(tmp_path: Path) -> None:
    _write(tmp_path, BOX, {**BOX, "category_id": 3, "iscrowd": 1})
    listing = _read(tmp_path)
    assert (listing.classes, listing.findings) == (("plate", "cell"), ())
    assert shapes_of(listing) == {
        "images/a.jpg": [("cell", "box", [2, 3, 12, 23]), ("plate", "box?", [2, 3, 12, 23])],
        "images/b.jpg": [],
    }
    assert listing.annotations is not None
    assert listing.annotations.claimed.tolist() == [[30, 40]] * 2


@pytest.mark.parametrize(
    ("segmentation", "kind", "values"),
    [
        ([RING], "polygon", RING),
        ({"size": [30, 40], "counts": [30, 60, 1110]}, "run_lengths", [30, 40, 30, 60, 1110]),
        ({"size": [30, 40], "counts": "n0l1fR1"}, "run_lengths", [30, 40, 30, 60, 1110]),
    ],
)
def test_outlines_and_run_lengths_are_read(
    tmp_path: Path, segmentation: Any, kind: str, values: list[float]
) -> None:
    read = _shapes(tmp_path, "mask", segmentation=segmentation)
    assert read == [("cell", kind, values)]
    assert _shapes(tmp_path, "boxes", segmentation=segmentation) == [
        ("cell", "box", [2, 3, 12, 23])
    ]
    # Without a box, the outline gives it.
    assert _shapes(tmp_path, "boxes", segmentation=segmentation, bbox=[]) == read


def test_several_rings_are_one_object(tmp_path: Path) -> None:
    other = [20, 20, 30, 20, 30, 28]
    assert _shapes(tmp_path, "mask", segmentation=[RING, other]) == [
        ("cell", "polygon", RING),
        ("cell", "polygon+", other),
    ]


def test_the_parent_that_roboflow_adds_is_no_class(tmp_path: Path) -> None:
    content = coco({1: "a.jpg"}, [{**BOX, "category_id": 1}], {})
    content["categories"] = [
        {"id": 0, "name": "things", "supercategory": "none"},
        {"id": 1, "name": "cell", "supercategory": "things"},
    ]
    for split in ("train", "valid", "test"):
        write_images(tmp_path, f"{split}/a.jpg")
        write_json(tmp_path, f"{split}/_annotations.coco.json", content)
    listing = _read(tmp_path)
    assert (listing.classes, listing.findings) == (("cell",), ())
    assert splits_of(listing) == {
        "test/a.jpg": Split.TEST,
        "train/a.jpg": Split.TRAIN,
        "valid/a.jpg": Split.VAL,
    }


@pytest.mark.parametrize(
    "folders", [("train2017", "val2017"), ("images/train2017", "images/val2017")]
)
def test_names_of_files_give_the_split(tmp_path: Path, folders: tuple[str, str]) -> None:
    for folder, name in zip(folders, ("train2017", "val2017"), strict=True):
        write_images(tmp_path, f"{folder}/1.jpg")
        write_json(tmp_path, f"annotations/instances_{name}.json", coco({1: "1.jpg"}, [BOX], NAMES))
    captions = coco({1: "1.jpg"}, [{"image_id": 1, "caption": "a cell"}], {})
    write_json(tmp_path, "annotations/captions_train2017.json", captions)
    listing = _read(tmp_path)
    assert splits_of(listing) == {
        f"{folders[0]}/1.jpg": Split.TRAIN,
        f"{folders[1]}/1.jpg": Split.VAL,
    }
    assert list(told(listing)) == ["ignored-file", "unused-class"]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("images/a.jpg", "C:\\data\\images\\a.jpg"),
        ("images/sub/a.JPG", "sub/a.JPG"),
        ("pictures/deep/a.jpg", "deep/a.jpg"),
        ("a.jpg", "/home/someone/a.jpg"),
        ("data/a.png", "a.png"),
    ],
)
def test_images_are_found_wherever_they_lie(tmp_path: Path, image: str, name: str) -> None:
    write_images(tmp_path, image)
    file = write_json(tmp_path, "annotations/all.json", coco({1: name}, [BOX], NAMES))
    for root in (tmp_path, file):
        assert list(shapes_of(_read(root))) == [image]


BAD_ENTRIES: list[tuple[dict[str, Any], str]] = [
    ({**BOX, "category_id": 9}, "category_id 9, which no category has"),
    ({"image_id": 1, "bbox": [1, 2, 3, 4]}, "an annotation without image_id or category_id"),
    ({**BOX, "image_id": [1]}, "an annotation without image_id or category_id"),
    ({**BOX, "bbox": [2, 3, 10]}, "bbox [2, 3, 10]"),
    ({**BOX, "bbox": [2, 3, "10", 20]}, "bbox [2, 3, '10', 20]"),
    ({**BOX, "bbox": None}, "neither bbox nor segmentation"),
    ({**BOX, "bbox": [], "segmentation": [1, 2, 3]}, "segmentation [1, 2, 3]"),
    ({**BOX, "bbox": [], "segmentation": {"counts": "x"}}, "segmentation {'counts': 'x'}"),
    (
        {**BOX, "bbox": [], "segmentation": {"size": [30, 40], "counts": "n0!"}},
        "the character '!' belongs to no run length",
    ),
    (
        {**BOX, "bbox": [], "segmentation": {"size": [30, 40], "counts": [3, 4]}},
        "runs of 7 pixels for an image of 40 x 30",
    ),
]


@pytest.mark.parametrize(("entry", "reason"), BAD_ENTRIES)
def test_what_is_wrong_with_an_annotation_is_said_exactly(
    tmp_path: Path, entry: dict[str, Any], reason: str
) -> None:
    _write(tmp_path, BOX, entry)
    listing = _read(tmp_path)
    assert told(listing)["malformed-entry"] == (
        f"Left out: 1 entry that cannot be understood: '{reason}' (annotations.json, line 18)."
    )
    assert len(shapes_of(listing)["images/a.jpg"]) == 1


def test_images_and_categories_that_are_wrong_are_named(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/rest.jpg", "one/c.jpg", "two/c.jpg")
    names = {1: "a.jpg", 2: "gone.jpg", 3: "c.jpg", 4: "images/a.jpg"}
    content = coco(names, [BOX, {**BOX, "image_id": 2}, {**BOX, "image_id": 8}], NAMES)
    content["images"] += [{"id": 1, "file_name": "x.jpg"}, {"file_name": "y.jpg"}, {"id": 9}]
    content["categories"] += [{"id": 7, "name": "again"}, {"id": 8}, "word"]
    write_json(tmp_path, "all.json", content)
    said = told(_read(tmp_path))
    assert said == {
        "malformed-entry": "Left out: 4 entries that cannot be understood: 'a category without id "
        "or name', 'an image without id', 'image 9 without file_name' (all.json, line 72; "
        "all.json, line 75; all.json, line 92; all.json, line 95).",
        "unknown-image": "Left out: 1 entry that names an image which is nowhere described: "
        "'image_id 8' (all.json, line 30).",
        "missing-image": "Left out: 1 entry for which there is no image: 'gone.jpg' "
        "(all.json, line 50).",
        "ambiguous-image": "Left out: 1 entry that several images could be meant by: 'c.jpg' "
        "(all.json, line 56).",
        "duplicate-entry": "Counted once: 3 entries that describe an image again: 'again', 'x.jpg' "
        "(all.json, line 62; all.json, line 68; all.json, line 88).",
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'images/rest.jpg'.",
        "unused-class": said["unused-class"],
    }


def test_an_image_in_two_splits_keeps_the_first(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg")
    for split in ("train", "val"):
        write_json(tmp_path, f"{split}.json", coco({1: "a.jpg"}, [BOX], NAMES))
    listing = _read(tmp_path)
    assert splits_of(listing) == {"images/a.jpg": Split.TRAIN}
    assert told(listing)["conflicting-splits"] == (
        "Kept in the first split given: 1 entry naming an image again with another "
        "(val.json, line 20)."
    )


def test_misspelt_classes_are_told_with_the_likely_name(tmp_path: Path) -> None:
    _write(tmp_path, BOX, {**BOX, "category_id": 3})
    with pytest.raises(DataError, match=r"names 'cel', but .* Did you mean 'cell'\?$"):
        _read(tmp_path, classes=("cel", "plate"))
    listing = _read(tmp_path, classes=("cell",))
    assert listing.classes == ("cell",)
    assert "unknown-class" in told(listing)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"images": [{"id": 1, "file_name": "a.jpg"},\n}]}',
            "line 2: malformed JSON at character 46 (Expecting value)",
        ),
        (
            b'{"images": [{"id": 1, "file_name": "a.jpg"}],\n\n',
            "line 3: malformed JSON at character 48 (a key is missing)",
        ),
        (
            b'\xef\xbb\xbf{"images": [{"id": 1, "file_name": "a"}],\n"x": 1.}',
            "line 2: malformed JSON at character 49 (',' or '}' is missing)",
        ),
        (
            b'{"images": [{"id": 1, "file_name": "a.jpg"}],\n"x": tru',
            "line 2: malformed JSON at character 52 (Expecting value)",
        ),
        (
            b'{"images": [{"id": 1, "file_name": "a.jpg"}]}\n{}',
            "line 2: malformed JSON at character 47 (there is more after the end)",
        ),
        (
            b'{"images": [{"id": 1, "file_name": "a.jpg"} {"id": 2}]}',
            "line 1: malformed JSON at character 45 (',' or ']' is missing)",
        ),
        (
            b'{"images" [{"id": 1, "file_name": "a.jpg"}]}',
            "line 1: malformed JSON at character 11 (':' is missing)",
        ),
    ],
)
def test_broken_json_is_told_with_line_and_character(
    tmp_path: Path, content: bytes, message: str
) -> None:
    write_images(tmp_path, "a.jpg")
    file = write_text(tmp_path, "all.json", content)
    with pytest.raises(DataError) as error:
        _read(tmp_path)
    assert str(error.value) == f"{file}, {message}. Export the annotations again."


def test_json_that_is_no_text_is_told_with_the_line(tmp_path: Path) -> None:
    write_images(tmp_path, "a.jpg")
    file = write_text(tmp_path, "all.json", b'{"images":\n[{"id": 1, "file_name": "a\xff"}]}')
    with pytest.raises(DataError) as error:
        _read(tmp_path)
    assert str(error.value) == (f"{file}, line 2: byte 0xff is not UTF-8. Save the file as UTF-8.")


@pytest.mark.parametrize("shift", range(8))
def test_numbers_are_read_whole_wherever_a_piece_of_the_file_ends(
    tmp_path: Path, shift: int
) -> None:
    write_images(tmp_path, "a.jpg")
    text = json.dumps(coco({1: "a.jpg"}, [BOX], NAMES))[1:]
    opening = '{"padding": "'
    padding = " " * ((1 << 20) - len(opening) - len('", "year": ') - shift)
    write_text(tmp_path, "all.json", f'{opening}{padding}", "year": 123456, {text}')
    listing = CocoFormat().read(tmp_path / "all.json", options=ReadOptions("boxes"))
    assert shapes_of(listing)["a.jpg"] == [("cell", "box", [2, 3, 12, 23])]


def test_a_fault_far_into_a_file_is_found(tmp_path: Path) -> None:
    write_images(tmp_path, "a.jpg")
    content = json.dumps(coco({1: "a.jpg"}, [BOX] * 40_000, NAMES), indent=0)
    at = content.rindex('"bbox"')
    file = write_text(tmp_path, "all.json", content[:at] + "!" + content[at:])
    line = content[:at].count("\n") + 1
    with pytest.raises(DataError) as error:
        _read(tmp_path)
    assert str(error.value).startswith(
        f"{file}, line {line}: malformed JSON at character {at + 1:,} ("
    )
    assert file.stat().st_size > 2 << 20


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    file = _write(tmp_path, BOX)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert shapes_of(_read(tmp_path))["images/a.jpg"] == [("cell", "box", [2, 3, 12, 23])]


def test_the_format_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"^No COCO file was found in '.*': a JSON file with images"
    ):
        _read(tmp_path)


INDEX = """
import sys
from pathlib import Path
from automl.data.formats import ReadOptions
from automl.data.formats.coco import CocoFormat

def peak_megabytes():  # of this process alone; getrusage begins with that of the parent
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

before = peak_megabytes()
listing = CocoFormat().read(Path(sys.argv[1]), options=ReadOptions("boxes"))
print(len(listing.samples), len(listing.annotations.shapes.label))
print(peak_megabytes() - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """4,000 images and 20,000 boxes in a file of 53 MB take far less memory than the file."""
    count = 4_000
    (tmp_path / "images").mkdir()
    for at in range(count):
        (tmp_path / "images" / f"{at:06d}.jpg").touch()
    padding = "x" * 2_500
    with (tmp_path / "all.json").open("w") as stream:
        stream.write('{"images": [')
        rows = (
            f'{{"id": {at}, "file_name": "{at:06d}.jpg", "height": 30, "width": 40}}'
            for at in range(count)
        )
        stream.write(",".join(rows))
        stream.write('], "categories": [{"id": 1, "name": "cell"}], "annotations": [')
        rows = (
            f'{{"id": {at}, "image_id": {at % count}, "category_id": 1, "iscrowd": 0, '
            f'"bbox": [1, 2, 3.5, 4], "note": "{padding}"}}'
            for at in range(5 * count)
        )
        stream.write(",".join(rows))
        stream.write("]}")
    done = subprocess.run(
        [sys.executable, "-c", INDEX, str(tmp_path)], capture_output=True, text=True, check=True
    )
    counts, megabytes = done.stdout.splitlines()
    assert counts == f"{count} {5 * count}"
    assert float(megabytes) < 20 < (tmp_path / "all.json").stat().st_size / 2**20
