"""Masks of every coding become classes of pixels; bad ones leave their image out, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from truth_makers import HEIGHT, WIDTH, Bench, Compiled, image, mask

from automl.data.annotations import MaskCoding
from automl.data.formats import ReadOptions
from automl.data.orientation import turn_pixels
from automl.data.truth import IGNORED, DefectTruth, MaskTruth

NAMES = ("background", "oxide", "crack")
COLORS = ("#000000", "#ff8000", "#00ff00")
INDEX = MaskCoding("index", NAMES)
BINARY = MaskCoding("binary", ("background", "crack"))

PATTERN = np.zeros((HEIGHT, WIDTH), np.uint8)
PATTERN[2:9, 3:20] = 1
PATTERN[12:15, 5:25] = 2


def _pixels(compiled: Compiled, position: int = 0) -> np.ndarray:
    truth = compiled.of(position)
    assert isinstance(truth, MaskTruth)
    assert truth.pixels.dtype == np.uint8
    return truth.pixels


def _with_mask(
    root: Path, write: Callable[[Path], object], coding: MaskCoding, **options: object
) -> Compiled:
    """Compile an image with the mask that was written, beside one whose mask is good."""
    bench = Bench(root, "mask", ReadOptions("mask", **options))
    bench.classes = NAMES
    bench.builder.mask_file(bench.image(), "masks/a.png", coding, where="")
    bench.builder.mask_file(bench.image("z.png"), "masks/z.png", INDEX, where="")
    mask(root, "masks/z.png", PATTERN)
    (root / "masks").mkdir(exist_ok=True)
    write(root)
    return bench.compiled()


def _colored(root: Path) -> None:
    table = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLORS], np.uint8)
    mask(root, "masks/a.png", table[PATTERN])


@pytest.mark.parametrize(
    ("write", "coding"),
    [
        (lambda root: mask(root, "masks/a.png", PATTERN), INDEX),
        (lambda root: mask(root, "masks/a.png", np.stack([PATTERN] * 3, axis=2)), INDEX),
        (lambda root: mask(root, "masks/a.png", PATTERN, mode="P"), MaskCoding("palette", NAMES)),
        (_colored, MaskCoding("color", NAMES, COLORS)),
        (_colored, MaskCoding("color", NAMES[::-1], COLORS[::-1])),
        (
            lambda root: Image.fromarray(PATTERN.astype(np.uint16)).save(root / "masks/a.png"),
            INDEX,
        ),
    ],
)
def test_every_coding_gives_the_same_classes(
    tmp_path: Path, write: Callable[[Path], object], coding: MaskCoding
) -> None:
    compiled = _with_mask(tmp_path, write, coding)
    assert compiled.truth.classes == NAMES
    np.testing.assert_array_equal(_pixels(compiled), PATTERN)
    assert compiled.messages == []
    counts = compiled.truth.amounts[compiled.truth.amounts["row"] == 0]
    assert counts["amount"].tolist() == np.bincount(PATTERN.ravel()).tolist()


def test_255_is_not_known_and_shows_no_class(tmp_path: Path) -> None:
    unknown = np.where(PATTERN == 2, IGNORED, PATTERN)
    compiled = _with_mask(tmp_path, lambda root: mask(root, "masks/a.png", unknown), INDEX)
    np.testing.assert_array_equal(_pixels(compiled), unknown)
    assert compiled.truth.shown == ((0, 1), (0, 1, 2))


@pytest.mark.parametrize(
    ("write", "coding", "message"),
    [
        (
            lambda root: mask(root, "masks/a.png", PATTERN + 5),
            INDEX,
            "Left out: 1 image with a mask that holds values of no class: 'masks/a.png: 5, 6, 7'.",
        ),
        (
            lambda root: mask(root, "masks/a.png", np.stack([PATTERN * 9, PATTERN, PATTERN], 2)),
            MaskCoding("color", NAMES, COLORS),
            "Left out: 1 image with a mask that holds values of no class: "
            "'masks/a.png: #090101, #120202'.",
        ),
        (
            lambda root: mask(root, "masks/a.png", np.stack([PATTERN * 9, PATTERN, PATTERN], 2)),
            INDEX,
            "Left out: 1 image whose mask is missing or cannot be read: 'masks/a.png (colours, "
            "where one number a pixel is expected)'.",
        ),
        (
            lambda root: mask(root, "masks/a.png", PATTERN[:, :-2]),
            INDEX,
            "Left out: 1 image with a mask of another size: 'masks/a.png: 28 x 20, the image 30 x "
            "20'.",
        ),
        (
            lambda root: mask(root, "masks/a.png", PATTERN.T),
            INDEX,
            "Left out: 1 image with a mask of another size: 'masks/a.png: 20 x 30, the image 30 x "
            "20'.",
        ),
        (
            lambda root: (root / "masks/a.png").write_bytes(b"no image"),
            INDEX,
            "Left out: 1 image whose mask is missing or cannot be read: 'masks/a.png (of no known "
            "format)'.",
        ),
        (
            lambda _root: None,
            INDEX,
            "Left out: 1 image whose mask is missing or cannot be read: 'masks/a.png (No such file "
            "or directory)'.",
        ),
    ],
)
def test_a_bad_mask_leaves_its_image_out(
    tmp_path: Path, write: Callable[[Path], object], coding: MaskCoding, message: str
) -> None:
    compiled = _with_mask(tmp_path, write, coding)
    assert compiled.truth.usable.tolist() == [False, True]
    assert compiled.messages == [message]
    assert compiled.truth.findings[0].severity == "error"
    assert compiled.truth.findings[0].paths == ("a.png",)


def test_classes_that_no_mask_shows_are_passed_over_unless_asked_for(tmp_path: Path) -> None:
    shown = np.where(PATTERN == 1, 0, PATTERN)
    for classes, expected, values in (((), ("background", "crack"), 1), (NAMES, NAMES, 2)):
        root = tmp_path / str(values)
        bench = Bench(root, "mask", ReadOptions("mask", classes=classes))
        bench.builder.mask_file(bench.image(), "masks/a.png", INDEX, where="")
        mask(root, "masks/a.png", shown)
        compiled = bench.compiled()
        assert compiled.truth.classes == expected
        np.testing.assert_array_equal(_pixels(compiled), np.where(shown == 2, values, 0))
    assert compiled.messages == []


def test_classes_that_the_spec_does_not_list_count_as_background(tmp_path: Path) -> None:
    compiled = _with_mask(
        tmp_path, lambda root: mask(root, "masks/a.png", PATTERN), INDEX, classes=("crack",)
    )
    assert compiled.truth.classes == ("background", "crack")
    np.testing.assert_array_equal(_pixels(compiled), PATTERN == 2)
    assert compiled.messages == [
        "Taken as background: pixels of classes that are not among data.classes, in 2 masks: "
        "'oxide'."
    ]


@pytest.mark.parametrize("is_black", [False, True])
@pytest.mark.parametrize("top", [1, 255])
@pytest.mark.parametrize("asked", ["auto", "white", "black"])
def test_the_polarity_of_black_and_white_masks_is_found_or_asked_for(
    tmp_path: Path, is_black: bool, top: int, asked: str
) -> None:
    bench = Bench(tmp_path, "mask", ReadOptions("mask", foreground=asked))
    for name, rows in (("a", slice(4, 9)), ("b", slice(1, 19)), ("c", slice(0, 0))):
        marked = np.zeros((HEIGHT, WIDTH), np.uint8)
        marked[rows, 1:29] = 1
        mask(tmp_path, f"masks/{name}.png", (1 - marked if is_black else marked) * top)
        bench.builder.mask_file(bench.image(f"{name}.png"), f"masks/{name}.png", BINARY, where="")
    compiled = bench.compiled()
    is_object_white = asked == "white" or (asked == "auto" and not is_black)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[4:9, 1:29] = 1
    if is_object_white == is_black:
        expected = 1 - expected
    np.testing.assert_array_equal(_pixels(compiled), expected)
    if asked == "auto":
        colour, share = ("black", "100%") if is_black else ("white", "0%")
        assert compiled.messages == [
            f"Objects are taken to be {colour} in 3 black-and-white masks: {share} of their border "
            "pixels are white.",
            "1 image with no object on it: 'c.png': it teaches what not to find.",
        ]
        other = "white" if is_black else "black"
        remedy = f"If they are {other}, set data.foreground to '{other}'."
        assert compiled.findings["mask-polarity"].remedy == remedy


def test_gray_in_a_black_and_white_mask_is_noted(tmp_path: Path) -> None:
    soft = np.where(PATTERN == 1, 200, np.where(PATTERN == 2, 100, 0))
    soft[3, 5] = 255
    compiled = _with_mask(tmp_path, lambda root: mask(root, "masks/a.png", soft), BINARY)
    assert compiled.messages[1] == (
        "Taken as white from half gray on: 1 mask with gray values where black and white are "
        "expected: 'a.png'."
    )
    crack = compiled.truth.classes.index("crack")
    np.testing.assert_array_equal(_pixels(compiled) == crack, PATTERN == 1)


def test_later_outlines_lie_over_earlier_ones_and_ignored_ones_are_not_known(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, "mask")
    number = bench.image()
    bench.image("empty.png")
    add = bench.builder.polygon
    add(number, "a", [2, 2, 12, 2, 12, 12, 2, 12], where="")
    add(number, "b", [6, 6, 16, 6, 16, 16, 6, 16], where="")
    add(number, "a", [0.9, 0.1, 1, 0.1, 1, 0.2, 0.9, 0.2], where="", relative=True)
    add(number, "b", [20, 10, 24, 10, 24, 14, 20, 14], where="", ignored=True)
    bench.builder.rings(
        number, "b", [[0, 16, 2, 16, 2, 18, 0, 18], [4, 16, 5, 16, 5, 18, 4, 18]], where=""
    )
    compiled = bench.compiled()
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[2:12, 2:12] = 1
    expected[6:16, 6:16] = 2
    expected[2:4, 27:30] = 1
    expected[10:14, 20:24] = IGNORED
    expected[16:18, 0:2] = expected[16:18, 4:5] = 2
    np.testing.assert_array_equal(_pixels(compiled, 0), expected)
    np.testing.assert_array_equal(_pixels(compiled, 1), np.zeros_like(expected))
    assert compiled.truth.classes == ("background", "a", "b")
    assert compiled.messages == [
        "1 image with no object on it: 'empty.png': it teaches what not to find."
    ]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([1, 1, 5, 5], "Left out: 1 outline of fewer than three points: 'a.png'."),
        ([40, 1, 50, 1, 50, 9], "Left out: 1 object wholly outside the image: 'a.png'."),
        (
            [3.6, 1, 3.9, 1, 3.9, 9],
            "Left out: 1 object less than one pixel wide or high: 'a.png'.",
        ),
        ([-9, 1, 9, 1, 9, 9], "Cut at the edge: 1 object that reaches beyond the image: 'a.png'."),
        (
            [10, 10, 15, 10, 15, 15, 10, 15],
            "Counted once: 1 object drawn again at the same place with the same class: 'a.png'.",
        ),
    ],
)
def test_an_outline_that_cannot_be_drawn_whole_is_counted(
    tmp_path: Path, points: list[float], message: str
) -> None:
    bench = Bench(tmp_path, "mask")
    number = bench.image()
    bench.builder.polygon(number, "a", [10, 10, 15, 10, 15, 15, 10, 15], where="")
    bench.builder.polygon(number, "a", points, where="")
    assert bench.compiled().messages == [message]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_of_the_stored_image_is_turned_with_it(tmp_path: Path, orientation: int) -> None:
    bench = Bench(tmp_path, "mask")
    bench.classes = NAMES
    bench.builder.mask_file(
        bench.image("a.jpg", orientation=orientation), "masks/a.png", INDEX, where=""
    )
    mask(tmp_path, "masks/a.png", PATTERN)
    compiled = bench.compiled()
    np.testing.assert_array_equal(_pixels(compiled), turn_pixels(PATTERN, orientation))
    assert [found.rule for found in compiled.truth.findings] == ["stored-orientation"]


def _defects(root: Path, *, masks: dict[str, np.ndarray | None]) -> Compiled:
    bench = Bench(root, "defect")
    for path, pixels in masks.items():
        number = bench.image(path)
        name = None if pixels is None else f"truth/{path}"
        bench.builder.defect(number, path.startswith("bad"), name, where="")
        if name is not None and pixels is not None:
            mask(root, name, pixels)
    return bench.compiled()


def test_defects_have_masks_good_images_none_and_contradictions_are_named(tmp_path: Path) -> None:
    spot = (PATTERN == 1) * np.uint8(255)
    compiled = _defects(
        tmp_path,
        masks={
            "bad/1.png": spot,
            "bad/2.png": None,
            "bad/3.png": spot * 0,
            "good/1.png": None,
            "good/2.png": spot * 0,
            "good/3.png": spot,
        },
    )
    assert compiled.truth.usable.tolist() == [True] * 5 + [False]
    assert compiled.truth.shown == ((1,), (1,), (1,), (0,), (0,), (0,))
    truths = [truth for i in range(5) if isinstance(truth := compiled.of(i), DefectTruth)]
    found = [(t.label, None if t.mask is None else int(t.mask.sum())) for t in truths]
    assert found == [(1, int((PATTERN == 1).sum())), (1, None), (1, None), (0, 0), (0, 0)]
    assert compiled.messages == [
        "Objects are taken to be white in 4 black-and-white masks: 0% of their border pixels are "
        "white.",
        "Left out: 1 image that counts as good, but whose mask shows a defect: 'good/3.png'.",
        "Taken as a defect of unknown place: 1 image that shows a defect, but whose mask is empty: "
        "'bad/3.png'.",
    ]


def test_where_no_defect_has_a_mask_nothing_is_known_of_places(tmp_path: Path) -> None:
    compiled = _defects(tmp_path, masks={"bad/1.png": None, "good/1.png": None})
    assert [compiled.of(i) for i in range(2)] == [DefectTruth(1, None), DefectTruth(0, None)]
    assert compiled.truth.findings == ()


def test_findings_do_not_depend_on_which_thread_was_faster(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "mask")
    for number in range(40):
        image(tmp_path, f"{number:02d}.png")
        found = bench.builder.image(f"{number:02d}.png")
        assert found is not None
        bench.builder.mask_file(found, f"masks/{number:02d}.png", INDEX, where="")
        mask(tmp_path, f"masks/{number:02d}.png", PATTERN + (9 if number % 7 == 3 else 0))
    compiled = bench.compiled()
    finding = compiled.findings["unknown-mask-value"]
    assert finding.paths == tuple(f"{number:02d}.png" for number in range(3, 40, 7))
    assert np.flatnonzero(~compiled.truth.usable).tolist() == list(range(3, 40, 7))
