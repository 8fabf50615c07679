"""CVAT's XML: shapes, layers, splits, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotation_makers import shapes_of, splits_of, told, write_images, write_text

from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.brushes import column_runs, row_runs_pixels
from automl.data.formats.cvat import CvatFormat
from automl.data.run_lengths import fill_runs
from automl.errors import DataError
from automl.records import Split, TruthKind

LABELS = "".join(f"<label><name>{name}</name></label>" for name in ("scratch", "dent"))
BOX = '<box label="dent" xtl="1" ytl="2" xbr="10" ybr="12.5"/>'


def _xml(*images: str) -> str:
    """A CVAT file; the first image is on line 4."""
    lines = (
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations><version>1.1</version>",
        f"<meta><task><labels>{LABELS}</labels></task></meta>",
        *images,
        "</annotations>",
    )
    return "\n".join(lines)


def _image(name: str, *shapes: str, more: str = "") -> str:
    return "\n".join([f'<image name="{name}" width="40" height="30" {more}>', *shapes, "</image>"])


def _told(listing: Listing) -> dict[str, str]:
    """All findings but that one of CVAT's classes has no object."""
    return {rule: message for rule, message in told(listing).items() if rule != "unused-class"}


def _read(root: Path, truth: TruthKind = "boxes", **options: object) -> Listing:
    return CvatFormat().read(root, options=ReadOptions(truth, **options))  # type: ignore[arg-type]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Two images below ``images/``, as CVAT's archives have them."""
    write_images(tmp_path, "images/a.png", "images/b.png")
    return tmp_path


def _with(root: Path, *shapes: str) -> Path:
    write_text(root, "annotations.xml", _xml(_image("a.png", *shapes), _image("b.png")))
    return root


def test_it_is_recognised_by_its_first_tag(parts: Path) -> None:
    _with(parts, BOX)
    form, reason = choose(parts, "auto", truth="boxes")
    assert (form.name, reason) == ("cvat", "'annotations.xml' is a CVAT export")
    assert CvatFormat().recognise(parts / "annotations.xml") == reason


def test_files_of_other_formats_are_not_taken_for_it(parts: Path) -> None:
    write_text(parts, "a.xml", "<annotation><object/></annotation>")
    assert CvatFormat().recognise(parts) is None
    with pytest.raises(DataError, match="needs an XML file that begins with <annotations>"):
        _read(parts)


SHAPES = [
    (BOX, ("dent", "box", [1, 2, 10, 12.5])),
    (
        '<box label="dent" xtl="10" ytl="10" xbr="20" ybr="14" rotation="90"/>',
        ("dent", "polygon", [17, 7, 17, 17, 13, 17, 13, 7]),
    ),
    (
        '<polygon label="scratch" points="1.5,2;10,2;10,20"/>',
        ("scratch", "polygon", [1.5, 2, 10, 2, 10, 20]),
    ),
    (
        # Two rows of two pixels at 3, 4: all but the upper left one.
        '<mask label="dent" rle="1, 3" left="3" top="4" width="2" height="2"/>',
        ("dent", "run_lengths", [30, 40, 95, 1, 28, 2, 1074]),
    ),
]


@pytest.mark.parametrize(("shape", "expected"), SHAPES, ids=["box", "turned", "polygon", "mask"])
def test_shapes_are_read(parts: Path, shape: str, expected: tuple[str, str, list[float]]) -> None:
    listing = _read(_with(parts, shape))
    assert shapes_of(listing) == {"images/a.png": [expected], "images/b.png": []}
    assert listing.annotations is not None
    assert listing.annotations.claimed.tolist() == [[30, 40]] * 2
    assert listing.classes == (expected[0],)
    unused = {"dent": "scratch", "scratch": "dent"}[expected[0]]
    assert told(listing) == {
        "unused-class": f"Passed over: 1 class of which 'annotations.xml' has no object: '{unused}'."
    }


def test_an_ellipse_becomes_an_outline_with_its_bounds(parts: Path) -> None:
    listing = _read(_with(parts, '<ellipse label="dent" cx="20" cy="15" rx="8" ry="4"/>'))
    points = np.array(shapes_of(listing)["images/a.png"][0][2]).reshape(-1, 2)
    assert points.min(0).tolist() == [12, 11]
    assert points.max(0).tolist() == [28, 19]


def test_what_lies_in_front_comes_last(parts: Path) -> None:
    front = '<polygon label="dent" points="1,1;5,1;5,5" z_order="2"/>'
    back = '<polygon label="scratch" points="1,1;5,1;5,5" z_order="-1"/>'
    listing = _read(_with(parts, front, back), "mask")
    assert [label for label, _, _ in shapes_of(listing)["images/a.png"]] == ["scratch", "dent"]
    assert listing.classes == ("background", "scratch", "dent")  # CVAT's own order


def test_tags_are_labels_of_whole_images(parts: Path) -> None:
    write_text(
        parts,
        "annotations.xml",
        _xml(
            _image("a.png", '<tag label="dent"/>', BOX), _image("b.png", '<tag label="scratch"/>')
        ),
    )
    listing = _read(parts, "label")
    assert [(one.path, one.label) for one in listing.samples] == [
        ("images/a.png", "dent"),
        ("images/b.png", "scratch"),
    ]
    assert listing.classes == ("scratch", "dent")


def test_subsets_are_the_data_s_own_split(tmp_path: Path) -> None:
    write_images(tmp_path, "images/Train/1.png", "images/Test/1.png", "images/2.png")
    images = [
        _image("1.png", BOX, more='subset="Train"'),
        _image("1.png", BOX, more='subset="Test"'),
        _image("2.png", BOX, more='subset="default"'),
    ]
    write_text(tmp_path, "annotations.xml", _xml(*images))
    assert splits_of(_read(tmp_path)) == {
        "images/Train/1.png": Split.TRAIN,
        "images/Test/1.png": Split.TEST,
        "images/2.png": None,
    }


