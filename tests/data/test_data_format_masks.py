"""Mask folders: layouts, pairs, codings, lists of classes, and what has no partner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from annotation_makers import splits_of, told, write_images, write_text
from PIL import Image, ImageFilter

from automl.data.annotations import MaskCoding
from automl.data.formats import Listing, ReadOptions, choose
from automl.data.formats.class_lists import read_class_list
from automl.data.formats.masks import MasksFormat
from automl.errors import DataError
from automl.records import Split


def _read(root: Path, **options: object) -> Listing:
    return MasksFormat().read(root, options=ReadOptions("mask", **options))  # type: ignore[arg-type]


def _mask(*values: int | tuple[int, int, int]) -> Image.Image:
    """A mask of 30 x 40 with a stripe of each value."""
    cells = np.array(values, np.uint8)
    return Image.fromarray(np.repeat(np.resize(cells, (40, *cells.shape[1:]))[None], 30, axis=0))


def _palette(*values: int) -> Image.Image:
    mask = Image.fromarray(np.asarray(_mask(*values)))
    mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    return mask


def _save(root: Path, path: str, mask: Image.Image) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    mask.save(root / path)


def _pairs(listing: Listing) -> dict[str, str | None]:
    assert listing.annotations is not None
    masks = listing.annotations.masks
    return {one.path: mask for one, mask in zip(listing.samples, masks, strict=True)}


def _coding(listing: Listing) -> MaskCoding:
    assert listing.annotations is not None
    (coding,) = listing.annotations.codings
    return coding


LAYOUTS: list[tuple[Mapping[str, str], str]] = [
    (
        {"images/a.jpg": "masks/a.png", "images/x/b.jpg": "masks/x/b.png"},
        "'images' holds images and 'masks' masks of the same names",
    ),
    (
        {"img/a.jpg": "label/a_mask.png", "img/b.jpg": "label/b_gt.png"},
        "'img' holds images and 'label' masks of the same names",
    ),
    (
        {"images/train/a.jpg": "annotations/a.png", "images/val/b.jpg": "annotations/b.png"},
        "'images' holds images and 'annotations' masks of the same names",
    ),
    (
        {
            "JPEGImages/a.jpg": "SegmentationClass/a.png",
            "JPEGImages/b.jpg": "SegmentationClass/b.png",
        },
        "'JPEGImages' holds images and 'SegmentationClass' masks of the same names",
    ),
    (
        {"imgs/A.JPG": "gt/a.PNG", "imgs/b_sat.jpg": "gt/b_mask.png"},
        "'imgs' holds images and 'gt' masks of the same names",
    ),
    (
        {"train/images/a.jpg": "train/masks/a.png", "test/images/b.jpg": "test/masks/b.png"},
        "'test/images' holds images and 'test/masks' masks of the same names",
    ),
    (
        {"train/a.jpg": "trainannot/a.png", "val/b.jpg": "valannot/b.png"},
        "'train' holds images and 'trainannot' masks of the same names",
    ),
    (
        {"one/a.tif": "one/a_mask.tif", "two/b.tif": "two/b_mask.tif"},
        "'one/a_mask.tif' is a mask beside its image",
    ),
]


@pytest.mark.parametrize(("pairs", "reason"), LAYOUTS, ids=[str(i) for i in range(len(LAYOUTS))])
def test_each_image_gets_its_mask(tmp_path: Path, pairs: Mapping[str, str], reason: str) -> None:
    for image, mask in pairs.items():
        write_images(tmp_path, image)
        _save(tmp_path, mask, _mask(0, 1, 2))
    form, why = choose(tmp_path, "auto", truth="mask")
    assert (form.name, why) == ("masks", reason)
    listing = _read(tmp_path)
    assert _pairs(listing) == dict(sorted(pairs.items()))
    assert set(told(listing)) == {"unnamed-classes"}
    assert listing.files_seen == 2


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (("images/train/a.jpg", "images/test/b.jpg"), (Split.TEST, Split.TRAIN)),
        (("images/train/a.jpg", "images/train/b.jpg"), (None, None)),  # nothing to divide
    ],
)
def test_folders_of_splits_are_the_data_s_own_split(
    tmp_path: Path, images: tuple[str, str], expected: tuple[Split | None, Split | None]
) -> None:
    for image in images:
        write_images(tmp_path, image)
        _save(tmp_path, image.replace("images", "masks").replace(".jpg", ".png"), _mask(0, 1))
    assert tuple(splits_of(_read(tmp_path)).values()) == expected


def test_lists_of_pascal_voc_are_its_split(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(tmp_path, f"JPEGImages/{name}.jpg")
        _save(tmp_path, f"SegmentationClass/{name}.png", _palette(0, 1))
    write_text(tmp_path, "ImageSets/Segmentation/train.txt", "a\r\n")
    write_text(tmp_path, "ImageSets/Segmentation/val.txt", "b\r\n")
    listing = _read(tmp_path)
    assert list(splits_of(listing).values()) == [Split.TRAIN, Split.VAL]
    assert "ignored-file" not in told(listing)


def _one(root: Path, mask: Image.Image, suffix: str = ".png") -> Path:
    write_images(root, "images/a.jpg")
    _save(root, f"masks/a{suffix}", mask)
    return root


RED, GREEN = (255, 0, 0), (0, 255, 0)
NAMES = ("background", "object")
CODINGS = [
    (_mask(0, 1, 2, 255), {}, MaskCoding("index", ("class 0", "class 1", "class 2"))),
    (_palette(0, 2), {}, MaskCoding("palette", ("class 0", "class 1", "class 2"))),
    (_mask(0, 1), {"classes": ("wall", "door")}, MaskCoding("index", ("wall", "door"))),
    (_mask(0, 255), {}, MaskCoding("binary", NAMES)),
    (_mask(0, 255).convert("1"), {}, MaskCoding("binary", NAMES)),
    (_mask(0, 255).convert("RGB"), {}, MaskCoding("binary", NAMES)),
    (_mask(0), {"foreground": "white"}, MaskCoding("binary", NAMES, polarity="white")),
    (_mask(0, 255), {"foreground": "black"}, MaskCoding("binary", NAMES, polarity="black")),
    (_mask(0, 1), {"foreground": "white"}, MaskCoding("binary", NAMES, polarity="white")),
    (_mask(0, 255), {"classes": ("crack",)}, MaskCoding("binary", ("background", "crack"))),
    (_mask(0, 255), {"classes": ("a", "b", "c")}, MaskCoding("index", ("a", "b", "c"))),
    (
        _mask(RED, GREEN),
        {"colors": {"rust": "#FF0000", "moss": "00ff00"}, "classes": ("moss", "rust")},
        MaskCoding("color", ("rust", "moss"), ("#ff0000", "#00ff00")),
    ),
    (
        _mask(0, 128),
        {"colors": {"rust": "#808080", "rest": "#000000"}},
        MaskCoding("color", ("rust", "rest"), ("#808080", "#000000")),
    ),
]


@pytest.mark.parametrize(
    ("mask", "options", "expected"), CODINGS, ids=[str(i) for i in range(len(CODINGS))]
)
def test_the_coding_is_found_by_looking_at_masks(
    tmp_path: Path, mask: Image.Image, options: dict[str, object], expected: MaskCoding
) -> None:
    assert _coding(_read(_one(tmp_path, mask), **options)) == expected


def test_blurred_black_and_white_is_black_and_white(tmp_path: Path) -> None:
    dot = Image.fromarray(np.kron(np.eye(2, dtype=np.uint8) * 255, np.ones((64, 64), np.uint8)))
    for suffix, mask in ((".jpg", dot), (".png", dot.filter(ImageFilter.GaussianBlur(1)))):
        root = tmp_path / suffix[1:]
        assert _coding(_read(_one(root, mask, suffix))) == MaskCoding("binary", NAMES)


LISTS = [
    ("classes.txt", "wall\ndoor\n", ("wall", "door"), ()),
    ("classes.txt", "\ufeffwall\r\ndoor\r\n\r\n", ("wall", "door"), ()),
    (
        "class_dict.csv",
        "name,r,g,b\nwall,0,0,0\ndoor,128,0,0\n",
        ("wall", "door"),
        ("#000000", "#800000"),
    ),
    (
        "label_colors.txt",
        "wall 0 0 0\nopen door\t128 0 0\n",
        ("wall", "open door"),
        ("#000000", "#800000"),
    ),
    (
        "labelmap.txt",
        "# label:color_rgb:parts:actions\nwall:0,0,0::\ndoor:128,0,0::\n",
        ("wall", "door"),
        ("#000000", "#800000"),
    ),
    ("colormap.csv", "wall,#000000\ndoor,#800000\n", ("wall", "door"), ("#000000", "#800000")),
]


@pytest.mark.parametrize(
    ("name", "content", "names", "colors"), LISTS, ids=[one[0] for one in LISTS]
)
def test_a_list_of_classes_names_them(
    tmp_path: Path, name: str, content: str, names: tuple[str, ...], colors: tuple[str, ...]
) -> None:
    write_text(tmp_path, name, content)
    mask = _mask((0, 0, 0), (128, 0, 0)) if colors else _mask(0, 1)
    listing = _read(_one(tmp_path, mask))
    assert _coding(listing) == MaskCoding("color" if colors else "index", names, colors)
    assert (listing.classes, listing.findings) == (names, ())


BAD_LISTS = [
    ("wall\nwall\n", r"classes\.txt, line 2: the class 'wall' is named twice\. Name each once\.$"),
    (
        "wall,0,0,300\n",
        r"line 1: '0,0,300' is no colour\. Write '#rrggbb', or r,g,b from 0 to 255\.$",
    ),
    ("\n", r"names no class\. Write one a line, or remove the file\.$"),
    (
        "wall,0,0,0\ndoor\n",
        r"gives 1 colour for 2 classes\. Give each class a colour \(name,r,g,b\), or none\.$",
    ),
    (b"caf\xe9\n", r"is not UTF-8 text\. Save it as UTF-8\.$"),
]


@pytest.mark.parametrize(("content", "message"), BAD_LISTS)
def test_a_bad_list_of_classes_is_an_error(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    write_text(tmp_path, "classes.txt", content)
    with pytest.raises(DataError, match=message):
        read_class_list([tmp_path])


UNKNOWN = [
    (
        _mask(RED, GREEN),
        "The masks in 'masks' are coloured ('#00ff00', '#ff0000'), and nothing says which class each "
        "colour is. Name them in the spec's data.colors (crack: '#ff0000'), or in a file "
        "class_dict.csv beside the masks with the columns name,r,g,b.",
    ),
    (
        _mask(0, 128, 255),
        "The masks in 'masks' have the values 0, 128, which look like shades of gray, not like "
        "numbers of classes. Name the class of each in the spec's data.colors (0: '#000000', 128: "
        "'#808080'), or list the classes by number in classes.txt.",
    ),
]


@pytest.mark.parametrize(("mask", "message"), UNKNOWN, ids=["colours", "grays"])
def test_masks_that_nobody_explains_are_an_error(
    tmp_path: Path, mask: Image.Image, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        _read(_one(tmp_path, mask))
    assert str(caught.value) == message


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg", "stray.jpg")
    for path in ("masks/a.png", "masks/a.bmp", "masks/c.png", "masks/d.png"):
        _save(tmp_path, path, _mask(0, 1))
    write_text(tmp_path, "classes.txt", "wall\ndoor\n")
    write_text(tmp_path, "masks/notes.txt", "x")
    listing = _read(tmp_path)
    assert _pairs(listing) == {"images/a.jpg": "masks/a.bmp", "images/c.jpg": "masks/c.png"}
    assert told(listing) == {
        "ignored-file": "Ignored: 1 file with a name that is not an image's: 'masks/notes.txt'.",
        "missing-image": "Left out: 1 entry for which there is no image: 'masks/d.png'.",
        "duplicate-entry": "Counted once: 1 entry that describes an image again: 'masks/a.png'.",
        "unannotated-image": "Left out: 1 image that no annotation speaks of: 'images/b.jpg'.",
    }
    assert listing.files_seen == 3
    background = _read(tmp_path, unannotated="background")
    assert _pairs(background)["images/b.jpg"] is None


def test_masks_of_the_same_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    write_images(tmp_path, "images/x/1.jpg", "images/y/1.jpg", "images/z/1.jpg")
    for path in ("masks/x/1.png", "masks/y/1.png"):
        _save(tmp_path, path, _mask(0, 1))
    listing = _read(tmp_path)
    assert _pairs(listing) == {"images/x/1.jpg": "masks/x/1.png", "images/y/1.jpg": "masks/y/1.png"}
    assert told(listing)["unannotated-image"].endswith("'images/z/1.jpg'.")


def test_classes_without_names_are_told_with_how_many_masks_were_looked_at(tmp_path: Path) -> None:
    for at in range(60):
        write_images(tmp_path, f"images/{at}.jpg")
        _save(tmp_path, f"masks/{at}.png", _mask(0, at % 3))
    assert told(_read(tmp_path))["unnamed-classes"] == (
        "Named after their numbers: 3 classes of the masks in 'masks', whose values are 0, 1, 2 (50 "
        "of 60 masks were looked at)."
    )


def test_a_folder_without_masks_is_not_taken_for_them(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg")
    write_text(tmp_path, "labels/a.txt", "0 0.5 0.5 1 1")
    assert MasksFormat().recognise(tmp_path) is None
    with pytest.raises(DataError, match="needs a folder of images and one of masks"):
        _read(tmp_path)
