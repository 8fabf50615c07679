"""Devices that onnxruntime does not run on: what their files predict against what their makers published."""

from __future__ import annotations

from dataclasses import replace

import pytest

from automl.hardware.catalogue import all_devices, load_device
from automl.hardware.prediction.expectation import expected_us
from automl.hardware.prediction.forecaster import CATALOGUE_FACTOR, rates_of
from automl.hardware.prediction.operators import Operator
from automl.records import DeviceProfile

ACCELERATORS = [device for device in all_devices() if device.provider is None]


def network_ms(
    device: DeviceProfile, *, macs: int, moved: int, weights: int, operators: int, is_int8: bool
) -> float:
    """Return what a network of so many equal convolutions is expected to take, milliseconds."""
    one = Operator(
        name="conv",
        kind="convolution",
        is_int8=is_int8,
        macs=macs // operators,
        read_bytes=moved // 2 // operators,
        weight_bytes=weights // operators,
        written_bytes=moved // 2 // operators,
        in_channels=64,
        out_channels=64,
        places=784,
        window=3,
    )
    return operators * expected_us(one, rates_of(device, threads=1)) / 1e3


@pytest.mark.parametrize(
    ("name", "network", "published_ms"),
    [
        ("raspberry-pi-5-hailo-8", "resnet50", 2.86),
        ("raspberry-pi-5-hailo-8", "resnet18", 1.28),
        ("coral-dev-board", "inception-v1", 4.1),
        ("turing-rk1", "resnet50", 1e3 / 108.6),
        ("luxonis-oak-1", "resnet50", 1e3 / 26.5),
    ],
)
def test_published_latencies_lie_within_the_factor_that_is_claimed(
    name: str, network: str, published_ms: float
) -> None:
    """Work of the networks at 224 px; their results and weights take one byte a number in 8 bits."""
    device = load_device(name)
    is_int8 = "int8" in device.precisions
    size = 1 if is_int8 else 2
    work = {
        "resnet50": (4_100_000_000, 22_000_000, 25_500_000, 70),
        "resnet18": (1_820_000_000, 5_000_000, 11_700_000, 30),
        "inception-v1": (1_500_000_000, 6_500_000, 6_600_000, 60),
    }
    macs, moved, weights, operators = work[network]
    expected_ms = network_ms(
        device,
        macs=macs,
        moved=moved * size,
        weights=weights * size,
        operators=operators,
        is_int8=is_int8,
    )
    assert 1 / CATALOGUE_FACTOR < expected_ms / published_ms < CATALOGUE_FACTOR, expected_ms


@pytest.mark.parametrize("device", ACCELERATORS, ids=lambda device: device.name)
def test_threads_are_those_of_a_processor_and_change_nothing_on_an_accelerator(
    device: DeviceProfile,
) -> None:
    assert rates_of(device, threads=1) == rates_of(device, threads=64)


@pytest.mark.parametrize("device", ACCELERATORS, ids=lambda device: device.name)
def test_8_bit_files_are_slower_nowhere_and_gain_where_there_is_a_rate_for_them(
    device: DeviceProfile,
) -> None:
    gain = rates_of(device, threads=1).int8_gain
    floats = {"float32", "float16"}.intersection(device.precisions)
    assert gain == 1.0 if not floats or "int8" not in device.precisions else gain > 1.0


def test_a_device_with_8_bits_alone_runs_every_file_at_that_rate() -> None:
    board = load_device("zc706")
    rates = rates_of(board, threads=1)
    assert 2e6 * rates.dense_macs_us == pytest.approx(5.05e9, rel=0.01), "as its file says"
    assert 2e6 * rates.dense_macs_us * rates.depthwise_share == pytest.approx(13.9e9, rel=0.02)


def test_on_a_processor_threads_share_its_rate() -> None:
    board = load_device("raspberry-pi-5")
    one, four = rates_of(board, threads=1), rates_of(board, threads=4)
    assert four.dense_macs_us == pytest.approx(4 * one.dense_macs_us)
    assert rates_of(board, threads=9) == four
    assert rates_of(replace(board, provider="CUDAExecutionProvider"), threads=1) == four