BAD = [
    (
        '<box label="dent" xtl="left" ytl="2" xbr="10" ybr="12"/>',
        "malformed-entry",
        "Left out: 1 entry that cannot be understood: 'xtl='left'' (annotations.xml, line 5).",
    ),
    (
        '<box label="dent" xtl="nan" ytl="2" xbr="10" ybr="12"/>',
        "malformed-entry",
        "Left out: 1 entry that cannot be understood: 'xtl='nan'' (annotations.xml, line 5).",
    ),
    (
        '<box label="dent" xtl="1" ytl="2" xbr="10"/>',
        "malformed-entry",
        "Left out: 1 entry that cannot be understood: 'a box without ybr' (annotations.xml, line 5).",
    ),
    (
        '<box xtl="1" ytl="2" xbr="10" ybr="12"/>',
        "malformed-entry",
        "Left out: 1 entry that cannot be understood: 'a box without a label' (annotations.xml, "
        "line 5).",
    ),
    (
        '<polygon label="dent" points="1,2;3"/>',
        "malformed-entry",
        "Left out: 1 entry that cannot be understood: 'points='1,2;3'' (annotations.xml, line 5).",
    ),
    (
        '<mask label="dent" rle="1, 4" left="3" top="4" width="2" height="2"/>',
        "malformed-entry",
        "Left out: 1 entry that cannot be understood: 'runs of 5 pixels for a rectangle of 2 x 2' "
        "(annotations.xml, line 5).",
    ),
    (
        '<polyline label="dent" points="1,2;3,4"/>',
        "ignored-shape",
        "Left out: 1 shape that encloses no area: 'polyline' (annotations.xml, line 5).",
    ),
    (
        '<box label="dnet" xtl="1" ytl="2" xbr="10" ybr="12"/>',
        "unknown-class",
        "Left out: 1 object of a class that is not among 'dent': 'dnet' (annotations.xml, line 5). "
        "Did you mean 'dent'?",
    ),
]


@pytest.mark.parametrize(
    ("shape", "rule", "message"), BAD, ids=[f"{b[1]}-{i}" for i, b in enumerate(BAD)]
)
def test_a_bad_shape_is_named_with_its_line(
    parts: Path, shape: str, rule: str, message: str
) -> None:
    options = {"classes": ("dent",)} if rule == "unknown-class" else {}
    listing = _read(_with(parts, shape, BOX), **options)
    assert _told(listing) == {rule: message}
    assert shapes_of(listing)["images/a.png"] == [("dent", "box", [1, 2, 10, 12.5])]


def test_images_that_are_missing_described_twice_or_not_at_all_are_named(parts: Path) -> None:
    write_images(parts, "images/c.png")
    images = [
        _image("a.png", BOX),
        _image("A.PNG.png", BOX),
        _image("sub\\a.png", BOX),
        _image("b.png"),
    ]
    write_text(parts, "annotations.xml", "\ufeff" + _xml(*images).replace("\n", "\r\n"))
    listing = _read(parts)
    assert _told(listing) == {
        "missing-image": "Left out: 1 entry for which there is no image: 'A.PNG.png' "
        "(annotations.xml, line 7).",
        "duplicate-entry": "Counted once: 1 entry that describes an image again: 'sub\\a.png' "
        "(annotations.xml, line 10).",
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'images/c.png'.",
    }
    assert listing.files_seen == 3
    background = _read(parts, unannotated="background")
    assert [one.path for one in background.samples][-1] == "images/c.png"


FATAL = [
    ("<annotations><image></annotations>", r"line 1: malformed XML \(mismatched tag\)"),
    (
        '<annotations>\n<track id="0" label="a"><box frame="0"/></track></annotations>',
        r"line 2: tracks of a video cannot be read, because its frames are no files\. Export the "
        r"task as 'CVAT for images 1\.1' with its images\.$",
    ),
    (
        '<!DOCTYPE a [<!ENTITY x "xx">]><annotations>&x;</annotations>',
        r"defines a document type or entities, which no CVAT export does",
    ),
    (
        b'<?xml version="1.0" encoding="utf-8"?><annotations>caf\xe9</annotations>',
        r"line 1: malformed XML \(not well-formed \(invalid token\)\)",
    ),
]


@pytest.mark.parametrize(("content", "message"), FATAL, ids=["cut", "video", "bomb", "latin-1"])
def test_a_file_that_cannot_be_read_is_an_error(
    parts: Path, content: str | bytes, message: str
) -> None:
    write_text(parts, "annotations.xml", content)
    with pytest.raises(DataError, match=message):
        _read(parts)


def test_painted_pixels_become_runs_down_the_columns() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        height, width, high, wide = (int(n) for n in random.integers(1, 9, 4))
        left, top = (int(n) for n in random.integers(-4, 8, 2))
        pixels = random.random((high, wide)) < random.choice([0.3, 0.7, 1.0])
        whole = np.zeros((40, 40), bool)
        whole[10 + top : 10 + top + high, 10 + left : 10 + left + wide] = pixels
        runs = column_runs(pixels, left, top, (height, width))
        filled = fill_runs(np.array([height, width, *runs], np.uint32))
        np.testing.assert_array_equal(filled, whole[10 : 10 + height, 10 : 10 + width])
    assert row_runs_pixels([1, 3], 2, 2).tolist() == [[False, True], [True, True]]
