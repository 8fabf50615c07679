"""Data sets with boxes, masks and defects are divided, counted and judged as those with labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from annotation_makers import voc_object, voc_xml, write_images, write_text
from PIL import Image

from automl.data import prepare
from automl.data.frames import FrameStore
from automl.data.split import Item, divide, divide_defects
from automl.data.truth import BoxTruth
from automl.errors import DataError
from automl.records import DataSpec, PreparedData, Split, SplitSpec, TruthKind

SPEC = SplitSpec(val=0.15, test=0.2, group=None, seed=0)
BOX = (3, 4, 20, 25)


def _prepared(
    root: Path, kind: TruthKind, *, classes: Sequence[str] = (), group: str | None = None
) -> PreparedData:
    split = SplitSpec(SPEC.val, SPEC.test, group, SPEC.seed)
    spec = DataSpec(str(root), "auto", tuple(classes), split, 10**9)
    return prepare(spec, truth=kind, stored_side=64)


def _voc(root: Path, name: str, *objects: str) -> None:
    write_images(root, f"{name}.png")
    write_text(root, f"{name}.xml", voc_xml(f"{name}.png", *objects))


def _boxes(root: Path, *, images: int = 60, rare: int = 10) -> None:
    for number in range(images):
        objects = [voc_object("screw", (3 + number % 5, 4, 20, 25))] * (number % 10 != 9)
        objects += [voc_object("nut", (8, 9, 30, 20))] * (number < rare)
        _voc(root, f"{number:03d}", *objects)


def _picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(cells).resize((40, 30)).save(path)


def _mvtec(root: Path, *, train: int, test: int, defects: int, in_train: int = 0) -> None:
    numbers = iter(range(10_000))
    for folder, count in (("train/good", train), ("test/good", test), ("test/hole", defects)):
        for number in range(count):
            _picture(root / folder / f"{number:03d}.png", next(numbers))
    for number in range(in_train):
        _picture(root / "train/scratch" / f"{number:03d}.png", next(numbers))


def test_boxes_are_divided_by_the_classes_that_images_show(tmp_path: Path) -> None:
    _boxes(tmp_path)
    data = _prepared(tmp_path, "boxes")
    dataset, audit = data.dataset, data.audit
    assert (dataset.truth_kind, dataset.classes) == ("boxes", ("nut", "screw"))
    assert audit.format == "voc"
    shown = Counter(
        (sample.split, label) for sample in dataset.samples for label in sample.classes or (-1,)
    )
    expected = {(Split.VAL, 0): 1.5, (Split.TEST, 0): 2, (Split.VAL, 1): 8, (Split.TEST, 1): 11}
    for key, number in {**expected, (Split.VAL, -1): 0.8, (Split.TEST, -1): 1}.items():
        assert shown[key] == pytest.approx(number, abs=1.01)
    assert sum(one.objects[0] for one in audit.counts) == 10
    assert sum(one.objects[1] for one in audit.counts) == 54
    assert {found.rule: found.message for found in audit.findings} == {
        "small-class": "The class 'nut' has only 10 objects; below 20 a class is hard to learn and "
        "its test result is mostly chance.",
        "class-imbalance": "The class 'screw' has 5.4 times as many objects as 'nut' (54 against "
        "10).",
        "background-image": "5 images with no object on them: '019.png', '029.png', '039.png' and "
        "2 more: they teach what not to find.",
    }
    truth = FrameStore(dataset).truth(dataset.indices(Split.TEST)[0])
    assert isinstance(truth, BoxTruth)
    assert len(truth.corners) == len(truth.labels)


def test_the_fingerprint_tells_truths_apart_and_forgets_names_of_files(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        _boxes(tmp_path / name, images=30)
    _voc(tmp_path / "other", "000", voc_object("nut", (8, 9, 29, 20)), voc_object("screw", BOX))
    one, two, other = (_prepared(tmp_path / name, "boxes") for name in ("one", "two", "other"))
    assert one.dataset.fingerprint == two.dataset.fingerprint
    assert one.dataset.fingerprint != other.dataset.fingerprint


def test_copies_annotated_differently_are_left_out(tmp_path: Path) -> None:
    _boxes(tmp_path, images=30)
    for name, right in (("a", 20), ("b", 21), ("c", 20)):
        _voc(tmp_path, name, voc_object("screw", (3, 4, right, 25)))
        (tmp_path / f"{name}.png").write_bytes((tmp_path / "000.png").read_bytes())
    data = _prepared(tmp_path, "boxes")
    found = {finding.rule: finding for finding in data.audit.findings}["conflicting-annotations"]
    assert found.message == (
        "Left out: 4 files with the same content, annotated differently, since nobody can tell "
        "which is right: '000.png', 'a.png', 'b.png' and 1 more."
    )
    assert len(data.dataset.samples) == 29


def test_masks_are_divided_counted_and_judged_by_pixels(tmp_path: Path) -> None:
    for number in range(24):
        _picture(tmp_path / f"images/{number:02d}.png", number)
        pixels = np.zeros((30, 40), np.uint8)
        pixels[:2, : 2 + number % 3] = 1
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"masks/{number:02d}.png")
    (tmp_path / "classes.txt").write_text("background\ncrack\nhole\n")
    data = _prepared(tmp_path, "mask")
    assert data.dataset.classes == ("background", "crack")
    assert [sum(one.per_class) for one in data.audit.counts] == [
        2 * len(data.dataset.indices(split)) for split in Split
    ]
    assert sum(one.objects[1] for one in data.audit.counts) == 2 * 3 * 24
    found = {finding.rule: finding for finding in data.audit.findings}
    assert found["class-imbalance"].severity == "info"
    assert found["class-imbalance"].message == (
        "The class 'background' has 199.0 times as many pixels as 'crack' (28,656 against 144)."
    )
    assert found["unused-class"].message.startswith("Passed over: 1 class of which")


def test_val_is_drawn_from_good_training_images_and_the_test_kept(tmp_path: Path) -> None:
    _mvtec(tmp_path, train=30, test=5, defects=6)
    data = _prepared(tmp_path, "defect")
    counts = {one.split: one.per_class for one in data.audit.counts}
    assert counts[Split.TEST] == (5, 6)
    assert counts[Split.TRAIN][1] == counts[Split.VAL][1] == 0
    assert counts[Split.TRAIN][0] + counts[Split.VAL][0] == 30
    assert 3 <= counts[Split.VAL][0] <= 8
    assert all(one.objects == () for one in data.audit.counts)
    assert {sample.classes for sample in data.dataset.samples} == {(0,), (1,)}


def test_good_images_alone_are_enough_and_what_is_missing_is_said(tmp_path: Path) -> None:
    _mvtec(tmp_path, train=25, test=0, defects=0)
    data = _prepared(tmp_path, "defect")
    assert data.dataset.classes == ("good", "defect")
    counts = {one.split: one.per_class for one in data.audit.counts}
    assert all(number[0] > 0 and number[1] == 0 for number in counts.values())
    messages = {found.rule: found.message for found in data.audit.findings}
    assert messages["no-defect"] == (
        "The test split has no image with a defect, so nothing is known of how well defects are "
        "found; only false alarms can be counted."
    )
    assert messages["small-class"].endswith(
        "good images to learn from; below 20 what is normal is hardly known, and good parts will be "
        "called defective."
    )


def test_defects_among_the_training_images_are_moved_to_the_test(tmp_path: Path) -> None:
    _mvtec(tmp_path, train=30, test=5, defects=6, in_train=3)
    data = _prepared(tmp_path, "defect")
    counts = {one.split: one.per_class for one in data.audit.counts}
    assert (counts[Split.TEST], counts[Split.TRAIN][1]) == ((5, 9), 0)
    found = {finding.rule: finding for finding in data.audit.findings}["defect-in-train"]
    assert found.message == (
        "Moved to the test split: 3 images with a defect among the training images, since only good "
        "parts are learnt from: 'train/scratch/000.png', 'train/scratch/001.png', "
        "'train/scratch/002.png'."
    )


def _items(*rows: tuple[int, str, Split | None]) -> list[Item]:
    return [Item((label,), unit, own) for label, unit, own in rows]


def test_defects_never_train_wherever_they_come_from() -> None:
    drawn = _items(*[(int(i % 4 == 0), f"u{i // 2}", None) for i in range(80)])
    splits = divide_defects(drawn, SPEC)
    assert Split.TRAIN in splits
    for item, split in zip(drawn, splits, strict=True):
        assert split is not Split.TRAIN or item.classes == (0,)
    by_unit: dict[str, set[Split]] = {}
    for item, split in zip(drawn, splits, strict=True):
        by_unit.setdefault(item.unit, set()).add(split)
    assert all(len(found) == 1 for found in by_unit.values())
    defects = [s for item, s in zip(drawn, splits, strict=True) if item.classes == (1,)]
    assert Counter(defects) == {Split.VAL: 9, Split.TEST: 11}

    own = _items(
        *[(0, f"g{i}", Split.TRAIN) for i in range(20)],
        (1, "d0", Split.TRAIN),
        (1, "d1", None),
        (1, "d2", Split.VAL),
        (1, "d3", Split.TEST),
        (0, "t0", Split.TEST),
    )
    assert divide_defects(own, SPEC)[20:] == [
        Split.TEST, Split.TEST, Split.VAL, Split.TEST, Split.TEST,
    ]  # fmt: skip


def test_images_that_show_several_classes_are_stratified_by_each() -> None:
    dice = np.random.default_rng(1)
    shares = (0.9, 0.3, 0.05)
    items = [
        Item(tuple(np.flatnonzero(dice.random(3) < shares).tolist()), str(i), None)
        for i in range(600)
    ]
    splits = divide(items, SPEC)
    for label in (0, 1, 2, None):
        where = [
            split
            for item, split in zip(items, splits, strict=True)
            if (label in item.classes if label is not None else not item.classes)
        ]
        assert Counter(where)[Split.VAL] == pytest.approx(0.15 * len(where), abs=1.5)
        assert Counter(where)[Split.TEST] == pytest.approx(0.2 * len(where), abs=1.5)


def _background_alone(root: Path) -> None:
    for number in range(12):
        _voc(root, f"{number:03d}", *[voc_object("nut", (900, 9, 999, 20))])


def _few_objects(root: Path) -> None:
    for number in range(12):
        _voc(root, f"{number:03d}", *[voc_object("nut", BOX)] * (number < 2))


def _one_class(root: Path) -> None:
    for number in range(12):
        _picture(root / f"images/{number:02d}.png", number)
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((30, 40), np.uint8)).save(root / f"masks/{number:02d}.png")
    (root / "classes.txt").write_text("background\ncrack\n")


def _bad_masks(root: Path) -> None:
    _one_class(root)
    for file in (root / "masks").iterdir():
        file.write_bytes(b"no mask")


@pytest.mark.parametrize(
    ("arrange", "kind", "classes", "message"),
    [
        (
            _background_alone,
            "boxes",
            (),
            "No object is left to be found. Draw boxes around the objects, or name other classes in "
            "data.classes.",
        ),
        (
            _background_alone,
            "boxes",
            ("nut",),
            "No image of the class 'nut' can be used: every one is damaged, or its annotation cannot "
            "be used. Replace them, or leave the class out of data.classes.",
        ),
        (
            _few_objects,
            "boxes",
            (),
            "No image of the test split shows any object. Add images that do (at least three a "
            "class), or raise data.split.test.",
        ),
        (
            _one_class,
            "mask",
            (),
            "Masks need at least two classes, such as background and object; only 'background' was "
            "found. Check the masks, or name the class of each value.",
        ),
        (
            _bad_masks,
            "mask",
            (),
            "No image in '{root}' can be used. Left out: 12 images whose mask is missing or cannot be "
            "read: 'masks/00.png (of no known format)', 'masks/01.png (of no known format)', "
            "'masks/02.png (of no known format)' and 9 more.",
        ),
    ],
)
def test_data_from_which_nothing_can_be_learnt_is_refused(
    tmp_path: Path,
    arrange: Callable[[Path], None],
    kind: TruthKind,
    classes: tuple[str, ...],
    message: str,
) -> None:
    arrange(tmp_path)
    with pytest.raises(DataError) as caught:
        _prepared(tmp_path, kind, classes=classes)
    assert str(caught.value) == message.format(root=tmp_path)


def test_a_second_look_reads_no_annotation_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _one_class(tmp_path)
    for number in range(12):
        pixels = np.zeros((30, 40), np.uint8)
        pixels[number, 3:30] = 1
        Image.fromarray(pixels).save(tmp_path / f"masks/{number:02d}.png")
    first = _prepared(tmp_path, "mask")

    def refuse(*_: object) -> bytes:
        raise AssertionError("a mask was read again")

    monkeypatch.setattr("automl.data.truth_masks.read_source", refuse)
    again = _prepared(tmp_path, "mask")
    assert again.dataset == first.dataset
    assert again.audit.findings == first.audit.findings
