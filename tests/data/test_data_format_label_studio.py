"""Label Studio's JSON: regions, brushes, choices, the names of uploaded images, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_makers import shapes_of, splits_of, told, write_images, write_json, write_text

from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.brushes import unpack_bytes, unpack_picture
from automl.data.formats.json_items import array_items
from automl.data.formats.label_studio import LabelStudioFormat
from automl.data.run_lengths import fill_runs
from automl.errors import DataError
from automl.records import Split, TruthKind

RECTANGLE = {"x": 25, "y": 10, "width": 50, "height": 20}


def _region(
    kind: str, value: dict[str, Any], label: str | None = "dent", **more: Any
) -> dict[str, Any]:
    labels = {} if label is None else {kind: [label]}
    return {
        "id": "r1",
        "type": kind,
        "from_name": "tag",
        "to_name": "image",
        "original_width": 40,
        "original_height": 30,
        "image_rotation": 0,
        "value": {**value, **labels},
        **more,
    }


def _choice(*names: str, question: str = "verdict") -> dict[str, Any]:
    return {"type": "choices", "from_name": question, "value": {"choices": list(names)}}


def _task(number: int, image: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "annotations": [{"id": number, "was_cancelled": False, "result": list(results)}],
        "predictions": [{"result": [_region("rectanglelabels", RECTANGLE, "guess")]}],
        "data": {"image": image},
        **more,
    }


def _read(root: Path, truth: TruthKind = "boxes", **options: object) -> Listing:
    return LabelStudioFormat().read(root, options=ReadOptions(truth, **options))  # type: ignore[arg-type]


def _bits(*fields: tuple[int, int]) -> list[int]:
    """Numbers with their widths as bytes, padded with zeros."""
    text = "".join(f"{value:0{width}b}" for value, width in fields)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def _packed(words: list[int]) -> list[int]:
    """rle-pack: runs of three or more as such, the rest word by word."""
    fields = [(len(words), 32), (7, 5), (2, 4), (3, 4), (7, 4), (15, 4)]
    at = 0
    while at < len(words):
        run = next((n for n in range(1, len(words) - at) if words[at + n] != words[at]), None)
        run = min(run or len(words) - at, 1 << 16)
        size = next(i for i, width in enumerate((3, 4, 8, 16)) if run <= 1 << width)
        width = (3, 4, 8, 16)[size]
        if run >= 3:
            fields += [(1, 1), (size, 2), (run - 1, width), (words[at], 8)]
        else:
            fields += [(0, 1), (size, 2), (run - 1, width), *[(words[at], 8)] * run]
        at += run
    return _bits(*fields)


def _brush(pixels: np.ndarray) -> list[int]:
    """Pack what a brush painted, as alpha of a red picture."""
    picture = np.zeros((*pixels.shape, 4), np.uint8)
    picture[pixels] = (255, 0, 0, 255)
    return _packed(picture.ravel().tolist())


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Two images below ``images/``."""
    write_images(tmp_path, "images/a.png", "images/b.png")
    return tmp_path


def _with(root: Path, *results: dict[str, Any]) -> Path:
    write_json(root, "export.json", [_task(7, "/data/upload/3/0a1b2c3d-a.png", *results)])
    (root / "images" / "b.png").unlink(missing_ok=True)
    return root


def test_it_is_recognised_by_its_tasks(parts: Path) -> None:
    _with(parts, _region("rectanglelabels", RECTANGLE))
    form, reason = choose(parts, "auto", truth="boxes")
    assert (form.name, reason) == ("label-studio", "'export.json' is a Label Studio export")
    assert LabelStudioFormat().recognise(parts / "export.json") == reason


def test_other_json_is_not_taken_for_it(parts: Path) -> None:
    write_json(parts, "min.json", [{"image": "a.png", "label": []}])
    write_json(parts, "coco.json", {"images": [], "annotations": [], "data": {}})
    assert LabelStudioFormat().recognise(parts) is None
    with pytest.raises(DataError, match=r"Export the project as 'JSON' \(not 'JSON-MIN'\)"):
        _read(parts)


PAINTED = np.zeros((30, 40), bool)
PAINTED[3:5, 2:6] = True
SHAPES = [
    ("rectanglelabels", RECTANGLE, ("dent", "box", [10, 3, 30, 9])),
    (
        "rectanglelabels",
        {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 90},
        ("dent", "polygon", [20, 15, 20, 25, 17, 25, 17, 15]),
    ),
    (
        "polygonlabels",
        {"points": [[10, 10], [50, 10], [50, 90]]},
        ("dent", "polygon", [4, 3, 20, 3, 20, 27]),
    ),
    (
        "brushlabels",
        {"format": "rle", "rle": _brush(PAINTED)},
        ("dent", "run_lengths", [30, 40, 63, 2, 28, 2, 28, 2, 28, 2, 1045]),
    ),
]


