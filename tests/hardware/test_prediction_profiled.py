"""Times of single operators teach the latency of networks that nobody measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from automl.errors import AutomlError
from automl.hardware.prediction.operator_times import learn_operator_times
from automl.hardware.prediction.operators import Operator, Profiled
from automl.hardware.prediction.profiled_model import ProfiledNetwork, fit_profiled


def product(channels: int, out: int, places: int, *, is_int8: bool = False) -> Operator:
    item = 1 if is_int8 else 4
    return Operator(
        name="",
        kind="pointwise",
        is_int8=is_int8,
        macs=channels * out * places,
        read_bytes=item * channels * places,
        weight_bytes=item * channels * out,
        written_bytes=item * out * places,
        in_channels=channels,
        out_channels=out,
        places=places,
        window=1,
        form="QLinearConv" if is_int8 else "Conv",
        row=places,
    )


def sum_of(items: int) -> Operator:
    return replace(
        product(1, 1, items), kind="elementwise", form="Add", macs=0, weight_bytes=0, row=items
    )


def true_us(operator: Operator) -> float:
    """The law of an imagined machine: narrow products are slower a multiplication."""
    if operator.kind == "elementwise":
        return 2.0 + operator.read_bytes / 9_000
    speed = 40_000 * operator.in_channels / (operator.in_channels + 40)
    return 3.0 + operator.macs / (speed * (3.5 if operator.is_int8 else 1.0))


def network(
    number: int, *, is_int8: bool = False, least: int = 8, most: int = 256
) -> list[Operator]:
    draw = np.random.default_rng(number)
    found: list[Operator] = []
    for _ in range(12):
        channels, out = (int(2 ** draw.uniform(np.log2(least), np.log2(most))) for _ in range(2))
        places = int(draw.choice([49, 196, 784, 3136]))
        found += [product(channels, out, places, is_int8=is_int8), sum_of(out * places)]
    return found


def latency_ms(operators: list[Operator]) -> float:
    """Return the latency where nobody looks: the clock of the profile costs 1.5 us an operator."""
    return sum(true_us(one) - 1.5 for one in operators) / 1e3


def profiled(number: int, *, is_int8: bool = False) -> ProfiledNetwork:
    noise = np.random.default_rng(1_000 + number)
    operators = network(number, is_int8=is_int8)
    timed = tuple(Profiled(o, true_us(o) * float(noise.normal(1.0, 0.03))) for o in operators)
    scheme = "int8-static" if is_int8 else "float32"
    return ProfiledNetwork(f"net{number}-full-224.{scheme}", timed, latency_ms(operators))


KNOWN = [profiled(n, is_int8=i8) for n in range(20) for i8 in (False, True)]


@pytest.mark.parametrize("is_int8", [False, True])
def test_networks_of_known_operators_are_predicted_within_a_twentieth(is_int8: bool) -> None:
    model = fit_profiled(KNOWN)
    asked = [network(n, is_int8=is_int8) for n in range(100, 130)]
    truth = np.array([latency_ms(one) for one in asked])
    answers = model.predict(asked)
    off = np.abs(np.array([one.value for one in answers]) - truth) / truth
    assert off.mean() < 0.05
    inside = [a.low <= y <= a.high for a, y in zip(answers, truth, strict=True)]
    assert np.mean(inside) >= 0.9
    assert model.left_out_error < 0.1


def test_what_adds_a_fixed_time_makes_short_networks_less_sure_than_long_ones() -> None:
    noise = np.random.default_rng(3)
    mixed = [
        replace(one, operators=one.operators[: 4 if number % 2 else 24])
        for number, one in enumerate(one for one in KNOWN if not one.is_int8)
    ]
    calm = [
        replace(one, p50_ms=latency_ms([row.operator for row in one.operators])) for one in mixed
    ]
    middle = float(np.median([one.p50_ms for one in calm]))
    uneven = [
        replace(one, p50_ms=one.p50_ms + middle * float(noise.uniform(0.0, 0.4))) for one in calm
    ]
    doubt = fit_profiled(uneven).fit.doubts[False]
    assert doubt.fixed_us > fit_profiled(calm).fit.doubts[False].fixed_us
    assert doubt.of(0.05, middle * 500) > 1.2 * doubt.of(0.05, middle * 5_000)


def test_a_precision_that_is_missed_by_more_has_wider_intervals_alone() -> None:
    noise = np.random.default_rng(4)
    uneven = [
        replace(one, p50_ms=one.p50_ms * float(noise.uniform(0.7, 1.3))) if one.is_int8 else one
        for one in KNOWN
    ]
    before, after = fit_profiled(KNOWN).fit.doubts, fit_profiled(uneven).fit.doubts
    assert after[True].factor(0.05, 5_000) > 1.15 * before[True].factor(0.05, 5_000)
    assert after[False].factor(0.05, 5_000) < 1.15 * before[False].factor(0.05, 5_000)


def test_one_network_of_a_precision_does_not_tell_how_sure_others_of_it_are() -> None:
    noise = np.random.default_rng(5)
    uneven = [
        replace(one, p50_ms=one.p50_ms * float(noise.uniform(0.7, 1.3)))
        for one in KNOWN
        if not one.is_int8
    ]
    doubts = fit_profiled([*uneven, next(one for one in KNOWN if one.is_int8)]).fit.doubts
    assert doubts[True].factor(0.05, 5_000) > 0.9 * doubts[False].factor(0.05, 5_000)


def test_shapes_far_from_all_that_was_timed_widen_the_interval() -> None:
    model = fit_profiled(KNOWN)
    near, far = model.predict([[product(64, 64, 784)], [product(6_000, 6_000, 784)]])
    assert far.high / far.value > 1.5 * near.high / near.value


def test_a_form_that_was_never_timed_takes_what_its_kind_takes_and_is_unsure() -> None:
    times = learn_operator_times([one.operators for one in KNOWN])
    known = product(64, 64, 784)
    unknown = replace(known, form="Conv calculated")
    (seen, sure), (stood_in, unsure) = times.predict([known]), times.predict([unknown])
    assert stood_in == pytest.approx(seen, rel=0.3)
    assert unsure > 0.5 > sure


def test_a_form_seen_in_other_numbers_alone_takes_what_they_take() -> None:
    int8_alone = [one.operators for one in KNOWN if one.is_int8]
    plain = [(Profiled(sum_of(4_096), 5.0), Profiled(sum_of(8_192), 6.0)) for _ in range(4)]
    times = learn_operator_times([*int8_alone, *plain])
    wide, narrow = product(64, 64, 784), product(8, 8, 49)
    ratio = times.predict([wide])[0] / times.predict([narrow])[0]
    assert ratio > 3, "sums alone, which have the same numbers, would say nothing of products"


def test_a_profile_that_was_disturbed_changes_nothing() -> None:
    calm = fit_profiled(KNOWN)
    slow = tuple(replace(row, microseconds=2 * row.microseconds) for row in KNOWN[0].operators)
    disturbed = fit_profiled([replace(KNOWN[0], operators=slow), *KNOWN[1:]])
    asked = [network(n) for n in range(100, 110)]
    for one, other in zip(calm.predict(asked), disturbed.predict(asked), strict=True):
        assert other.value == pytest.approx(one.value, rel=0.02)


def test_a_network_of_many_short_operators_is_scaled_to_its_latency_too() -> None:
    short = ProfiledNetwork("tiny", tuple(Profiled(sum_of(8), 1.0) for _ in range(400)), 0.15)
    model = fit_profiled([*KNOWN, short])
    (answer,) = model.predict([[row.operator for row in short.operators]])
    assert answer.value == pytest.approx(0.15, rel=0.5)
    assert model.predict([[]])[0].value == 0.0


def test_galleries_teach_operators_and_nothing_of_networks() -> None:
    narrow = [one for one in KNOWN if not one.is_int8]
    wide = [
        tuple(Profiled(o, true_us(o)) for o in network(n, least=256, most=2_048))
        for n in range(50, 56)
    ]
    asked = network(200, least=512, most=2_048)
    plain, taught = fit_profiled(narrow), fit_profiled(narrow, wide)
    assert taught.fit.overheads == plain.fit.overheads
    truth = latency_ms(asked)
    off = [abs(m.predict([asked])[0].value - truth) / truth for m in (plain, taught)]
    assert off[1] < off[0] / 2


def test_learning_again_with_known_settings_changes_no_answer() -> None:
    timed = [one.operators for one in KNOWN]
    first = learn_operator_times(timed)
    again = learn_operator_times(timed, settings=first.chosen)
    asked = network(500)
    assert again.predict(asked) == pytest.approx(first.predict(asked))


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (KNOWN[:4], "A device is calibrated with at least 5 networks; got 4."),
        (
            [replace(one, p50_ms=0.0) for one in KNOWN[:6]],
            "Latencies are above zero; got one that is not. Measure the device again.",
        ),
    ],
)
def test_too_little_to_learn_from_is_refused(networks: list[ProfiledNetwork], message: str) -> None:
    with pytest.raises(AutomlError) as raised:
        fit_profiled(networks)
    assert str(raised.value) == message
