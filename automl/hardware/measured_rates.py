"""Rates of a device from its calibration: what a data sheet would state, as networks reached it.

A calibration predicts by itself for the number of threads it was made with. These rates describe the
device to people, and predict for other numbers of threads: sums of work and of moved bytes are laid on
the measured latencies so that no rate is negative (non-negative least squares; Lawson & Hanson, "Solving
least squares problems", 1974, chapter 23).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.hardware.prediction.calibration import CalibratedFile, Calibration
from automl.hardware.prediction.operators import Operator

__all__ = ["MeasuredRates", "measured_rates"]

_LEAST_SHARE_OF_BANDWIDTH = 0.5
"""One core alone reaches half of the bandwidth that all of them have, as predictions from a device's
figures take it (:func:`automl.hardware.prediction.forecaster.rates_of`)."""
_SPARED = ("depthwise", "grouped")
_COSTS = ("dense", "spared", "int8-dense", "int8-spared", "bytes", "operator")


@dataclass(frozen=True)
class MeasuredRates:
    """What all processors of a device would reach together, by what some of them reached.

    Operations count a multiplication and its addition as two.
    """

    float32_flops: float
    """Operations a second of convolutions and matrix products."""
    int8_ops: float | None
    """The same with 8-bit numbers; ``None``: no such network ran."""
    depthwise_share: float | None
    """Rate of depthwise convolutions as a share of :attr:`float32_flops`; ``None``: the networks do not
    tell them apart."""
    int8_depthwise_share: float | None
    """The same of :attr:`int8_ops`."""
    bandwidth_bytes_s: float
    operator_cost_us: float | None
    """Fixed cost of one operator, microseconds."""


def measured_rates(calibration: Calibration) -> MeasuredRates:
    """Return the rates that a calibration shows."""
    costs = _fitted_costs(calibration.files)
    used = min(1.0, calibration.threads / calibration.host.cores)
    plain = [file for file in calibration.files if not _is_int8(file)]
    quantized = [file for file in calibration.files if _is_int8(file)]
    dense_us = costs["dense"] or _least_mac_us(plain or quantized)
    int8_us = (costs["int8-dense"] or _least_mac_us(quantized)) if quantized else None
    byte_us = costs["bytes"] or _least_byte_us(calibration.files)
    return MeasuredRates(
        float32_flops=2e6 / dense_us / used,
        int8_ops=None if int8_us is None else 2e6 / int8_us / used,
        depthwise_share=_share(dense_us, costs["spared"]),
        int8_depthwise_share=None if int8_us is None else _share(int8_us, costs["int8-spared"]),
        bandwidth_bytes_s=1e6 / byte_us / max(used, _LEAST_SHARE_OF_BANDWIDTH),
        operator_cost_us=costs["operator"] or None,
    )


def _fitted_costs(files: Sequence[CalibratedFile]) -> dict[str, float]:
    """Return microseconds by what costs them; 0 where the files show none.

    Files count by their relative errors, so that slow ones do not decide alone.
    """
    from scipy.optimize import nnls

    work = np.array([_work(file.operators) for file in files], np.float64)
    times_us = np.array([file.p50_ms * 1e3 for file in files])
    scales: NDArray[np.float64] = np.maximum(work.max(axis=0), 1.0)
    found, _ = nnls(work / scales / times_us[:, None], np.ones(len(files)))
    return dict(zip(_COSTS, map(float, found / scales), strict=True))


def _work(operators: Sequence[Operator]) -> list[float]:
    """Return how much there is of each of :data:`_COSTS`."""
    macs = dict.fromkeys(_COSTS[:4], 0)
    for operator in operators:
        spared = "spared" if operator.kind in _SPARED else "dense"
        macs[f"int8-{spared}" if operator.is_int8 else spared] += operator.macs
    return [*map(float, macs.values()), float(_moved_bytes(operators)), float(len(operators))]


def _moved_bytes(operators: Sequence[Operator]) -> int:
    return sum(o.read_bytes + o.written_bytes + o.weight_bytes for o in operators)


def _is_int8(file: CalibratedFile) -> bool:
    return any(operator.is_int8 for operator in file.operators)


def _least_mac_us(files: Sequence[CalibratedFile]) -> float:
    """Return the time of a multiplication in the network that did most of them a second."""
    return min(
        file.p50_ms * 1e3 / max(1, sum(operator.macs for operator in file.operators))
        for file in files
    )


def _least_byte_us(files: Sequence[CalibratedFile]) -> float:
    return min(file.p50_ms * 1e3 / max(1, _moved_bytes(file.operators)) for file in files)


def _share(dense_us: float, spared_us: float) -> float | None:
    return min(1.0, dense_us / spared_us) if spared_us else None
