"""The layout of MVTec AD: with and without defects, splits and masks, and what is out of place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotation_makers import splits_of, told, write_images
from PIL import Image

from automl.data.annotations import MaskCoding
from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.mvtec import MvtecFormat
from automl.errors import DataError
from automl.records import Split


def _read(root: Path, **options: object) -> Listing:
    return MvtecFormat().read(root, options=ReadOptions("defect", **options))  # type: ignore[arg-type]


def _mask(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(30, 40, dtype=np.uint8) * 255).save(root / path)


@pytest.fixture
def bottles(tmp_path: Path) -> Path:
    """The full layout: two good to learn from, one good and two broken to test with."""
    root = tmp_path / "bottles"
    write_images(root, "train/good/0.png", "train/good/1.png", "test/good/0.png")
    write_images(root, "test/crack/0.png", "test/dirt/0.jpg")
    _mask(root, "ground_truth/crack/0_mask.png")
    _mask(root, "ground_truth/dirt/0.png")
    return root


def test_the_full_layout_is_recognised_and_read(bottles: Path) -> None:
    form, reason = choose(bottles, "auto", truth="defect")
    assert form.name == "mvtec"
    assert reason == (
        "'test/good', 'train/good' hold good images, 'test/crack', 'test/dirt' defective ones"
    )
    listing = _read(bottles)
    assert [(one.path, one.label) for one in listing.samples] == [
        ("test/crack/0.png", "defect"),
        ("test/dirt/0.jpg", "defect"),
        ("test/good/0.png", "good"),
        ("train/good/0.png", "good"),
        ("train/good/1.png", "good"),
    ]
    assert list(splits_of(listing).values()) == [Split.TEST] * 3 + [Split.TRAIN] * 2
    assert listing.annotations is not None
    assert listing.annotations.masks == (
        "ground_truth/crack/0_mask.png",
        "ground_truth/dirt/0.png",
        None,
        None,
        None,
    )
    assert listing.annotations.kinds == ("crack", "dirt", "", "", "")
    assert listing.annotations.codings == (MaskCoding("binary", ("good", "defect")),)
    assert (listing.classes, listing.findings, listing.files_seen) == (("good", "defect"), (), 5)


LAYOUTS = [
    (("train/good/0.png", "train/good/1.png"), "'train/good' holds good images"),
    (("good/0.png", "good/1.png"), "'good' holds good images"),
    (("ok/0.png", "ng/1.png"), "'ok' holds good images, 'ng' defective ones"),
    (
        ("OK/0.png", "bent/1.png", "torn/x/2.png"),
        "'OK' holds good images, 'bent', 'torn' defective ones",
    ),
    (
        ("Train/Good/0.png", "Test/bad/1.png"),
        "'Train/Good' holds good images, 'Test/bad' defective ones",
    ),
]


@pytest.mark.parametrize(("paths", "reason"), LAYOUTS, ids=[one[0][0] for one in LAYOUTS])
def test_smaller_layouts_do(tmp_path: Path, paths: tuple[str, ...], reason: str) -> None:
    write_images(tmp_path, *paths)
    assert MvtecFormat().recognise(tmp_path) == reason
    listing = _read(tmp_path)
    assert tuple(sorted(one.path for one in listing.samples)) == tuple(sorted(paths))
    assert listing.classes == ("good", "defect")
    good = {one.path for one in listing.samples if one.label == "good"}
    assert good == {path for path in paths if path.lower().split("/")[-2] in ("good", "ok")}


def test_folders_without_a_split_have_none(tmp_path: Path) -> None:
    write_images(tmp_path, "good/0.png", "bad/1.png")
    assert set(splits_of(_read(tmp_path)).values()) == {None}


def test_what_is_out_of_place_is_named(bottles: Path) -> None:
    write_images(bottles, "test/dirt/1.png", "extra/9.png", "top.png", "test/loose.png")
    _mask(bottles, "ground_truth/dirt/7_mask.png")
    listing = _read(bottles)
    assert told(listing) == {
        "outside-split": "Left out: 3 images neither in a folder of good images ('test/good', "
        "'train/good') nor of defective ones: 'extra/9.png', 'test/loose.png', 'top.png'.",
        "missing-image": "Left out: 1 entry for which there is no image: "
        "'ground_truth/dirt/7_mask.png'.",
        "missing-defect-mask": "Without a mask that shows where the defect is: 1 image: "
        "'test/dirt/1.png'. It counts when images are judged, not when pixels are.",
    }
    assert (len(listing.samples), listing.files_seen) == (6, 9)


def test_masks_without_splits_are_found_too(tmp_path: Path) -> None:
    write_images(tmp_path, "good/0.png", "bad/1.png")
    _mask(tmp_path, "masks/bad/1.png")
    listing = _read(tmp_path)
    assert listing.annotations is not None
    assert listing.annotations.masks == ("masks/bad/1.png", None)


def test_the_polarity_of_the_spec_holds(bottles: Path) -> None:
    listing = _read(bottles, foreground="black")
    assert listing.annotations is not None
    assert [coding.polarity for coding in listing.annotations.codings] == ["black"]


def test_a_folder_of_data_sets_says_to_name_one(bottles: Path) -> None:
    assert MvtecFormat().recognise(bottles.parent) is None
    with pytest.raises(DataError) as caught:
        _read(bottles.parent)
    assert str(caught.value) == (
        f"'{bottles.parent}' holds 1 set of good and defective images, each in a folder of its own: "
        "'bottles'. Name one of them in the spec's data.path."
    )


@pytest.mark.parametrize("paths", [("cat/0.png", "dog/1.png"), ("test/bad/0.png",), ("a.png",)])
def test_nothing_good_is_an_error(tmp_path: Path, paths: tuple[str, ...]) -> None:
    write_images(tmp_path, *paths)
    assert MvtecFormat().recognise(tmp_path) is None
    with pytest.raises(DataError, match="needs a folder of good images"):
        _read(tmp_path)
    with pytest.raises(DataError, match="needs a folder; "):
        _read(tmp_path / paths[0])
