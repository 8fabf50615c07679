"""Rules planted in images: each is found, put into words, and scored as a model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from automl.quality.rules import RULES, score_rules
from automl.quality.rules.measurements import MEASUREMENTS, measure, otsu_level
from automl.quality.rules.trees import fit_tree, tree_words
from automl.records import RuleBaseline, TaskOptions, TruthKind
from automl.tasks import open_task

Score = Callable[..., dict[str, RuleBaseline]]


@pytest.fixture
def scored(opened: Callable) -> Score:
    """Score every rule for a folder; by name."""

    def run(root: Path, task: str, truth: TruthKind) -> dict[str, RuleBaseline]:
        _, store = opened(root, truth=truth)
        options = TaskOptions(max_false_alarm=0.05)
        opened_task = open_task(task, classes=store.dataset.classes, options=options)
        rules, notes = score_rules(store, opened_task, options=options, seconds=60, seed=0)
        assert notes == ()
        return {rule.name: rule for rule in rules}

    return run


def test_every_rule_has_a_name_of_its_own() -> None:
    names = [rule.name for rules in RULES.values() for rule in rules]
    assert len(names) == len(set(names))


def test_a_planted_limit_on_brightness_is_found_and_worded(
    by_brightness: Path, scored: Score
) -> None:
    rule = scored(by_brightness, "classification", "label")["measurement-limits"]
    assert rule.test_scores.values["balanced-accuracy"] == 1.0
    assert rule.val_scores.samples == 12
    # Mean brightness or a share of dark pixels decide alike: the first in the table wins no tie.
    words = rule.rule.replace("`", "")
    assert words.startswith("an image is ")
    assert "; otherwise it is " in words
    assert any(one.name in words for one in MEASUREMENTS)


def test_a_planted_shape_is_found_by_alignment(tmp_path: Path, scored: Score) -> None:
    generator = np.random.default_rng(0)
    for label, box in {"left": (4, 4, 20, 60), "right": (44, 4, 60, 60)}.items():
        (tmp_path / label).mkdir()
        for number in range(30):
            pixels = generator.integers(0, 120, (64, 64, 3), np.uint8)
            image = Image.fromarray(pixels)
            ImageDraw.Draw(image).rectangle(box, fill=(200, 200, 200))
            image.save(tmp_path / label / f"{number}.png")
    rule = scored(tmp_path, "classification", "label")["average-image"]
    assert rule.test_scores.values["balanced-accuracy"] == 1.0
    assert rule.rule.startswith("an image belongs to the class whose average image it resembles")


def test_a_planted_spot_is_found_without_any_defect_to_learn_from(
    tmp_path: Path, scored: Score
) -> None:
    generator = np.random.default_rng(0)
    for folder, count in {"train/good": 30, "test/good": 8, "test/spot": 8}.items():
        (tmp_path / folder).mkdir(parents=True)
        for number in range(count):
            pixels = generator.normal(150, 8, (64, 64, 3)).clip(0, 255).astype(np.uint8)
            if "spot" in folder:
                pixels[20:26, 30:36] = 40
            Image.fromarray(pixels).save(tmp_path / folder / f"{number:02d}.png")
    rules = scored(tmp_path, "anomaly", "defect")
    assert rules["standing-out"].test_scores.values["image-auroc"] == 1.0
    assert rules["standing-out"].test_scores.values["detection-rate"] == 1.0
    assert rules["standing-out"].rule.startswith(
        "an image shows a defect when the brightness of some spot (smoothed over about 2 pixels) "
        "differs from the image's median by more than "
    )
    assert rules["unusual-measurements"].test_scores.values["image-auroc"] >= 0.9


def test_planted_gray_levels_segment_an_image(tmp_path: Path, scored: Score) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(15):
        mask = np.zeros((64, 64), np.uint8)
        row, column = generator.integers(4, 40, 2)
        mask[row : row + 18, column : column + 18] = 1
        levels = np.where(mask == 1, 70, 170)
        pixels = generator.normal(levels[..., None], 6, (64, 64, 3)).clip(0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / f"{number:02d}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number:02d}.png")
    (tmp_path / "classes.txt").write_text("background\nhole\n")
    rule = scored(tmp_path, "segmentation", "mask")["brightness-levels"]
    assert rule.test_scores.values["mean-iou"] > 0.95
    assert rule.rule.startswith("a pixel is, by its brightness (0 to 255")
    assert "`hole` below " in rule.rule


def test_planted_blobs_are_detected(tmp_path: Path, scored: Score) -> None:
    generator = np.random.default_rng(0)
    rows = []
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for number in range(15):
        image = Image.fromarray(generator.integers(180, 220, (96, 96, 3), np.uint8))
        lines = []
        for column, (kind, side) in enumerate(((0, 10), (1, 24))):
            left = int(4 + 46 * column + generator.integers(0, 12))
            top = int(generator.integers(4, 60))
            ImageDraw.Draw(image).rectangle(
                (left, top, left + side - 1, top + side - 1), fill=(40,) * 3
            )
            centre = ((left + side / 2) / 96, (top + side / 2) / 96)
            lines.append(f"{kind} {centre[0]:.5f} {centre[1]:.5f} {side / 96:.5f} {side / 96:.5f}")
        image.save(tmp_path / "images" / f"{number:02d}.png")
        (tmp_path / "labels" / f"{number:02d}.txt").write_text("\n".join(lines) + "\n")
        rows += lines
    (tmp_path / "labels" / "classes.txt").write_text("small\nlarge\n")
    rule = scored(tmp_path, "detection", "boxes")["connected-areas"]
    assert rule.test_scores.values["map50"] > 0.95
    assert rule.rule.startswith("an object is a connected area whose ")
    assert "its area in percent of the image's is " in rule.rule


def test_a_tree_is_put_into_words() -> None:
    values = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]] * 5)
    labels = np.array([0, 1, 1, 0] * 5)
    tree = fit_tree(values, labels, classes=2, depth=2, seed=0)
    words = tree_words(tree, ("in", "out"), _say, subject="a part")
    assert words in (
        "a part is `out` when x is more than 0.5 and at most 2.5; otherwise it is `in`",
        "a part is `in` when x is more than 2.5, or when x is at most 0.5; otherwise it is `out`",
    )
    same = fit_tree(values, np.ones(20, np.int64), classes=2, depth=1, seed=0)
    assert tree_words(same, ("in", "out"), _say, subject="a part") == "a part is always `out`"


def _say(column: int, limit: float | None) -> str:
    return "xy"[column] if limit is None else f"{limit:g}"


def test_measurements_of_a_known_image() -> None:
    image = np.full((50, 40, 3), 100, np.uint8)
    image[:5, :8] = (20, 20, 20)  # 2 % of the area
    values = dict(zip([one.name for one in MEASUREMENTS], measure(image).tolist(), strict=True))
    assert values["the mean brightness"] == pytest.approx(98.4, abs=1e-3)
    assert values["the share of the area darker than 80"] == pytest.approx(2.0)
    assert values["the share of the area darker than 16"] == 0.0
    assert values["the share of spots 40 darker than the median"] == pytest.approx(2.0)
    assert values["the share of spots 40 brighter than the median"] == 0.0
    assert values["the largest spot 40 darker than the median"] == pytest.approx(2.0)
    assert values["the depth of the darkest spot below the median"] == 80.0
    assert values["the difference between dark and bright area (Otsu)"] == pytest.approx(80.0)
    assert values["the share of red in the colour"] == pytest.approx(100 / 3)


def test_otsu_parts_two_levels() -> None:
    counts = np.zeros(256)
    counts[50], counts[200] = 10, 30
    assert 51 <= otsu_level(counts) <= 200
