"""Energy, money and frames a second, each against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planner_makers import BOARD, CLOUD, DOWN, figure

from automl.hardware.costs import (
    DEFAULT_RULES,
    assumptions_of,
    break_even,
    cost_of,
    energy_of,
    frames_per_second,
    link_time,
)
from automl.records import MeasuredEnergy
from automl.records.planner import CostRules, LinkTime

RULES = CostRules(life_years=2.0, electricity_usd_kwh=0.36, images_a_day=86_400)
"""0.36 USD a kWh are 1e-7 USD a joule."""


def test_upload_is_bits_over_uplink_and_percentiles_add_their_round_trip() -> None:
    # 50,000 bytes x 8 = 400,000 bits over 40 Mbit/s = 10 ms
    assert link_time(CLOUD.network, frame_bytes=50_000) == LinkTime(50_000, 10.0, 30.0, 55.0, DOWN)


def test_a_device_on_the_spot_has_no_link() -> None:
    assert link_time(BOARD.network, frame_bytes=50_000) is None


@pytest.mark.parametrize(
    ("compute_ms", "frame_bytes", "expected"),
    [
        (20.0, None, 50.0),
        (20.0, 50_000, 50.0),  # uploads of 10 ms overlap with work of 20 ms
        (2.0, 50_000, 100.0),  # the uplink carries 100 images a second, whatever the machine can do
    ],
)
def test_frames_per_second_are_those_of_the_slower_of_machine_and_uplink(
    compute_ms: float, frame_bytes: int | None, expected: float
) -> None:
    link = None if frame_bytes is None else link_time(CLOUD.network, frame_bytes=frame_bytes)
    assert frames_per_second(compute_ms, link) == pytest.approx(expected)


def test_energy_is_load_power_times_time_and_each_image_bears_its_waiting() -> None:
    energy = energy_of(BOARD, 100.0, images_a_day=8_640)  # one every 10 s
    assert energy is not None
    assert energy.joules == pytest.approx(10.0 * 0.1)
    assert energy.idle_joules == pytest.approx(2.0 * 9.9)
    assert energy.source == "estimated"
    assert energy.how == "10 W under load (Maker's data sheet) times the latency of an image"


def test_waiting_is_never_less_than_nothing() -> None:
    energy = energy_of(BOARD, 2_000.0, images_a_day=86_400)
    assert energy is not None
    assert energy.idle_joules == 0.0


def test_measured_energy_counts_as_it_is() -> None:
    told = MeasuredEnergy(0.7, load_w=12.0, idle_w=5.0, seconds=2.0, source="RAPL: package-0")
    energy = energy_of(None, 100.0, images_a_day=8_640, measured=told)
    assert energy is not None
    assert (energy.joules, energy.source) == (0.7, "measured")
    assert energy.idle_joules == pytest.approx(5.0 * 9.9)
    assert energy.how == (
        "12 W at work less 5 W when idle, by the counters of the machine (RAPL: package-0)"
    )
    known = energy_of(BOARD, 100.0, images_a_day=8_640, measured=told)
    assert known is not None
    assert (known.joules, known.idle_joules) == (0.7, pytest.approx(2.0 * 9.9))


def test_an_estimated_power_is_told_from_a_published_one() -> None:
    guessed = replace(BOARD, load_w=figure(10.0, estimated="twice the idle power, plus a guess"))
    energy = energy_of(guessed, 100.0, images_a_day=8_640)
    assert energy is not None
    assert "(estimated from Maker's data sheet)" in energy.how


@pytest.mark.parametrize("profile", [None, CLOUD])
def test_energy_is_not_known_without_the_power(profile: object) -> None:
    assert energy_of(profile, 10.0, images_a_day=1) is None  # type: ignore[arg-type]


def test_a_million_images_on_a_rented_machine_are_its_hour_over_its_throughput() -> None:
    # 36,000 images an hour of 0.36 USD = 1e-5 USD an image
    cost = cost_of(CLOUD, 100.0, rules=RULES)
    assert cost is not None
    assert cost.usd_per_million == pytest.approx(10.0)
    assert (cost.usd_a_day, cost.machines) == (pytest.approx(0.36 * 24), 1)
    assert cost.how == "0.36 USD an hour (Maker's data sheet) for 36,000 images"


def test_a_million_images_on_a_bought_machine_are_its_price_over_its_life_and_electricity() -> None:
    # a busy day: 0.1 USD of price, 10 W x 86,400 s x 1e-7 USD/J = 0.0864 USD; 864,000 images of 100 ms
    cost = cost_of(BOARD, 100.0, rules=RULES)
    assert cost is not None
    assert cost.usd_per_million == pytest.approx((0.1 + 0.0864) / 0.864)
    # 86,400 images a day work 8,640 s and wait 77,760 s
    assert cost.usd_a_day == pytest.approx(0.1 + (10 * 8_640 + 2 * 77_760) * 1e-7)
    assert cost.machines == 1


def test_more_images_than_one_machine_can_do_need_more_machines() -> None:
    rules = replace(RULES, images_a_day=2_000_000)  # one does 864,000
    bought, rented = cost_of(BOARD, 100.0, rules=rules), cost_of(CLOUD, 100.0, rules=rules)
    assert bought is not None
    assert rented is not None
    assert (bought.machines, rented.machines) == (3, 3)
    assert rented.usd_a_day == pytest.approx(3 * 0.36 * 24)
    assert bought.usd_a_day == pytest.approx(
        3 * 0.1 + (10 * 200_000 + 2 * (3 * 86_400 - 200_000)) * 1e-7
    )


def test_a_slow_uplink_leaves_a_rented_machine_idle_at_its_price() -> None:
    link = link_time(CLOUD.network, frame_bytes=500_000)  # 100 ms up
    cost = cost_of(CLOUD, 10.0, rules=RULES, link=link)
    assert cost is not None
    assert cost.usd_per_million == pytest.approx(10.0)


def test_price_without_power_is_counted_and_says_so() -> None:
    cost = cost_of(replace(BOARD, idle_w=None, load_w=None), 100.0, rules=RULES)
    assert cost is not None
    assert cost.usd_per_million == pytest.approx(0.1 / 0.864)
    assert cost.how.endswith("over 2 years, without electricity, as its power is not known")


def test_cost_is_not_known_without_a_price() -> None:
    assert cost_of(replace(BOARD, price_usd=None), 100.0, rules=RULES) is None
    assert cost_of(None, 100.0, rules=RULES) is None


def test_break_even_is_where_both_cost_the_same() -> None:
    found = break_even(CLOUD, 100.0, BOARD, 100.0, rules=RULES)
    assert found is not None
    # owning: 0.1 + 2 W x 86,400 s x 1e-7 = 0.11728 USD a day; an image: 8 W more x 0.1 s x 1e-7
    own, more, rent = 0.1 + 2 * 86_400 * 1e-7, 8 * 0.1 * 1e-7, 1e-5
    assert found.images_a_day == pytest.approx(own / (rent - more))
    images = found.images_a_day or 0.0
    assert own + more * images == pytest.approx(rent * images)
    assert found.hours_a_day == pytest.approx(own / 0.36)
    assert found.sentence == (
        "From 11,823 images a day on, Little Board is cheaper than Far Machine, even if that is paid "
        "only for the time it works. Kept on for more than 20 minutes a day, Far Machine is the "
        "dearer one in any case."
    )


def test_a_slow_machine_that_is_dear_never_breaks_even_alone() -> None:
    dear = replace(BOARD, price_usd=figure(73_050.0))  # 100 USD a day
    found = break_even(CLOUD, 10.0, dear, 1_000.0, rules=RULES)
    assert found is not None
    assert found.images_a_day is None
    assert found.sentence.startswith(
        "Paid only for the time it works, Far Machine stays cheaper than one Little Board up to the "
        "86,400 images a day that this one can do."
    )


def test_break_even_needs_both_prices() -> None:
    assert break_even(BOARD, 1.0, BOARD, 1.0, rules=RULES) is None
    assert break_even(CLOUD, 1.0, CLOUD, 1.0, rules=RULES) is None


def test_every_default_is_shown_with_its_reason_and_own_numbers_as_own() -> None:
    shown = {one.name: one for one in assumptions_of(DEFAULT_RULES)}
    assert shown["images a day"].value == "86,400"
    assert shown["life of a machine that is bought"].value == "5 years"
    assert shown["price of electricity"].value == "0.2 USD a kWh"
    assert all(len(one.reason) > 20 for one in shown.values())
    own = {one.name: one.reason for one in assumptions_of(RULES)}
    assert own["price of electricity"] == "given on the command line"