@pytest.mark.parametrize(
    ("kind", "value", "expected"), SHAPES, ids=["box", "turned", "outline", "brush"]
)
def test_regions_are_read(
    parts: Path, kind: str, value: dict[str, Any], expected: tuple[str, str, list[float]]
) -> None:
    listing = _read(_with(parts, _region(kind, value)))
    assert shapes_of(listing) == {"images/a.png": [expected]}
    assert listing.annotations is not None
    assert listing.annotations.claimed.tolist() == [[30, 40]]
    assert (listing.classes, listing.findings) == (("dent",), ())


def test_an_ellipse_becomes_an_outline_with_its_bounds(parts: Path) -> None:
    value = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 0}
    listing = _read(_with(parts, _region("ellipselabels", value)))
    points = np.array(shapes_of(listing)["images/a.png"][0][2]).reshape(-1, 2)
    assert points.min(0).tolist() == pytest.approx([12, 12], abs=0.001)
    assert points.max(0).tolist() == pytest.approx([28, 18], abs=0.001)


def test_a_region_named_by_a_second_result_counts_once(parts: Path) -> None:
    bare = _region("rectangle", RECTANGLE, None)
    listing = _read(_with(parts, bare, _region("labels", RECTANGLE)))
    assert shapes_of(listing) == {"images/a.png": [("dent", "box", [10, 3, 30, 9])]}
    assert listing.findings == ()


def test_choices_are_labels_of_whole_images(parts: Path) -> None:
    tasks = [_task(1, "a.png", _choice("good")), _task(2, "b.png", _choice("bad"))]
    tasks[1]["annotations"][0]["result"].append(_choice("blurred", question="quality"))
    write_json(parts, "export.json", tasks)
    listing = _read(parts, "label")
    assert [(one.path, one.label) for one in listing.samples] == [
        ("images/a.png", "good"),
        ("images/b.png", "bad"),
    ]
    assert told(listing) == {
        "ignored-annotation": "Left out: 1 annotation that counts for nothing: 'quality' "
        "(export.json, line 49, task 2)."
    }


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/0a1b2c3d-a.png",
        "/data/local-files/?d=photos%2Fimages%2Fa.png",
        "s3://bucket/raw/images/a.png",
        "https://host.example/images/a.png?signature=1",
        "images\\a.png",
        "a.png",
    ],
)
def test_an_image_is_found_by_any_address(parts: Path, address: str) -> None:
    task = _task(1, address, _region("rectanglelabels", RECTANGLE))
    task["data"] = {"id": 5, "photo": address, "split": "train"}
    write_json(parts, "export.json", [task])
    assert splits_of(_read(parts)) == {"images/a.png": Split.TRAIN}


def test_an_image_that_kept_its_uploaded_name_is_found_by_it(tmp_path: Path) -> None:
    write_images(tmp_path, "0a1b2c3d-a.png", "a.png")
    task = _task(1, "/data/upload/3/0a1b2c3d-a.png", _region("rectanglelabels", RECTANGLE))
    write_json(tmp_path, "export.json", [task])
    assert [one.path for one in _read(tmp_path).samples] == ["0a1b2c3d-a.png"]


def test_cancelled_annotations_do_not_count_and_the_first_of_several_does(parts: Path) -> None:
    first = _task(1, "a.png", _region("rectanglelabels", RECTANGLE))
    cancelled = {"was_cancelled": True, "result": [_region("rectanglelabels", RECTANGLE, "no")]}
    second = {"result": [_region("rectanglelabels", RECTANGLE, "other")]}
    first["annotations"] = [cancelled, *first["annotations"], second]
    skipped = _task(2, "b.png") | {"annotations": [cancelled]}
    write_json(parts, "export.json", [first, skipped])
    listing = _read(parts)
    assert shapes_of(listing) == {"images/a.png": [("dent", "box", [10, 3, 30, 9])]}
    assert told(listing) == {
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'images/b.png'.",
        "several-annotators": "Taken from the first annotator: 1 image that several have annotated "
        "(export.json, line 2, task 1).",
    }


def test_an_annotator_who_found_nothing_says_background(parts: Path) -> None:
    tasks = [_task(1, "a.png", _region("rectanglelabels", RECTANGLE)), _task(2, "b.png")]
    write_json(parts, "export.json", tasks)
    listing = _read(parts)
    assert shapes_of(listing)["images/b.png"] == []
    assert listing.findings == ()


