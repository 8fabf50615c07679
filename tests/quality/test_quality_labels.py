"""Wrong labels planted among real photographs, and what must not be doubted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from automl.data.truth import IGNORED
from automl.quality import check_labels
from automl.quality.noise import estimate_noise
from automl.quality.probe import folds_by_group
from automl.quality.regions import merge_cells
from automl.quality.units import cell_labels

GROUP = r"(pa_[^/]+)_[0-9]+[.]jpg$"


def probabilities(right: np.ndarray, *, sureness: float, seed: int) -> np.ndarray:
    """What a fair model says of three classes, with some doubt about each."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1, (len(right), 3))
    logits[np.arange(len(right)), right] += sureness
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_noise_is_estimated_whatever_the_models_sureness(temperature: float) -> None:
    right = np.arange(900) % 3
    given = right.copy()
    wrong = np.arange(0, 900, 20)
    given[wrong] = (given[wrong] + 1) % 3
    fair = probabilities(right, sureness=6.0, seed=0) ** temperature
    noise = estimate_noise(fair / fair.sum(axis=1, keepdims=True), given)
    assert noise.rate == pytest.approx(0.05, abs=0.015)
    found = set(np.flatnonzero(noise.doubts > 0.5).tolist())
    assert len(found & set(wrong.tolist())) >= 0.9 * len(wrong)
    assert len(found - set(wrong.tolist())) <= 0.1 * len(wrong)


def test_hard_images_alone_are_not_doubted() -> None:
    right = np.arange(900) % 3
    noise = estimate_noise(probabilities(right, sureness=3.0, seed=1), right)
    assert noise.rate < 0.01
    assert (noise.doubts > 0.5).sum() <= 2


def test_no_group_lies_in_two_folds() -> None:
    labels = np.arange(200) % 2
    groups = [f"sheet {i // 8}" for i in range(200)]
    fold = folds_by_group(labels, groups, seed=0)
    assert set(fold.tolist()) == set(range(5))
    assert all(len(set(fold[i : i + 8].tolist())) == 1 for i in range(0, 200, 8))


def test_flipped_labels_of_photographs_are_found(
    paper_images: Path, tmp_path: Path, opened
) -> None:
    sheets = sorted({path.stem.rpartition("_")[0] for path in paper_images.rglob("*.jpg")})
    kept = set(sheets[:60])
    flipped = set()
    for number, path in enumerate(sorted(paper_images.rglob("*.jpg"))):
        if path.stem.rpartition("_")[0] not in kept:
            continue
        label = path.parent.name
        if number % 25 == 0:
            label = {"pass": "fail", "fail": "pass"}[label]
            flipped.add(f"{label}/{path.name}")
        (tmp_path / label).mkdir(exist_ok=True)
        shutil.copyfile(path, tmp_path / label / path.name)
    _, store = opened(tmp_path, group=GROUP)
    found, notes = check_labels(store, weights="auto", seconds=None, seed=0)
    assert notes == ()
    assert found is not None
    doubted = {one.path for one in found.suspects}
    assert len(doubted & flipped) >= 0.8 * len(flipped)
    assert len(doubted & flipped) >= 0.7 * len(doubted)
    for one in found.suspects:
        assert {one.given, one.suggested} == {"pass", "fail"}
        assert one.given == one.path.partition("/")[0]
        assert 0.5 < one.doubt <= 1.0


def test_without_weights_statistics_take_their_place_and_it_is_said(
    by_brightness: Path, opened
) -> None:
    _, store = opened(by_brightness)
    found, notes = check_labels(store, weights="none", seconds=None, seed=0)
    assert notes == (
        "Labels and learning curve were judged by simple statistics of colour and edges instead of a "
        "pretrained network (the spec asks for none), so much will be missed.",
    )
    assert found is not None
    assert found.method.startswith("Linear models on statistics of colour and edges, in cross")
    assert found.checked == 60
    assert found.agreement > 0.95


def test_a_cell_shows_a_thin_object_but_no_sliver() -> None:
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:16, 16:18] = 1  # a crack: an eighth of its cell, a hundred times rarer elsewhere
    pixels[16:32, :1] = 1  # a sixteenth of its cell
    pixels[32:, 32:] = 2  # four cells whole
    pixels[32:48, :6] = 2  # three eighths of a cell: neither this nor the background
    labels = cell_labels(pixels, 4, classes=3)
    none = IGNORED
    assert labels.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [none, 0, 2, 2], [0, 0, 2, 2]]


def test_neighbouring_cells_become_one_area() -> None:
    issues = np.zeros((1, 4, 4), np.bool_)
    issues[0, 0, :3] = True
    issues[0, 3, 3] = True  # alone: an outline that a cell cuts
    given, suggested = np.zeros((1, 4, 4), np.int64), np.ones((1, 4, 4), np.intp)
    areas = merge_cells(issues, given, suggested, np.full((1, 4, 4), 0.9))
    assert [(len(one.cells[0]), one.given, one.suggested) for one in areas] == [(3, 0, 1)]
    assert areas[0].doubt == pytest.approx(0.9)
