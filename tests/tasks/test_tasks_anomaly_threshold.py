"""The threshold keeps the rate of false alarms that was asked, with few images and with many."""

from __future__ import annotations

import numpy as np
import pytest

from automl.tasks.anomaly_threshold import choose_threshold

_TAIL = "log-normal tail; expected false alarms 1.00% if good scores are log-normal"


@pytest.mark.parametrize("images", [5, 8, 20, 60])
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_few_log_normal_scores_keep_the_rate_on_average(images: int, rate: float) -> None:
    generator = np.random.default_rng(images)
    rates = []
    for _ in range(2_000):
        scores = generator.lognormal(0.5, 0.3, images + 50)
        threshold = choose_threshold(scores[:images].tolist(), rate=rate, provisional=1.0)
        rates.append(float((scores[images:] >= threshold.value).mean()))
    assert np.mean(rates) <= rate * 1.25
    assert np.mean(rates) >= rate * 0.4


@pytest.mark.parametrize("draw", ["exponential", "standard_cauchy", "uniform"])
def test_many_scores_of_any_distribution_keep_the_rate_on_average(draw: str) -> None:
    generator = np.random.default_rng(1)
    rates = []
    for _ in range(1_000):
        scores = 5.0 + np.abs(getattr(generator, draw)(size=250))
        threshold = choose_threshold(scores[:150].tolist(), rate=0.02, provisional=1.0)
        assert threshold.method.startswith("counted; expected false alarms at most 1.99%")
        rates.append(float((scores[150:] >= threshold.value).mean()))
    assert np.mean(rates) <= 0.021


def test_fewer_images_put_the_threshold_higher() -> None:
    few = choose_threshold([1.0, 1.1, 1.2], rate=0.01, provisional=1.0)
    more = choose_threshold([1.0, 1.1, 1.2] * 5, rate=0.01, provisional=1.0)
    assert few.value > more.value > 1.2
    assert (few.images, more.images) == (3, 15)


def test_a_counted_threshold_lets_the_image_that_sets_it_pass() -> None:
    scores = np.linspace(0.5, 1.5, 99).astype(np.float32).tolist()
    threshold = choose_threshold(scores, rate=0.01, provisional=9.0)
    assert max(scores) / threshold.value < 1.0
    assert threshold.value == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("scores", "value", "method"),
    [
        ([], 2.5, "provisional: there was no good image to set it by"),
        ([0.8], 3.92, _TAIL),
        ([0.0], 0.0049, _TAIL),
        ([1.0, 1.0], 3.02, _TAIL),
        ([0.1, 10.0], 217.8, _TAIL),
    ],
)
def test_hardly_any_images_give_a_cautious_threshold(
    scores: list[float], value: float, method: str
) -> None:
    threshold = choose_threshold(scores, rate=0.01, provisional=2.5)
    assert threshold.value == pytest.approx(value, rel=1e-3)
    assert threshold.method == method
