"""What is learnt from ten published latencies holds for networks that were left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from automl.errors import AutomlError
from automl.hardware.prediction.expectation import GENERIC, Effort, expected_us
from automl.hardware.prediction.gaussian_process import Hyperparameters, OperatorTable
from automl.hardware.prediction.latency_model import fit
from automl.hardware.prediction.operators import Operator
from benchmarks.published_latency import Published, convolution, fbnet_operators, read_fbnet

SAMPLE = Path(__file__).parent / "data" / "fbnet_latency_sample.csv"


@pytest.fixture(scope="module")
def networks() -> list[Published]:
    return read_fbnet(SAMPLE)


@pytest.mark.parametrize(
    ("device", "error", "rank"), [("raspi4", 0.05, 0.95), ("fpga", 0.04, 0.97)]
)
def test_ten_networks_teach_the_latency_of_others(
    networks: list[Published], device: str, error: float, rank: float
) -> None:
    known, asked = networks[:10], networks[10:]
    model = fit([n.operators for n in known], [n.latency_ms[device] for n in known])
    answers = model.predict([n.operators for n in asked])
    truth = np.array([n.latency_ms[device] for n in asked])
    values = np.array([answer.value for answer in answers])
    assert np.mean(np.abs(values - truth) / truth) < error
    assert spearmanr(values, truth)[0] > rank
    inside = [a.low <= y <= a.high for a, y in zip(answers, truth, strict=True)]
    assert np.mean(inside) > 0.7


def drawn_network(draw: np.random.Generator) -> list[Operator]:
    found = []
    for kind in draw.integers(3, size=int(draw.integers(6, 60))):
        channels, out = (int(c) for c in 2 ** draw.uniform(4, 9, 2))
        side = int(draw.choice([7, 14, 28, 56]))
        if kind == 0:
            found.append(convolution(channels, out, side))
        elif kind == 1:
            found.append(convolution(channels, channels, side, window=3, groups=channels))
        else:
            found.append(convolution(channels, out, side, window=3))
    return found


def test_a_processor_of_many_cores_is_learnt_where_beginning_an_operator_costs_most() -> None:
    """It multiplies 500 times faster than the base, moves bytes 8 times faster, and begins as slowly."""

    def true_ms(network: list[Operator]) -> float:
        moved = sum(o.read_bytes + o.written_bytes + o.weight_bytes for o in network)
        return (35 * len(network) + sum(o.macs for o in network) / 1e6 + moved / 5e4) / 1e3

    draw = np.random.default_rng(0)
    networks = [drawn_network(draw) for _ in range(50)]
    truth = np.array([true_ms(one) for one in networks])
    answers = fit(networks[:20], truth[:20].tolist()).predict(networks[20:])
    off = np.abs(np.array([one.value for one in answers]) / truth[20:] - 1)
    assert off.mean() < 0.02


def test_both_ways_of_adding_up_operators_follow_the_same_rates(networks: list[Published]) -> None:
    rates = replace(
        GENERIC, efforts={"pointwise": Effort(frame_bytes=3.0, weight_bytes=10.0, fixed=8.0)}
    )
    operators = networks[0].operators
    quantized = tuple(replace(one, is_int8=True) for one in operators)
    together = OperatorTable([operators, quantized]).weights(rates).sum(1)
    for found, network in zip(together, (operators, quantized), strict=True):
        assert found == pytest.approx(sum(expected_us(one, rates) for one in network))
    pointwise = next(one for one in operators if one.kind == "pointwise")
    frames = pointwise.read_bytes + pointwise.written_bytes
    more_us = (2 * frames + 9 * pointwise.weight_bytes) / GENERIC.bytes_us + 7 * GENERIC.operator_us
    usual_us = expected_us(pointwise, GENERIC)
    assert expected_us(pointwise, rates) == pytest.approx(usual_us + more_us)


def test_beliefs_of_the_caller_are_held_alone(networks: list[Published]) -> None:
    known = networks[:10]
    beliefs = Hyperparameters(
        rates=GENERIC,
        spread_of_all=0.3,
        spread_of_kind=0.2,
        spread_of_shape=0.2,
        spread_of_product=0.2,
        length=2.5,
        window_length=2.0,
        noise=0.1,
    )
    latencies = [n.latency_ms["fpga"] for n in known]
    model = fit([n.operators for n in known], latencies, beliefs=beliefs)
    assert [one.beliefs for one in model.posteriors] == [beliefs]
    assert model.weights == (1.0,)


def test_a_network_unlike_all_that_were_measured_is_less_sure(networks: list[Published]) -> None:
    known = networks[:10]
    model = fit([n.operators for n in known], [n.latency_ms["raspi4"] for n in known])
    usual = networks[20].operators
    strange = tuple(replace(o, kind="matrix", in_channels=o.in_channels * 64) for o in usual)
    like, unlike = model.predict([usual, strange])
    assert (unlike.high - unlike.low) / unlike.value > 3 * (like.high - like.low) / like.value


def test_what_was_measured_is_found_again(networks: list[Published]) -> None:
    known = networks[:12]
    truth = [n.latency_ms["fpga"] for n in known]
    answers = fit([n.operators for n in known], truth).predict([n.operators for n in known])
    assert [a.value for a in answers] == pytest.approx(truth, rel=0.03)


def test_too_few_networks_are_refused(networks: list[Published]) -> None:
    few = networks[:4]
    with pytest.raises(AutomlError) as caught:
        fit([n.operators for n in few], [n.latency_ms["fpga"] for n in few])
    assert str(caught.value) == "A device is calibrated with at least 5 networks; got 4."


@pytest.mark.parametrize("latency", [0.0, -1.0, float("nan"), float("inf")])
def test_latencies_that_cannot_be_are_refused(networks: list[Published], latency: float) -> None:
    known = networks[:6]
    with pytest.raises(AutomlError, match="Latencies are above zero"):
        fit([n.operators for n in known], [latency, *(n.latency_ms["fpga"] for n in known[1:])])


def test_a_skipped_block_costs_nothing_unless_its_shape_changes() -> None:
    first, stride = fbnet_operators(["k3_e1"] * 22), fbnet_operators(["skip"] * 22)
    # 22 times three convolutions, 16 additions where shapes agree; stem, last convolution, pool, product
    assert len(first) == 22 * 3 + 16 + 4
    assert len(stride) == 6 + 4
    assert sum(o.macs for o in stride) < sum(o.macs for o in first)


def test_an_unknown_block_is_named() -> None:
    with pytest.raises(ValueError, match="A block is 'skip' or like 'k3_e6_g2'; got 'conv'"):
        fbnet_operators(["conv"] * 22)
