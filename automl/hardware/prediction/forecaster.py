"""Latency of a file on a device that is not here: from its calibration, or from its published figures.

What a device was calibrated for it answers with the intervals of networks that were left out. Published
figures say how fast a device could be, not how fast onnxruntime is on it: such answers are wide.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl.hardware.costs import link_time
from automl.hardware.prediction.calibration import (
    Calibration,
    CallCost,
    load_calibration,
    model_of,
)
from automl.hardware.prediction.expectation import Rates, expected_us
from automl.hardware.prediction.latency_model import LatencyModel
from automl.hardware.prediction.operators import Operator, read_operators
from automl.hardware.prediction.profiled_model import ProfiledModel
from automl.records.device import DeviceProfile, Figure
from automl.records.forecast import Forecast
from automl.records.measurement import Interval
from automl.records.spec import Scope

__all__ = ["CATALOGUE_FACTOR", "Forecaster", "rates_of"]

CATALOGUE_FACTOR = 2.2
"""How many times faster or slower than its published figures say a device may be. A judgement: it holds the
few published latencies that it was checked against (docs/devices.md)."""
_MEGAPIXEL_MS = {"frame": 1.0, "file": 12.0}
"""Of handing over a frame and of decoding a JPEG, on one core of a desktop processor (measured)."""
_SLOW_CORE = 3.0
"""How many times longer that takes on the small cores of the other kinds."""
_FAST_KINDS = ("cloud", "edge-pc", "gpu")
_CALL_MS = 0.05
_TAILS = {"p90": 1.05, "p95": 1.10, "p99": 1.25}
"""Against p50, on machines that do little else (measured); calibrated devices bring their own."""
_RUNTIME_BYTES = 45_000_000
"""What onnxruntime takes beside weights and results (measured)."""


@dataclass(frozen=True)
class Forecaster:
    """Predicts for one device and number of threads."""

    device: str
    threads: int
    profile: DeviceProfile | None
    calibration: Calibration | None

    @classmethod
    def open(cls, profile: DeviceProfile, *, threads: int) -> Forecaster:
        """Return the forecaster of a device of the catalogue, calibrated when the user did that."""
        return cls(profile.name, threads, profile, load_calibration(profile.name, threads=threads))

    @classmethod
    def of_calibration(cls, calibration: Calibration) -> Forecaster:
        """Return the forecaster of a device that only its calibration describes."""
        return cls(calibration.device, calibration.threads, None, calibration)

    def forecast(
        self,
        path: str,
        sha256: str,
        *,
        scope: Scope,
        frame_size: tuple[int, int],
        frame_bytes: int | None = None,
    ) -> Forecast:
        """Predict a file. Takes one inference on this machine, to see which operators it has.

        Args:
            path: the ONNX file.
            sha256: its hash, for the record and so that it is looked at once.
            scope: what the latency covers.
            frame_size: (height, width).
            frame_bytes: of the compressed frame that is sent to a device elsewhere; ``None``: estimated.

        Raises:
            Exception: of onnxruntime, when the file is no model that it can run.
        """
        operators = _operators(path, sha256, frame_size)
        network, tails = self._network(operators)
        extra = self._call(scope, frame_size)
        link = self._link(frame_size, frame_bytes) if scope is not Scope.MODEL else (0.0, 0.0)
        return Forecast(
            device=self.device,
            basis="catalogue" if self.calibration is None else "calibration",
            explanation=self._explanation(),
            artifact_sha256=sha256,
            threads=self.threads,
            scope=scope,
            frame_size=frame_size,
            p50_ms=_moved(network, 1.0, extra + link[0]),
            p90_ms=_moved(network, tails["p90"], extra + link[1]),
            p95_ms=_moved(network, tails["p95"], extra + link[1]),
            p99_ms=_moved(network, tails["p99"], extra + link[1]),
            link_ms=link[0],
            memory_bytes=_memory_bytes(operators),
            size_bytes=Path(path).stat().st_size,
        )

    def _network(self, operators: tuple[Operator, ...]) -> tuple[Interval, dict[str, float]]:
        """Return p50 of the network alone, and what the other percentiles are of it."""
        if self.calibration is not None:
            (found,) = _fitted(self.calibration).predict([operators])
            return found, _measured_tails(self.calibration)
        assert self.profile is not None  # one of the two describes the device
        rates = rates_of(self.profile, threads=self.threads)
        expected = sum(expected_us(operator, rates) for operator in operators) / 1e3
        return Interval(expected, expected / CATALOGUE_FACTOR, expected * CATALOGUE_FACTOR), _TAILS

    def _call(self, scope: Scope, frame_size: tuple[int, int]) -> float:
        """Return what a call costs beside the network, milliseconds."""
        if scope is Scope.MODEL:
            return 0.0
        pixels = frame_size[0] * frame_size[1]
        if self.calibration is not None:
            cost = self.calibration.frame if scope is Scope.FRAME else self.calibration.file
            return cost.at(pixels)
        assert self.profile is not None
        slow = 1.0 if self.profile.kind in _FAST_KINDS else _SLOW_CORE
        per_megapixel = _MEGAPIXEL_MS["frame"]
        if scope is Scope.FILE or self.profile.network is not None:
            per_megapixel += _MEGAPIXEL_MS["file"]
        return slow * CallCost(_CALL_MS, per_megapixel).at(pixels)

    def _link(self, frame_size: tuple[int, int], frame_bytes: int | None) -> tuple[float, float]:
        """Return what sending a frame and getting the answer takes: (p50, p95), milliseconds."""
        network = None if self.profile is None else self.profile.network
        size = frame_bytes or estimated_frame_bytes(frame_size)
        link = link_time(network, frame_bytes=size)
        return (0.0, 0.0) if link is None else (link.p50_ms, link.p95_ms)

    def _explanation(self) -> str:
        if self.calibration is None:
            return (
                "from the published figures of the device alone; "
                f"true values lie between 1/{CATALOGUE_FACTOR:g} and {CATALOGUE_FACTOR:g} times that"
            )
        model = _fitted(self.calibration)
        return (
            f"fitted on {len(self.calibration.files)} networks measured on the device on "
            f"{self.calibration.made_at[:10]}; networks left out were "
            f"{model.left_out_error:.0%} off in the mean"
        )


def rates_of(profile: DeviceProfile, *, threads: int) -> Rates:
    """Return what a device should reach with some threads, from its published figures."""
    # Threads are those of a processor: an accelerator gives an image all that it can.
    share = min(1.0, threads / profile.cores.value) if profile.provider == _CPU else 1.0
    peak = {name: figure.value for name, figure in profile.peak_flops.items()}
    int8_share = _efficiency(profile, "int8-dense", 0.3)
    floating = peak.get("float32", peak.get("float16"))
    if floating is None:  # it calculates in 8 bits, whatever numbers a file holds
        dense = int8 = peak["int8"] * int8_share
        depthwise = _efficiency(profile, "int8-depthwise", int8_share / 4) / int8_share
    else:
        dense_share = _efficiency(profile, "dense", 0.4)
        dense = floating * dense_share
        int8 = peak["int8"] * int8_share if "int8" in peak else dense
        depthwise = _efficiency(profile, "depthwise", dense_share / 4) / dense_share
    memory = profile.bandwidth_bytes_s.value * _efficiency(profile, "memory", 0.5)
    cost = 5.0 if profile.operator_cost_us is None else profile.operator_cost_us.value
    return Rates(
        dense_macs_us=dense / 2 / 1e6 * share,
        int8_gain=int8 / dense,
        depthwise_share=depthwise,
        grouped_share=0.7,
        bytes_us=memory / 1e6 * max(share, 0.5),
        operator_us=cost,
    )


_CPU = "CPUExecutionProvider"


def _efficiency(profile: DeviceProfile, name: str, usual: float) -> float:
    figure: Figure | None = profile.efficiency.get(name)
    return usual if figure is None else figure.value


def estimated_frame_bytes(frame_size: tuple[int, int]) -> int:
    """Return the bytes of a photograph of (height, width) as a JPEG of quality 90: 2 bits a pixel."""
    return frame_size[0] * frame_size[1] * 2 // 8


def _memory_bytes(operators: tuple[Operator, ...]) -> int:
    """Return an estimate of the memory of a running model: runtime, weights, the largest results."""
    weights = sum(operator.weight_bytes for operator in operators)
    largest = max((o.read_bytes + o.written_bytes for o in operators), default=0)
    return _RUNTIME_BYTES + weights + 2 * largest


def _moved(interval: Interval, factor: float, constant: float) -> Interval:
    return Interval(
        interval.value * factor + constant,
        interval.low * factor + constant,
        interval.high * factor + constant,
    )


def _measured_tails(calibration: Calibration) -> dict[str, float]:
    return {
        name: float(np.median([getattr(f, f"{name}_ms") / f.p50_ms for f in calibration.files]))
        for name in _TAILS
    }


def _fitted(calibration: Calibration) -> LatencyModel | ProfiledModel:
    """Return the model of a calibration, fitted once however many threads ask."""
    with _FITTING:
        return _fit_once(calibration)


@functools.lru_cache(maxsize=8)
def _fit_once(calibration: Calibration) -> LatencyModel | ProfiledModel:
    return model_of(calibration)


_FITTING = threading.Lock()
_known: dict[tuple[str, tuple[int, int]], tuple[Operator, ...]] = {}


def _operators(path: str, sha256: str, frame_size: tuple[int, int]) -> tuple[Operator, ...]:
    """Return the operators of a file, looked at once in this process."""
    key = (sha256, frame_size)
    if key not in _known:
        _known[key] = read_operators(Path(path), frame_size=frame_size)
    return _known[key]
