"""An image is found by what its path has in common with those that are there, never in a wrong folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotation_makers import coco, told, write_images, write_json, write_text

from automl.data.formats import Listing, ReadOptions
from automl.data.formats.coco import CocoFormat
from automl.data.formats.cvat import CvatFormat
from automl.data.formats.images import ImageIndex
from automl.data.formats.label_studio import LabelStudioFormat
from automl.data.formats.labelme import LabelmeFormat

IMAGES = ("a/1.jpg", "a/2.jpg", "b/2.jpg", "flat.jpg")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("a/1.jpg", ("a/1.jpg",)),
        ("1.jpg", ("a/1.jpg",)),
        ("./1.jpg", ("a/1.jpg",)),
        ("C:\\photos\\a\\1.jpg", ("a/1.jpg",)),
        ("elsewhere/1.jpg", ("a/1.jpg",)),
        ("b/2.jpg", ("b/2.jpg",)),
        ("2.jpg", ("a/2.jpg", "b/2.jpg")),
        ("b/1.jpg", ()),
        ("C:\\photos\\B\\1.jpg", ()),
        ("b/flat.jpg", ()),
        ("3.jpg", ()),
    ],
)
def test_an_image_that_its_own_folder_lacks_is_not_taken_from_another(
    written: str, found: tuple[str, ...]
) -> None:
    assert ImageIndex(IMAGES).find(written) == found


def test_a_folder_that_was_renamed_is_no_mistake() -> None:
    index = ImageIndex(IMAGES)
    assert index.find("old/1.jpg") == ("a/1.jpg",)
    assert index.find("old/flat.jpg") == ("flat.jpg",)
    assert list(index.findings()) == []


def test_folders_that_became_one_are_named() -> None:
    index = ImageIndex(IMAGES)
    index.find("a/2.jpg")
    index.find("old/1.jpg")
    (found,) = index.findings()
    assert (found.rule, found.severity, found.count) == ("other-folder", "warning", 1)
    assert found.message == (
        "Found by name alone: images of 1 folder that is not there, such as 'old/1.jpg', taken to be "
        "'a/1.jpg'."
    )
    assert found.paths == ("a/1.jpg",)
    index.find("new/1.jpg")
    (found,) = index.findings()
    assert found.message == (
        "Found by name alone: images of 2 folders that are not there, such as 'old/1.jpg', "
        "'new/1.jpg', taken to be 'a/1.jpg', 'a/1.jpg'."
    )


def _coco(root: Path, first: str, second: str) -> Listing:
    box = {"category_id": 1, "bbox": [1, 2, 3, 4]}
    annotations = [{"image_id": 1, **box}, {"image_id": 2, **box}]
    write_json(root, "coco.json", coco({1: first, 2: second}, annotations, {1: "cell"}))
    return CocoFormat().read(root, options=ReadOptions("boxes"))


def _cvat(root: Path, first: str, second: str) -> Listing:
    box = '<box label="cell" xtl="1" ytl="2" xbr="4" ybr="6"/>'
    images = [f'<image name="{name}">{box}</image>' for name in (first, second)]
    write_text(root, "annotations.xml", f"<annotations>{''.join(images)}</annotations>")
    return CvatFormat().read(root, options=ReadOptions("boxes"))


def _label_studio(root: Path, first: str, second: str) -> Listing:
    region = {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["cell"]}
    result = [{"type": "rectanglelabels", "value": region}]
    tasks = [
        {"data": {"image": f"/data/local-files/?d={name}"}, "annotations": [{"result": result}]}
        for name in (first, second)
    ]
    write_json(root, "export.json", tasks)
    return LabelStudioFormat().read(root, options=ReadOptions("boxes"))


def _labelme(root: Path, first: str, second: str) -> Listing:
    shape = {"label": "cell", "shape_type": "rectangle", "points": [[1, 2], [4, 6]]}
    for at, name in enumerate((first, second)):
        write_json(root, f"json/{at}.json", {"imagePath": name, "shapes": [shape]})
    return LabelmeFormat().read(root, options=ReadOptions("boxes"))


@pytest.mark.parametrize("read", [_coco, _cvat, _label_studio, _labelme])
def test_readers_name_an_image_that_is_missing_from_its_folder(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    write_images(tmp_path, "a/1.jpg", "b/2.jpg")
    listing = read(tmp_path, "b/1.jpg", "b/2.jpg")
    assert [one.path for one in listing.samples] == ["b/2.jpg"]
    assert set(told(listing)) == {"missing-image", "unannotated-image"}
    assert "b/1.jpg" in told(listing)["missing-image"]


@pytest.mark.parametrize("read", [_coco, _cvat, _label_studio, _labelme])
def test_readers_name_folders_that_became_one(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    write_images(tmp_path, "a/1.jpg", "a/2.jpg")
    listing = read(tmp_path, "old/1.jpg", "a/2.jpg")
    assert [one.path for one in listing.samples] == ["a/1.jpg", "a/2.jpg"]
    assert told(listing) == {
        "other-folder": "Found by name alone: images of 1 folder that is not there, such as "
        "'old/1.jpg', taken to be 'a/1.jpg'."
    }
