"""Codes on photographs: found, put into words without harm, and no hindrance where there are none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from automl.quality.rules import score_rules
from automl.quality.rules.base import RuleData, rule_split
from automl.quality.rules.codes import _ASPECTS, Code, Codes, _tabulate, read_codes
from automl.records import RuleBaseline, Split, TaskOptions
from automl.tasks import open_task

Draw = Callable[[str, Iterable[str | None]], Path]
Score = Callable[[Path], dict[str, RuleBaseline]]

QR, CODE_128 = zxingcpp.BarcodeFormat.QRCode, zxingcpp.BarcodeFormat.Code128
IMAGES = 20


@pytest.fixture
def draw(tmp_path: Path, paper_images: Path) -> Draw:
    """Write photographs of paper as images of one class, each with a code on it."""
    photographs = iter(sorted(paper_images.glob("*/*.jpg")))

    def write(label: str, texts: Iterable[str | None], kind: object = QR) -> Path:
        (tmp_path / label).mkdir()
        for number, text in zip(range(IMAGES), texts, strict=False):
            photograph = Image.open(next(photographs)).convert("RGB").resize((360, 270))
            if text is not None:
                code = np.asarray(zxingcpp.create_barcode(text, kind).to_image(scale=3))
                photograph.paste(Image.fromarray(code).convert("RGB"), (20 + number, 30))
            photograph.save(tmp_path / label / f"{number:02d}.jpg", quality=90)
        return tmp_path

    return write


@pytest.fixture
def scored(opened: Callable) -> Score:
    """Score every rule for a folder, which must leave no note; by name."""

    def run(root: Path) -> dict[str, RuleBaseline]:
        _, store = opened(root)
        task = open_task("classification", classes=store.dataset.classes)
        rules, notes = score_rules(store, task, options=TaskOptions(), seconds=60, seed=0)
        assert notes == ()
        return {rule.name: rule for rule in rules}

    return run


def _is_perfect(rule: RuleBaseline) -> bool:
    both = rule.val_scores, rule.test_scores
    return all(scores.values["balanced-accuracy"] == 1.0 and scores.samples > 0 for scores in both)


@pytest.mark.parametrize("kind", [QR, CODE_128, zxingcpp.BarcodeFormat.DataMatrix])
def test_classes_by_what_their_codes_say(draw: Callable, scored: Score, kind: object) -> None:
    draw("bolt", cycle(["A12"]), kind)
    rule = scored(draw("nut", cycle(["B7"]), kind))["codes"]
    assert _is_perfect(rule)
    assert rule.rule in [
        "an image shows the class that stands in its barcode: 'A12' is `bolt`, 'B7' is `nut`; "
        f"with another barcode it is `{other}`, without one `{without}`"
        for other in ("bolt", "nut")
        for without in ("bolt", "nut")
        if other != without
    ] + [
        "an image shows the class that stands in its barcode: 'A12' is `bolt`, 'B7' is `nut`; "
        f"otherwise it is `{label}`"
        for label in ("bolt", "nut")
    ]


def test_many_codes_are_shortened_and_all_classes_named_first(draw: Draw, scored: Score) -> None:
    draw("bolt", cycle(["1A", "1A", "1A", "3A"]))
    draw("nut", cycle(["4B", "2B"]))
    rule = scored(draw("screw", [*["3C"] * 10, *[None] * 10]))["codes"]
    assert _is_perfect(rule)
    words, rest = rule.rule.split("; ")
    assert words in [
        "an image shows the class that stands in its barcode: '1A' is `bolt`, "
        f"'{code}' is `nut`, '3C' is `screw`, …"
        for code in ("4B", "2B")
    ]
    assert rest in (
        "with another barcode it is `bolt`, without one `screw`",
        "with another barcode it is `nut`, without one `screw`",
    )


def test_classes_by_how_serial_numbers_begin(draw: Draw, scored: Score) -> None:
    draw("bolt", (f"7A{number:04d}" for number in range(IMAGES)))
    rule = scored(draw("nut", (f"7B{number:04d}" for number in range(IMAGES))))["codes"]
    assert _is_perfect(rule)
    assert rule.rule.startswith(
        "an image shows the class that stands in the first 2 characters of its barcode: "
        "'7A' is `bolt`, '7B' is `nut`; "
    )


def test_classes_by_the_kind_of_code(draw: Callable, scored: Score) -> None:
    draw("bolt", (str(number) for number in range(100, 100 + IMAGES)), QR)
    rule = scored(draw("nut", (str(n) for n in range(100, 100 + IMAGES)), CODE_128))["codes"]
    assert _is_perfect(rule)
    assert rule.rule.startswith(
        "an image shows the class that the kind of its barcode stands for: "
        "'QR Code' is `bolt`, 'Code 128' is `nut`; "
    )


def test_classes_by_whether_there_is_a_code(draw: Draw, scored: Score) -> None:
    draw("labelled", (f"S{number}" for number in range(IMAGES)))
    rule = scored(draw("bare", cycle([None])))["codes"]
    assert _is_perfect(rule)
    assert rule.rule == "an image with a barcode is `labelled`; otherwise it is `bare`"


def test_codes_that_tell_nothing_of_the_class_are_no_rule(draw: Draw, scored: Score) -> None:
    draw("bolt", cycle(["LOT 5"]))
    assert sorted(scored(draw("nut", cycle(["LOT 5"])))) == ["average-image", "measurement-limits"]


def test_data_without_codes_is_given_up_after_a_few_images(
    draw: Draw, opened: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    read = zxingcpp.read_barcodes
    monkeypatch.setattr(
        zxingcpp,
        "read_barcodes",
        lambda image, **how: looked.append(image.size) or read(image, **how),
    )
    draw("bolt", cycle([None]))
    data, store = opened(draw("nut", cycle([None])))
    task = open_task("classification", classes=data.dataset.classes)
    rules, notes = score_rules(store, task, options=TaskOptions(), seconds=60, seed=0)
    assert [rule.name for rule in rules] == ["measurement-limits", "average-image"]
    assert notes == ()
    assert len(looked) == 16


def test_without_the_library_the_other_rules_are_scored(
    draw: Draw, scored: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    draw("bolt", cycle(["A12"]))
    assert sorted(scored(draw("nut", cycle(["B7"])))) == ["average-image", "measurement-limits"]


def test_whole_frames_are_read_and_few_if_they_are_large(draw: Draw, opened: Callable) -> None:
    draw("bolt", cycle(["A12"]))
    _, store = opened(
        draw("nut", cycle(["B7"])), side=64
    )  # kept small: no code could be read there
    own = store.dataset.indices(Split.TRAIN)
    split = rule_split(store, Split.TRAIN, side=None, most=8, seed=0)
    assert len(split) == 8
    for (frame, truth), index in zip(split, split.indices, strict=True):
        assert index in own
        assert frame.shape == (270, 360, 3)
        assert read_codes(frame) == (Code(("A12", "B7")[truth.label], "QR Code"),)


HOSTILE = {
    "\x1b[31mred\x07": "'\\x1b[31mred\\x07'",
    "line\nbreak": "'line\\nbreak'",
    "A' is `nut`": "'A\\x27 is \\x60nut\\x60'",
    "back\\slash": "'back\\x5cslash'",
    "\u202egnp": "'\\u202egnp'",
    "x" * 500: f"'{'x' * 24}…'",
    "\u200b" * 50: "'\\u200b\\u200b\\u200b\\u200b…'",
    "Schraube ß": "'Schraube ß'",
    "": "''",
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items())
def test_what_a_code_says_cannot_leave_its_quotes(text: str, shown: str) -> None:
    learnt = [(Code(text, "QR Code"),), (Code("B7", "QR Code"),), ()] * 2
    fitted = _tabulate(("bolt", "nut"), _ASPECTS[2], learnt, np.array([0, 1, 1] * 2))
    assert fitted.text == (
        f"an image shows the class that stands in its barcode: {shown} is `bolt`, 'B7' is `nut`; "
        "with another barcode it is `bolt`, without one `nut`"
    )


def test_a_hostile_code_is_read_and_kept_as_one_line(draw: Draw, scored: Score) -> None:
    draw("bolt", cycle(["\x1b]0;title\x07\r\n<script>alert(1)</script>"]))
    rule = scored(draw("nut", cycle(["B7"])))["codes"]
    assert _is_perfect(rule)
    assert "'\\x1b]0;title\\x07\\r\\n<scr…' is `bolt`" in rule.rule
    assert rule.rule.isprintable()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (900, 2, 3), (2600, 2600, 3)])
def test_frames_of_odd_shapes_hold_no_code(shape: tuple[int, int, int]) -> None:
    assert read_codes(np.zeros(shape, np.uint8)) == ()


def test_a_code_in_a_large_photograph_is_read_after_halving() -> None:
    code = np.asarray(zxingcpp.create_barcode("A12", QR).to_image(scale=8))
    frame = np.full((3000, 4000, 3), 180, np.uint8)
    frame[900 : 900 + len(code), 700 : 700 + len(code)] = code[..., None]
    assert read_codes(frame) == (Code("A12", "QR Code"),)


def test_of_several_codes_the_one_that_tells_most_decides() -> None:
    lot, bolt, nut = (Code(text, "QR Code") for text in ("LOT", "A12", "B7"))
    fitted = _tabulate(
        ("bolt", "nut"), _ASPECTS[2], [(lot, bolt), (nut, lot), (lot, bolt)], np.array([0, 1, 0])
    )
    assert fitted.shares((lot, nut)).tolist() == [0.0, 1.0]
    assert fitted.shares((bolt, lot)).tolist() == [1.0, 0.0]
    assert fitted.shares((Code("?", "QR Code"),)).tolist() == pytest.approx([2 / 3, 1 / 3])
    assert fitted.shares(()).tolist() == pytest.approx([2 / 3, 1 / 3])


def test_the_rule_can_be_fitted_by_itself(draw: Draw, opened: Callable) -> None:
    draw("bolt", cycle(["A12"]))
    _, store = opened(draw("nut", cycle(["B7"])))
    train, val = (
        rule_split(store, split, side=None, most=100, seed=0) for split in (Split.TRAIN, Split.VAL)
    )
    fitted = Codes().fit(RuleData(store.dataset.classes, TaskOptions(), train, val, 0))
    assert fitted is not None
    for frame, truth in val:
        assert int(fitted.answer(frame).probabilities.argmax()) == truth.label
