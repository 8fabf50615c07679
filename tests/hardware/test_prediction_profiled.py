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
    return 0.95 * sum(true_us(one) for one in operators) / 1e3


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


def test_shapes_far_from_all_that_was_timed_widen_the_interval() -> None:
    model = fit_profiled(KNOWN)
    near, far = model.predict([[product(64, 64, 784)], [product(6_000, 6_000, 784)]])
    assert far.high / far.value > 1.5 * near.high / near.value


def test_a_form_that_was_never_timed_takes_what_its_kind_takes_and_is_unsure() -> None:
    times = learn_operator_times(row for one in KNOWN for row in one.operators)
    known = product(64, 64, 784)
    unknown = replace(known, form="Conv calculated")
    (seen, sure), (stood_in, unsure) = times.predict([known]), times.predict([unknown])
    assert stood_in == pytest.approx(seen, rel=0.3)
    assert unsure > 0.5 > sure


def test_learning_again_with_known_settings_changes_no_answer() -> None:
    rows = [row for one in KNOWN for row in one.operators]
    first = learn_operator_times(rows)
    again = learn_operator_times(rows, settings=first.chosen)
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
