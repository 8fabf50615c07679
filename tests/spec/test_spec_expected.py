"""Specs without images: what stands in for them, and the exact words about what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from automl.errors import SpecError
from automl.records import ExpectedImages, Spec, dump_record, load_record
from automl.spec import InvalidDocumentError, json_schema, load_spec, parse_spec
from automl.spec.yaml_source import parse_yaml

TARGET = "target: {latency: 20ms}\n"
PLANNED = f"task: classification\nclasses: 3\nimage_size: 640x480\n{TARGET}"


def parse(text: str) -> Spec:
    return parse_spec(text, source="s.yaml", base=Path("/"))


def test_number_of_classes_and_size_stand_in_for_images() -> None:
    spec = parse(PLANNED)
    assert spec.data is None
    assert spec.expected == ExpectedImages(("class 1", "class 2", "class 3"), (480, 640))
    assert load_record(Spec, dump_record(spec)) == spec


@pytest.mark.parametrize(
    ("task", "classes", "expected"),
    [
        ("classification", "[pass, fail]", ("pass", "fail")),
        ("detection", "1", ("class 1",)),
        ("segmentation", "3", ("background", "class 1", "class 2")),
    ],
)
def test_classes_are_named_where_the_spec_does_not(
    task: str, classes: str, expected: tuple[str, ...]
) -> None:
    found = parse(f"task: {task}\nclasses: {classes}\nimage_size: 640x480\n{TARGET}").expected
    assert found is not None
    assert found.classes == expected


def test_anomaly_detection_needs_the_size_alone() -> None:
    found = parse(f"task: anomaly\nimage_size: 2448 × 2048\n{TARGET}").expected
    assert found == ExpectedImages(("good", "defect"), (2048, 2448))


def test_a_spec_without_images_says_so_to_all_who_need_them() -> None:
    with pytest.raises(SpecError) as caught:
        parse(PLANNED).require_data()
    assert str(caught.value) == (
        "'s.yaml' names no images, so it can be planned ('automl plan') and nothing else. To go on, "
        "add 'data: ./images' in place of 'classes' and 'image_size'."
    )


MISTAKES = [
    (
        f"task: classification\n{TARGET}",
        "1:1: data: is missing. Add it, for example 'data: ./images'. To plan before there are "
        "images, add 'classes: 10' and 'image_size: 640x480' instead.",
    ),
    (
        f"task: anomaly\n{TARGET}",
        "1:1: data: is missing. Add it, for example 'data: ./images'. To plan before there are "
        "images, add 'image_size: 640x480' instead.",
    ),
    (
        f"task: classification\nclasses: 3\n{TARGET}",
        "1:1: image_size: is missing. Without 'data' it is needed, for example "
        "'image_size: 640x480'.",
    ),
    (
        f"task: classification\nimage_size: 640x480\n{TARGET}",
        "1:1: classes: is missing. Without 'data' it is needed, for example 'classes: 10'.",
    ),
    (
        f"task: anomaly\nclasses: 2\nimage_size: 640x480\n{TARGET}",
        "2:1: classes: anomaly detection always has two, good and defect. Delete it.",
    ),
    (
        f"task: classification\nclasses: 1\nimage_size: 640x480\n{TARGET}",
        "2:1: classes: classification needs two classes or more; got one.",
    ),
    (
        f"task: segmentation\nclasses: [crack]\nimage_size: 640x480\n{TARGET}",
        "2:1: classes: segmentation needs two classes or more (the background counts); got one.",
    ),
    (
        f"task: classification\ndata: x\nclasses: [a, b]\n{TARGET}",
        "3:1: classes: with 'data', classes are named in it, under 'data.classes'. Move it there.",
    ),
    (
        f"task: classification\ndata: x\nimage_size: 640x480\n{TARGET}",
        "3:1: image_size: is for planning without 'data', whose images have a size. Delete one of "
        "the two.",
    ),
    (
        f"task: classification\nclasses: [a, a]\nimage_size: 640x480\n{TARGET}",
        "2:1: classes: lists 'a' twice. Delete one.",
    ),
    (
        f"task: classification\nclasses: many\nimage_size: 640x480\n{TARGET}",
        "2:1: classes: the number of classes, or the list of their names; got 'many'.",
    ),
    (
        f"task: classification\nclasses: [1, 2]\nimage_size: 640x480\n{TARGET}",
        "2:1: classes: the number of classes, or the list of their names; a name is text; got 1. "
        "Put it in quotes.",
    ),
    (
        f"task: classification\nclasses: 0\nimage_size: 640x480\n{TARGET}",
        "2:1: classes: the number of classes, or the list of their names; a number from 1 to "
        "10,000; got 0.",
    ),
    (
        f"task: classification\nclasses: 3\nimage_size: 640\n{TARGET}",
        "3:1: image_size: width x height in pixels, such as 640x480; got 640.",
    ),
    (
        f"task: classification\nclasses: 3\nimage_size: 640x99999\n{TARGET}",
        "3:1: image_size: width x height in pixels, such as 640x480, each from 8 to 32,768; got "
        "'640x99999'.",
    ),
    (
        PLANNED + "require: {'recall[fial]': 0.9}\nclasses: [pass, fail]\n",
        "6:1: classes: duplicate key, already in line 2. Keep one of the two.",
    ),
    (
        f"task: classification\nclasses: [pass, fail]\nimage_size: 640x480\n{TARGET}"
        "require: {'recall[fial]': 0.9}\n",
        "5:11: require.recall[fial]: 'fial' is not one of 'classes'. Did you mean 'fail'?",
    ),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_mistakes(text: str, expected: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        parse(text)
    assert [p.describe("s.yaml") for p in caught.value.problems] == [f"s.yaml:{expected}"]


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        (PLANNED, True),
        (f"task: classification\nclasses: [a, b]\nimage_size: 640x480\n{TARGET}", True),
        (f"task: anomaly\nimage_size: 640x480\n{TARGET}", True),
        (f"task: anomaly\nclasses: 2\nimage_size: 640x480\n{TARGET}", False),
        (f"task: classification\nimage_size: 640x480\n{TARGET}", False),
        (f"task: classification\nclasses: 3\n{TARGET}", False),
        (f"task: classification\ndata: x\nimage_size: 640x480\n{TARGET}", False),
        (f"task: classification\ndata: x\nclasses: 3\n{TARGET}", False),
        (f"task: classification\n{TARGET}", False),
    ],
)
def test_editors_are_told_the_same(text: str, is_valid: bool) -> None:
    root = parse_yaml(text, source="s.yaml", kind="spec").root
    assert Draft7Validator(json_schema()).is_valid(root) is is_valid
    if is_valid:
        parse(text)
        return
    with pytest.raises(InvalidDocumentError):
        parse(text)


def test_a_spec_without_images_or_file_is_called_after_its_task() -> None:
    assert parse_spec(PLANNED, source="<request>", base=Path("/")).name == "classification"


def test_the_example_without_images_is_shipped() -> None:
    spec = load_spec("plan-only")
    assert (spec.data, spec.expected is not None) == (None, True)
