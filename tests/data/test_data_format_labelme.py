"""LabelMe JSON: shapes, layouts, and what is wrong with a shape or a file."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_makers import (
    labelme,
    shapes_of,
    splits_of,
    told,
    write_images,
    write_json,
    write_text,
)
from PIL import Image

from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.labelme import LabelmeFormat
from automl.errors import DataError
from automl.records import Split, TruthKind

TRIANGLE = {"label": "crack", "shape_type": "polygon", "points": [[2, 3], [12, 3], [12, 23]]}
READ = ("crack", "polygon", [2, 3, 12, 3, 12, 23])


def _read(root: Path, truth: TruthKind = "mask", **options: object) -> Listing:
    return LabelmeFormat().read(root, options=ReadOptions(truth, **options))  # type: ignore[arg-type]


def _shapes(root: Path, *shapes: dict[str, Any]) -> list[tuple[str, str, list[float]]]:
    write_images(root, "a.jpg")
    write_json(root, "a.json", labelme("a.jpg", *shapes))
    return shapes_of(_read(root))["a.jpg"]


def _png(pixels: np.ndarray[Any, Any]) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8) * 255).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_it_is_recognised_by_its_shapes(tmp_path: Path) -> None:
    _shapes(tmp_path, TRIANGLE)
    form, reason = choose(tmp_path, "auto", truth="mask")
    assert form.name == "labelme"
    assert reason == "'a.json' describes the shapes in one image: LabelMe"


def test_other_json_is_not_taken_for_it_but_named(tmp_path: Path) -> None:
    write_json(tmp_path, "package.json", {"shapes": 3})
    assert LabelmeFormat().recognise(tmp_path) is None
    _shapes(tmp_path, TRIANGLE)
    assert told(_read(tmp_path)) == {
        "ignored-file": "Ignored: 1 file with a name that is not an image's: 'package.json'."
    }


@pytest.mark.parametrize("truth", ["boxes", "mask"])
def test_outlines_and_rectangles_are_read(tmp_path: Path, truth: TruthKind) -> None:
    rectangle = {"label": "part", "shape_type": "rectangle", "points": [[20, 9], [4, 25]]}
    _shapes(tmp_path, TRIANGLE, rectangle)
    listing = _read(tmp_path, truth)
    assert shapes_of(listing)["a.jpg"] == [
        READ,
        ("part", "polygon", [20, 9, 4, 9, 4, 25, 20, 25]),
    ]
    assert listing.annotations is not None
    assert listing.annotations.claimed.tolist() == [[30, 40]]
    assert listing.findings == ()


def test_a_circle_reaches_as_far_as_its_radius(tmp_path: Path) -> None:
    circle = {"label": "hole", "shape_type": "circle", "points": [[20, 15], [23, 19]]}
    ((label, kind, values),) = _shapes(tmp_path, circle)
    assert (label, kind) == ("hole", "polygon")
    points = np.reshape(values, (-1, 2))
    assert points.min(0).tolist() == [15, 10]
    assert points.max(0).tolist() == [25, 20]
    assert np.hypot(*(points - (20, 15)).T) == pytest.approx(5, abs=0.01)


def test_a_shape_without_type_is_an_outline_as_in_old_files(tmp_path: Path) -> None:
    assert _shapes(tmp_path, {"label": "crack", "points": TRIANGLE["points"]}) == [READ]


def test_outlines_of_a_group_are_one_object(tmp_path: Path) -> None:
    second = {**TRIANGLE, "points": [[20, 20], [30, 20], [30, 28]]}
    read = _shapes(
        tmp_path,
        {**TRIANGLE, "group_id": 4},
        TRIANGLE,
        {**second, "group_id": 4},
        {**second, "group_id": 5},
    )
    other = [20, 20, 30, 20, 30, 28]
    assert read == [
        READ,
        READ,
        ("crack", "polygon+", other),
        ("crack", "polygon", other),
    ]


def test_a_mask_is_placed_into_the_image(tmp_path: Path) -> None:
    pixels = np.array([[0, 1, 1], [1, 1, 0]])
    shape = {
        "label": "stain",
        "shape_type": "mask",
        "points": [[5, 7], [7, 8]],
        "mask": _png(pixels),
    }
    ((label, kind, values),) = _shapes(tmp_path, shape)
    assert (label, kind, values[:2]) == ("stain", "run_lengths", [30, 40])
    runs = [int(value) for value in values[2:]]
    inside = np.arange(len(runs)) % 2 == 1
    whole = np.repeat(inside, runs).reshape(40, 30).T
    assert whole[7:9, 5:8].tolist() == pixels.astype(bool).tolist()
    assert whole.sum() == 4


@pytest.mark.parametrize(
    ("image", "file", "written"),
    [
        ("images/a.jpg", "labels/a.json", "..\\images\\a.jpg"),
        ("a.JPG", "a.JSON", "C:\\photos\\a.JPG"),
        ("images/deep/a.jpg", "json/a.json", "a.jpg"),
        ("renamed.png", "renamed.json", "old.png"),
        ("images/a.png", "annotations/a.json", None),
    ],
)
def test_images_are_found_wherever_they_lie(
    tmp_path: Path, image: str, file: str, written: str | None
) -> None:
    write_images(tmp_path, image)
    write_json(tmp_path, file, {**labelme("", TRIANGLE), "imagePath": written})
    assert shapes_of(_read(tmp_path)) == {image: [READ]}


def test_folders_give_the_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_images(tmp_path, f"{split}/a.jpg")
        write_json(tmp_path, f"{split}/a.json", labelme("a.jpg", TRIANGLE))
    assert splits_of(_read(tmp_path)) == {"test/a.jpg": Split.TEST, "train/a.jpg": Split.TRAIN}


BAD_SHAPES: list[tuple[Any, str]] = [
    ({**TRIANGLE, "label": " "}, "a shape without label"),
    ({**TRIANGLE, "label": None}, "a shape without label"),
    ({**TRIANGLE, "points": [[1, 2], [3]]}, "points [[1, 2], [3]]"),
    ({**TRIANGLE, "points": [[1, 2], [3, float("nan")]]}, "points [[1, 2], [3, nan]]"),
    ({**TRIANGLE, "points": []}, "points []"),
    ({**TRIANGLE, "shape_type": "blob"}, "shape_type 'blob' with 3 points"),
    ({**TRIANGLE, "shape_type": "circle"}, "shape_type 'circle' with 3 points"),
    ({**TRIANGLE, "shape_type": "mask"}, "a mask that is no PNG in base 64"),
    ({**TRIANGLE, "shape_type": "mask", "mask": "AAAA"}, "a mask that is no PNG in base 64"),
    (
        {**TRIANGLE, "shape_type": "mask", "points": [[39, 0]], "mask": _png(np.ones((1, 2)))},
        "a mask that does not lie within imageHeight and imageWidth",
    ),
]


@pytest.mark.parametrize(("shape", "reason"), BAD_SHAPES)
def test_what_is_wrong_with_a_shape_is_said_exactly(
    tmp_path: Path, shape: dict[str, Any], reason: str
) -> None:
    assert _shapes(tmp_path, TRIANGLE, shape) == [READ]
    assert told(_read(tmp_path)) == {
        "malformed-entry": f"Left out: 1 entry that cannot be understood: '{reason}' "
        "(a.json, shapes[1])."
    }


def test_a_shape_that_is_none_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "a.jpg")
    write_json(tmp_path, "a.json", {**labelme("a.jpg"), "shapes": [TRIANGLE, "word"]})
    assert told(_read(tmp_path))["malformed-entry"] == (
        "Left out: 1 entry that cannot be understood: 'word instead of a shape' "
        "(a.json, shapes[1])."
    )


def test_points_and_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    more = [{**TRIANGLE, "shape_type": kind} for kind in ("point", "line", "linestrip", "line")]
    assert _shapes(tmp_path, TRIANGLE, *more) == [READ]
    assert told(_read(tmp_path)) == {
        "ignored-shape": "Left out: 4 shapes that enclose no area: 'line', 'linestrip', 'point' "
        "(a.json, shapes[1]; a.json, shapes[2]; a.json, shapes[3]; a.json, shapes[4])."
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b'{"shapes": [\n{,]}',
            "no JSON (Expecting property name enclosed in double quotes in line 2)",
        ),
        (b'{"shapes": "\xe9"}', "byte 13 is not UTF-8"),
        (b"", "no JSON (Expecting value in line 1)"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_a_broken_file_is_left_out_and_named(tmp_path: Path, content: bytes, reason: str) -> None:
    _shapes(tmp_path, TRIANGLE)
    write_images(tmp_path, "b.jpg")
    write_text(tmp_path, "b.json", content)
    said = told(_read(tmp_path))
    assert said["malformed-file"] == (
        f"Left out: 1 annotation file that cannot be read: '{reason}' (b.json)."
    )
    assert set(said) == {"malformed-file"}, "an image is not without annotation for that"


def test_files_and_images_that_do_not_match_are_named(tmp_path: Path) -> None:
    _shapes(tmp_path, TRIANGLE)
    write_images(tmp_path, "rest.jpg", "one/c.jpg", "two/c.jpg")
    write_json(tmp_path, "gone.json", labelme("gone.jpg", TRIANGLE))
    write_json(tmp_path, "c.json", labelme("c.jpg", TRIANGLE))
    write_json(tmp_path, "again.json", labelme("a.jpg", TRIANGLE))
    assert told(_read(tmp_path)) == {
        "missing-image": "Left out: 1 entry for which there is no image: 'gone.jpg'.",
        "ambiguous-image": "Left out: 1 entry that several images could be meant by: 'c.jpg'.",
        "duplicate-entry": "Counted once: 1 entry that describes an image again (again.json).",
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'rest.jpg'.",
    }
    assert shapes_of(_read(tmp_path, unannotated="background"))["rest.jpg"] == []


def test_misspelt_classes_are_told_with_the_likely_name(tmp_path: Path) -> None:
    _shapes(tmp_path, TRIANGLE, {**TRIANGLE, "label": "crakc"})
    listing = _read(tmp_path, classes=("background", "crack"))
    assert told(listing)["unknown-class"].endswith(" Did you mean 'crack'?")


def test_the_format_says_what_it_needs(tmp_path: Path) -> None:
    file = write_text(tmp_path, "a.json", "{}")
    with pytest.raises(
        DataError, match=r"^The format 'labelme' needs a folder with a JSON file for"
    ):
        _read(file)
    file.unlink()
    with pytest.raises(DataError, match=r"^No JSON file was found in '"):
        _read(tmp_path)
