"""The builder names images once, orders classes, and says what is wrong with entries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from annotation_makers import shapes_of, told

from automl.data.annotations import AnnotationBuilder, MaskCoding
from automl.data.formats import ReadOptions
from automl.errors import DataError
from automl.records import Split, TruthKind

SQUARE = (1.0, 2.0, 11.0, 12.0)


def _builder(
    kind: TruthKind = "boxes", *, classes: tuple[str, ...] = (), background: bool = False
) -> AnnotationBuilder:
    unannotated = "background" if background else "leave-out"
    options = ReadOptions(kind, classes=classes, unannotated=unannotated)
    return AnnotationBuilder(Path("/data"), options, source="boxes.json")


def _image(builder: AnnotationBuilder, path: str, split: Split | None = None) -> int:
    number = builder.image(path, split=split)
    assert number is not None
    return number


@pytest.mark.parametrize(
    "same", ["b/1.png", "./b/1.png", "b//1.png", "b\\1.png", "x/../b/1.png", "/data/b/1.png"]
)
def test_a_path_written_otherwise_is_the_same_image(same: str) -> None:
    builder = _builder()
    assert builder.image("b/1.png") == builder.image(same) == 0
    assert builder.is_known(same)
    assert not builder.is_known("1.png")


@pytest.mark.parametrize("path", ["../1.png", "/etc/passwd", "a/../../1.png", "", ".", "C:\\1.png"])
def test_a_path_that_leads_outside_is_noted(path: str) -> None:
    builder = _builder()
    builder.box(_image(builder, "1.png"), "cat", SQUARE, where="")
    assert builder.image(path, where="boxes.json, line 7") is None
    finding = builder.finish().findings[0]
    assert finding.rule == "path-outside-root"
    expected = "Left out: 1 entry whose image lies outside the folder of the data"
    assert finding.message.startswith(expected)
    assert finding.message.endswith("(boxes.json, line 7).")


def test_images_come_in_the_order_of_their_paths_with_their_shapes() -> None:
    builder = _builder()
    late, early = _image(builder, "b.png"), _image(builder, "a.png")
    builder.box(late, "cat", (1, 2, 3, 4), where="")
    builder.relative_box(early, "dog", 0.5, 0.5, 0.5, 0.2, where="")
    builder.polygon(late, "ant", [0, 0, 5, 0, 5, 5], where="", ignored=True)
    builder.rings(early, "cat", [[0, 0, 1, 0, 1, 1], [2, 2, 3, 2, 3, 3]], where="")
    listing = builder.finish()
    assert [sample.path for sample in listing.samples] == ["a.png", "b.png"]
    assert listing.classes == ("ant", "cat", "dog")
    assert shapes_of(listing) == {
        "a.png": [
            ("dog", "box", [10, 12, 30, 18]),
            ("cat", "polygon", [0, 0, 1, 0, 1, 1]),
            ("cat", "polygon+", [2, 2, 3, 2, 3, 3]),
        ],
        "b.png": [
            ("cat", "box", [1, 2, 3, 4]),
            ("ant", "polygon?", [0, 0, 5, 0, 5, 5]),
        ],
    }


def test_splits_are_kept_and_contradictions_named() -> None:
    builder = _builder()
    for path, splits in {
        "a.png": [Split.TEST],
        "b.png": [None, Split.VAL],
        "c.png": [Split.TRAIN, Split.TEST],
    }.items():
        for split in splits:
            builder.box(_image(builder, path, split), "cat", SQUARE, where="")
    listing = builder.finish()
    assert [one.split for one in listing.samples] == [Split.TEST, Split.VAL, Split.TRAIN]
    assert told(listing) == {
        "conflicting-splits": "Kept in the first split given: 1 entry naming an image again with "
        "another."
    }


def test_unannotated_images_are_left_out_or_background_as_the_spec_says() -> None:
    for background in (False, True):
        builder = _builder(background=background)
        builder.box(_image(builder, "a.png"), "cat", SQUARE, where="")
        builder.unannotated(["b.png", "c.png"])
        listing = builder.finish()
        assert len(listing.samples) == (3 if background else 1)
        assert told(listing) == (
            {
                "unannotated-background": "Taken as images with nothing on them, as the spec asks: "
                "2 images that no annotation speaks of: 'b.png', 'c.png'."
            }
            if background
            else {
                "unannotated-image": "Left out: 2 images that no annotation speaks of: 'b.png', "
                "'c.png'."
            }
        )


def test_classes_of_the_spec_order_and_restrict() -> None:
    builder = _builder(classes=("dog", "cat"))
    image = _image(builder, "a.png")
    for line, label in enumerate(["cat", "dog", "cta", "bird"], 1):
        builder.box(image, label, SQUARE, where=f"boxes.json, line {line}")
    listing = builder.finish()
    assert listing.classes == ("dog", "cat")
    assert len(shapes_of(listing)["a.png"]) == 2
    finding = listing.findings[0]
    assert (finding.rule, finding.severity, finding.count) == ("unknown-class", "error", 2)
    assert finding.message == (
        "Left out: 2 objects of a class that is not among 'dog', 'cat': 'bird', 'cta' "
        "(boxes.json, line 3; boxes.json, line 4). Did you mean 'cat'?"
    )


def test_classes_of_the_format_keep_its_order_without_those_of_which_there_is_nothing() -> None:
    builder = _builder()
    builder.box(_image(builder, "a.png"), "zebra", SQUARE, where="")
    builder.box(_image(builder, "b.png"), "ant", SQUARE, where="")
    builder.box(_image(builder, "b.png"), "unicorn", SQUARE, where="")
    listing = builder.finish(classes=["zebra", "cow", "ant"])
    assert listing.classes == ("zebra", "ant")
    assert [label for label, _, _ in shapes_of(listing)["b.png"]] == ["ant", "-"]
    assert [(found.rule, found.message, found.paths) for found in listing.findings] == [
        (
            "unknown-class",
            "Left out: 1 object of a class that is not among 'zebra', 'ant': 'unicorn'.",
            ("b.png",),
        ),
        (
            "unused-class",
            "Passed over: 1 class of which 'boxes.json' has no object: 'cow'.",
            ("boxes.json",),
        ),
    ]


def test_masks_from_outlines_get_a_background_before_all_classes() -> None:
    for classes, expected in {
        (): ("background", "cat"),
        ("cat",): ("background", "cat"),
        ("cat", "background"): ("cat", "background"),
    }.items():
        builder = _builder("mask", classes=classes)
        builder.polygon(_image(builder, "a.png"), "cat", [0, 0, 5, 0, 5, 5], where="")
        assert builder.finish().classes == expected


@pytest.mark.parametrize(
    ("kind", "say", "message"),
    [
        (
            "boxes",
            lambda builder, image: builder.box(
                image, "cat", (0, 0, float("nan"), 1), where="f, line 2"
            ),
            "Left out: 1 entry that cannot be understood: 'a coordinate that is no number or beyond "
            "every image' (f, line 2).",
        ),
        (
            "mask",
            lambda builder, image: builder.polygon(image, "cat", [0, 1, 2], where="f, line 2"),
            "Left out: 1 entry that cannot be understood: 'an odd number of coordinates' "
            "(f, line 2).",
        ),
        (
            "boxes",
            lambda builder, image: builder.run_lengths(
                image, "cat", [9], (2, 5), where="f, line 2"
            ),
            "Left out: 1 entry that cannot be understood: 'runs of 9 pixels for an image of 5 x 2' "
            "(f, line 2).",
        ),
        (
            "boxes",
            lambda builder, image: builder.run_lengths(image, "cat", [-1, 11], (2, 5), where="f"),
            "Left out: 1 entry that cannot be understood: 'runs of 10 pixels for an image of 5 x 2' "
            "(f).",
        ),
        (
            "mask",
            lambda builder, image: builder.box(image, "cat", SQUARE, where="f, line 2"),
            "Left out: 1 box where an outline is needed (f, line 2).",
        ),
        (
            "label",
            lambda builder, image: [builder.label(image, name, where="f") for name in ("a", "b")],
            "Left out: 1 entry that contradicts another of the same image: 'b' (f).",
        ),
        (
            "mask",
            lambda builder, image: [
                builder.mask_file(image, path, MaskCoding("index", ("a",)), where="f")
                for path in ("1.png", "2.png")
            ],
            "Left out: 1 entry that contradicts another of the same image (f).",
        ),
        (
            "mask",
            lambda builder, image: builder.mask_file(
                image, "../1.png", MaskCoding("index", ("a",)), where="f"
            ),
            "Left out: 1 entry whose image lies outside the folder of the data: '../1.png' (f).",
        ),
    ],
)
def test_an_entry_that_cannot_count_is_noted(
    kind: TruthKind, say: Callable[[AnnotationBuilder, int], object], message: str
) -> None:
    builder = _builder(kind)
    image = _image(builder, "bad.png")
    other = _image(builder, "good.png")
    builder.label(other, "good", where="")
    builder.polygon(other, "cat", [0, 0, 5, 0, 5, 5], where="")
    say(builder, image)
    assert message in [found.message for found in builder.finish().findings]


def test_an_image_without_a_label_is_left_out() -> None:
    builder = _builder("label")
    builder.label(_image(builder, "a.png"), "pass", where="")
    _image(builder, "b.png")
    listing = builder.finish()
    assert [(one.path, one.label) for one in listing.samples] == [("a.png", "pass")]
    assert told(listing) == {"unlabelled-image": "Left out: 1 image without a class: 'b.png'."}
    assert listing.annotations is None


def test_defects_have_two_classes_kinds_and_masks() -> None:
    builder = _builder("defect")
    builder.defect(_image(builder, "c.png"), False, None, where="")
    builder.defect(_image(builder, "b.png"), True, "masks/b.png", kind="scratch", where="")
    builder.defect(_image(builder, "a.png"), True, None, kind="hole", where="")
    listing = builder.finish()
    assert listing.classes == ("good", "defect")
    assert [one.label for one in listing.samples] == ["defect", "defect", "good"]
    assert listing.annotations is not None
    assert listing.annotations.masks == (None, "masks/b.png", None)
    assert listing.annotations.kinds == ("hole", "scratch", "")
    assert told(listing) == {
        "missing-defect-mask": "Without a mask that shows where the defect is: 1 image: 'a.png'. "
        "It counts when images are judged, not when pixels are."
    }


@pytest.mark.parametrize(
    ("kind", "classes", "say", "message"),
    [
        ("boxes", (), lambda _builder: None, "No image that 'boxes.json' names can be used."),
        (
            "boxes",
            (),
            lambda builder: builder.image("a.png"),
            "'boxes.json' names images, but no object in any of them. Annotate some, or name another "
            "folder in the spec's data.path.",
        ),
        (
            "mask",
            (),
            lambda builder: builder.box(builder.image("a.png"), "cat", SQUARE, where=""),
            "'boxes.json' holds boxes alone, and masks cannot be drawn from them. Draw outlines "
            "around the objects, or set task to 'detection'.",
        ),
        (
            "boxes",
            ("cta",),
            lambda builder: builder.box(builder.image("a.png"), "cat", SQUARE, where=""),
            "The spec's data.classes names 'cta', but 'boxes.json' has no image of that class. Did "
            "you mean 'cat'?",
        ),
        (
            "mask",
            (),
            lambda builder: [
                builder.polygon(builder.image("a.png"), f"c{i}", [0, 0, 5, 0, 5, 5], where="")
                for i in range(254)
            ],
            "Masks can hold 254 classes, the background included; 255 were found. Name those that "
            "matter in the spec's data.classes.",
        ),
    ],
)
def test_annotations_that_cannot_be_used_are_refused(
    kind: TruthKind,
    classes: tuple[str, ...],
    say: Callable[[AnnotationBuilder], object],
    message: str,
) -> None:
    builder = _builder(kind, classes=classes)
    say(builder)
    with pytest.raises(DataError) as caught:
        builder.finish()
    assert str(caught.value) == message


def test_many_bad_entries_cost_no_memory_for_each() -> None:
    builder = _builder()
    image = _image(builder, "a.png")
    builder.box(image, "cat", SQUARE, where="")
    for line in range(2000):
        builder.note("malformed-entry", f"f, line {line}", path="a.png", value=f"v{line:04d}")
    finding = builder.finish().findings[0]
    assert (finding.count, finding.paths) == (2000, ("a.png",))
    assert finding.message == (
        "Left out: 2,000 entries that cannot be understood: 'v0000', 'v0001', 'v0002' and 997 more "
        "(f, line 0; f, line 1; f, line 2; f, line 3; f, line 4 and 1,995 more)."
    )


def test_columns_take_few_bytes_for_a_box() -> None:
    builder = _builder()
    for number in range(1000):
        image = _image(builder, f"{number}.png")
        for _ in range(13):
            builder.box(image, "cat", SQUARE, where="boxes.json, line 1")
    listing = builder.finish()
    assert listing.annotations is not None
    shapes = listing.annotations.shapes
    assert shapes is not None
    columns = [value for value in vars(shapes).values() if isinstance(value, np.ndarray)]
    assert sum(column.nbytes for column in columns) / 13_000 < 33