ENTRY = "Left out: 1 entry that cannot be understood: "
PLACE = " (export.json, line 2, task 7)."
BAD = [
    (
        _region("rectanglelabels", RECTANGLE | {"width": "wide"}),
        "malformed-entry",
        f"{ENTRY}'rectanglelabels: \"wide\" is no number'{PLACE}",
    ),
    (
        _region("rectanglelabels", {"x": 1, "y": 2, "width": 3}),
        "malformed-entry",
        f"{ENTRY}'a rectanglelabels without height'{PLACE}",
    ),
    (
        _region("rectanglelabels", RECTANGLE, None),
        "malformed-entry",
        f"{ENTRY}'a rectanglelabels without a label'{PLACE}",
    ),
    (
        _region("rectanglelabels", RECTANGLE, image_rotation=90),
        "malformed-entry",
        f"{ENTRY}'a rectanglelabels on an image turned by 90 degrees'{PLACE}",
    ),
    (
        _region("polygonlabels", {"points": [[1, 2], [3]]}),
        "malformed-entry",
        f"{ENTRY}'polygonlabels: [3] is no point'{PLACE}",
    ),
    (
        _region("brushlabels", {"rle": _brush(PAINTED[:, 1:])}),
        "malformed-entry",
        f"{ENTRY}'brushlabels: 4,680 words of 8 bits where 4,800 of 8 are needed'{PLACE}",
    ),
    (
        _region("brushlabels", {"rle": _brush(PAINTED)[:20]}),
        "malformed-entry",
        f"{ENTRY}'brushlabels: the run lengths of the brush end early'{PLACE}",
    ),
    (
        _region("keypointlabels", {"x": 1, "y": 2, "width": 1}),
        "ignored-shape",
        f"Left out: 1 shape that encloses no area: 'keypointlabels'{PLACE}",
    ),
    (
        _region("rectanglelabels", RECTANGLE, "dnet"),
        "unknown-class",
        "Left out: 1 object of a class that is not among 'dent': 'dnet' (export.json, line 2, "
        "task 7). Did you mean 'dent'?",
    ),
]


@pytest.mark.parametrize(
    ("result", "rule", "message"), BAD, ids=[f"{b[1]}-{i}" for i, b in enumerate(BAD)]
)
def test_a_bad_region_is_named_with_its_task(
    parts: Path, result: dict[str, Any], rule: str, message: str
) -> None:
    options = {"classes": ("dent",)} if rule == "unknown-class" else {}
    listing = _read(_with(parts, result, _region("rectanglelabels", RECTANGLE)), **options)
    assert told(listing) == {rule: message}
    assert shapes_of(listing) == {"images/a.png": [("dent", "box", [10, 3, 30, 9])]}


def test_tasks_that_are_missing_described_twice_or_without_image_are_named(parts: Path) -> None:
    box = _region("rectanglelabels", RECTANGLE)
    tasks = [
        _task(1, "a.png", box),
        _task(2, "c.png", box),
        _task(3, "/data/upload/1/ffffffff-a.png", box),
        _task(4, "no words") | {"data": {"text": "hello"}},
        "task",
    ]
    lines = ",\n".join(json.dumps(task) for task in tasks)
    write_text(parts, "export.json", f"\ufeff[\r\n{lines}\r\n]\r\n")
    assert told(_read(parts)) == {
        "malformed-entry": "Left out: 2 entries that cannot be understood: 'a task without an image', "
        "'no task: \"task\"' (export.json, line 5, task 4; export.json, line 6).",
        "missing-image": "Left out: 1 entry for which there is no image: 'c.png' "
        "(export.json, line 3, task 2).",
        "duplicate-entry": "Counted once: 1 entry that describes an image again: 'images/a.png' "
        "(export.json, line 4, task 3).",
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'images/b.png'.",
    }


FATAL = [
    ('[\n{"data": {}},\n{"data": }]', r"line 3: malformed JSON.* \(Expecting value\)"),
    ('[\n{"data": {}}\n{"data": {}}]', r"line 3: malformed JSON.* \(',' or '\]' is missing\)"),
    ('[{"data": {"image": "a.png', r"line 1: malformed JSON.* \(Unterminated string starting at\)"),
    ('[{"data": {}},\n\n', r"line 3: malformed JSON.* \(Expecting value\)"),
    (
        b'[{"data": {"image": "caf\xe9.png"}}]',
        r"line 1: byte 0xe9 is not UTF-8. Save the file as UTF-8.",
    ),
]


@pytest.mark.parametrize(
    ("content", "message"), FATAL, ids=["value", "comma", "text", "cut", "latin-1"]
)
def test_a_file_that_is_no_json_is_an_error_with_its_line(
    parts: Path, content: str | bytes, message: str
) -> None:
    write_text(parts, "export.json", content)
    with pytest.raises(DataError, match=message):
        _read(parts)


def test_items_larger_than_what_is_read_at_once_keep_their_lines(tmp_path: Path) -> None:
    items = [{"n": n, "text": "é\n" * 300_000} for n in range(5)]
    file = write_text(tmp_path, "big.json", "[\n" + ",\n\n".join(map(json.dumps, items)) + "]")
    read = list(array_items(file))
    assert [line for line, _ in read] == [2, 4, 6, 8, 10]
    assert [item for _, item in read] == items


def test_brushes_are_unpacked_bit_by_bit() -> None:
    random = np.random.default_rng(0)
    for share in (0.0, 0.1, 0.5, 1.0):
        pixels = random.random((13, 17)) < share
        np.testing.assert_array_equal(unpack_picture(_brush(pixels), (13, 17)), pixels)
    words = random.integers(0, 256, 500).tolist()
    assert unpack_bytes(_packed(words), expected=500).tolist() == words


def test_painted_pixels_are_those_of_the_listing(parts: Path) -> None:
    listing = _read(_with(parts, _region("brushlabels", {"rle": _brush(PAINTED)})), "mask")
    assert listing.annotations is not None
    assert listing.annotations.shapes is not None
    np.testing.assert_array_equal(fill_runs(listing.annotations.shapes.runs), PAINTED)
