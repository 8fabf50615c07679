"""The operators of a file are those that onnxruntime runs after it has fused its graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hardware.conftest import Network

from automl.hardware.prediction.operators import profile_operators, read_operators


def test_products_and_convolutions_are_counted_from_the_shapes(
    make_network: Callable[..., Network],
) -> None:
    network = make_network(channels=16, size=(64, 48))
    operators = read_operators(network.path, frame_size=(64, 48))
    convolutions = [o for o in operators if o.kind == "convolution"]
    assert [(o.in_channels, o.out_channels, o.window) for o in convolutions] == [
        (3, 16, 3),
        (16, 16, 3),
    ]
    for one in convolutions:
        assert one.macs == one.places * one.out_channels * one.in_channels * 9
        assert one.weight_bytes >= 4 * one.out_channels * one.in_channels * 9
        assert not one.is_int8


def test_what_the_runtime_fuses_is_no_operator_of_its_own(
    make_network: Callable[..., Network],
) -> None:
    network = make_network()
    operators = read_operators(network.path, frame_size=(64, 48))
    kinds = Counter(o.kind for o in operators)
    assert kinds["convolution"] == 2
    assert not any("Relu" in o.name for o in operators)


def test_the_time_of_each_operator_can_be_had_as_well(make_network: Callable[..., Network]) -> None:
    network = make_network(channels=32, size=(128, 128))
    timed = profile_operators(network.path, frame_size=(128, 128), runs=31)
    slowest = max(timed, key=lambda one: one.microseconds)
    assert slowest.operator.macs == max(one.operator.macs for one in timed)
