"""Percentile intervals against known values and by simulation; stopping early."""

from __future__ import annotations

import numpy as np
import pytest

from automl.hardware.statistics import (
    cannot_fit,
    order_bounds,
    percentile_interval,
    runs_for_upper_bound,
)


@pytest.mark.parametrize(
    ("runs", "share", "expected"),
    [
        # By the inverse of the binomial distribution, from another implementation of it (scipy).
        (100, 0.5, (40, 61)),
        (10, 0.5, (2, 9)),
        (6, 0.5, (1, 6)),
        (5, 0.5, (None, None)),
        (1, 0.95, (None, None)),
        # Too few runs for an upper bound of p95: 71; enough: 72.
        (71, 0.95, (63, None)),
        (72, 0.95, (64, 72)),
        (367, 0.99, (359, None)),
        (368, 0.99, (360, 368)),
        # Where factorials overflow.
        (1_000_000, 0.95, (949_572, 950_428)),
    ],
)
def test_order_bounds_are_the_known_ranks(
    runs: int, share: float, expected: tuple[int | None, int | None]
) -> None:
    assert order_bounds(runs, share) == expected


def test_order_bounds_hold_95_percent_and_not_a_rank_more_than_needed() -> None:
    from math import comb

    def at_most(k: int, n: int, p: float) -> float:
        return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))

    for runs in (80, 200, 500):
        for share in (0.5, 0.9, 0.95):
            low, high = order_bounds(runs, share)
            assert low is not None
            assert high is not None
            assert at_most(low - 1, runs, share) <= 0.025 < at_most(low, runs, share)
            assert 1 - at_most(high - 1, runs, share) <= 0.025 < 1 - at_most(high - 2, runs, share)


@pytest.mark.parametrize(("share", "runs"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_runs_for_upper_bound_is_the_first_number_that_has_one(share: float, runs: int) -> None:
    assert runs_for_upper_bound(share) == runs
    assert order_bounds(runs, share)[1] == runs
    assert order_bounds(runs - 1, share)[1] is None


@pytest.mark.parametrize(("share", "runs"), [(0.5, 64), (0.9, 100), (0.95, 100), (0.99, 1000)])
def test_interval_covers_the_true_percentile_of_a_skewed_distribution(
    share: float, runs: int
) -> None:
    generator = np.random.default_rng(7)
    truth = -np.log1p(-share)
    repeats = 1500
    samples = generator.exponential(size=(repeats, runs))
    intervals = [percentile_interval(sample, share) for sample in samples]
    covered = sum(i.low <= truth <= i.high for i in intervals) / repeats
    assert covered >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / repeats)


def test_upper_bound_is_the_largest_run_when_runs_are_few() -> None:
    interval = percentile_interval([1.0, 2.0, 3.0, 9.0], 0.95)
    assert (interval.low, interval.high) == (3.0, 9.0)
    assert interval.low <= interval.value <= interval.high


def test_interval_of_equal_runs_is_a_point() -> None:
    interval = percentile_interval([2.5] * 100, 0.95)
    assert (interval.low, interval.value, interval.high) == (2.5, 2.5, 2.5)


def test_percentile_of_no_runs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^A percentile needs at least one run; got none\.$"):
        percentile_interval([], 0.5)


def test_share_outside_0_and_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Shares lie between 0 and 1; got 95 and 0\.95\.$"):
        order_bounds(10, 95)


_SLOW_SPELL = [5.0] * 24 + [30.0] * 8


@pytest.mark.parametrize(
    ("times_ms", "limit_ms", "expected"),
    [
        pytest.param([25.0] * 3, 10.0, True, id="three runs, none within twice the limit"),
        pytest.param([25.0] * 2, 10.0, False, id="two runs are too few"),
        pytest.param([15.0] * 15, 10.0, False, id="fifteen runs somewhat above"),
        pytest.param([15.0] * 16, 10.0, True, id="sixteen runs somewhat above"),
        pytest.param([5.0] * 64, 10.0, False, id="fits"),
        pytest.param(_SLOW_SPELL, 10.0, False, id="one slow spell is not enough"),
        pytest.param(_SLOW_SPELL * 2, 10.0, True, id="a slow spell in either half"),
        pytest.param([5.0, 30.0] * 16, 10.0, True, id="every other run is too slow"),
        pytest.param([], 10.0, False, id="nothing yet"),
    ],
)
def test_measuring_stops_only_when_the_budget_cannot_be_met(
    times_ms: list[float], limit_ms: float, expected: bool
) -> None:
    assert cannot_fit(times_ms, [("p95", limit_ms)]) is expected


def test_measuring_stops_when_one_of_several_budgets_cannot_be_met() -> None:
    times_ms = [5.0, 30.0] * 16
    assert not cannot_fit(times_ms, [("p50", 40.0), ("p95", 40.0)])
    assert cannot_fit(times_ms, [("p50", 40.0), ("p95", 10.0)])


def test_a_model_that_just_fits_is_rarely_stopped() -> None:
    generator = np.random.default_rng(3)
    stopped = 0
    for _ in range(300):
        times_ms = (5 + generator.exponential(size=128)).tolist()
        limit_ms = 5 - np.log(0.05)  # the true p95
        stopped += any(cannot_fit(times_ms[:n], [("p95", limit_ms)]) for n in range(8, 129, 8))
    assert stopped <= 3
