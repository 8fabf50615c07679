"""Fits of learning curves, on scores drawn from laws that are known."""

from __future__ import annotations

import numpy as np
import pytest

from automl.quality.learning_curve import advise, few_examples
from automl.quality.power_law import fit_curve
from automl.records import PowerLaw

IMAGES = np.array([125, 177, 250, 354, 500, 707], np.int64)
NOW = 707


def draw(law: PowerLaw, *, spread: float, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    truth = np.array([law.score(n) for n in IMAGES.tolist()])
    return (
        truth
        + generator.normal(0, spread, (8, len(IMAGES)))
        + generator.normal(0, spread, (8, 1))  # what all sizes of one repeat share
    )


@pytest.mark.parametrize("law", [PowerLaw(1.5, 0.5, 0.02), PowerLaw(1.2, 0.35, 0.0)])
def test_forecasts_hold_the_truth_in_their_interval(law: PowerLaw) -> None:
    inside = 0
    for seed in range(8):
        fitted = fit_curve(IMAGES, draw(law, spread=0.01, seed=seed), seed=seed)
        for images in (2 * NOW, 4 * NOW):
            point = fitted.forecast(images)
            inside += point.low <= law.score(images) <= point.high
    assert inside >= 13  # of 16; 95 % are 15.2


def test_a_law_without_noise_is_found_again() -> None:
    law = PowerLaw(2.0, 0.6, 0.03)
    fitted = fit_curve(IMAGES, draw(law, spread=0.0, seed=0), seed=0)
    assert fitted.forecast(4 * NOW).mean == pytest.approx(law.score(4 * NOW), abs=2e-3)
    needed, _ = advise(fitted, NOW)
    truly = (law.scale / (1 - law.score(NOW) - 0.01 - law.floor)) ** (1 / law.exponent) - NOW
    assert needed == pytest.approx(truly, rel=0.15)


def test_more_images_are_advised_while_the_curve_rises() -> None:
    fitted = fit_curve(IMAGES, draw(PowerLaw(4.0, 0.5, 0.0), spread=0.004, seed=1), seed=1)
    needed, advice = advise(fitted, NOW)
    assert advice.startswith(
        "More images would help. Twice as many images (1,414) are expected to add "
    )
    assert needed is not None
    assert advice.endswith(f"About {needed:,} more add one point.")


def test_no_more_images_are_advised_when_the_curve_is_flat() -> None:
    fitted = fit_curve(IMAGES, draw(PowerLaw(300.0, 2.0, 0.05), spread=0.001, seed=1), seed=1)
    needed, advice = advise(fitted, NOW)
    assert needed is None
    assert advice.startswith("More images would hardly help. Twice as many images (1,414) ")


def test_classes_with_few_examples_or_a_steep_curve_are_named() -> None:
    recalls = np.full((6, 4, 3), 0.9)
    recalls[:, -1, 1] += 0.06  # the last doubling brought 6 points
    recalls[:, -1, 1] += np.linspace(-0.01, 0.01, 6)
    found = few_examples(("a", "b", "c"), np.array([300, 300, 7]), "images", recalls=recalls)
    assert [(one.class_name, one.examples, one.reason) for one in found] == [
        (
            "b",
            300,
            "its recall still rises steeply: the last doubling of the images brought 6 points",
        ),
        ("c", 7, "7 images to learn and choose from; 20 are the least to trust"),
    ]
