"""What was measured on a device to learn how fast it is, kept in the user's folder of devices.

The measurements themselves are kept, not what was fitted to them: a better model later learns from the
same file, and nothing has to be unpickled.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.hardware.catalogue import user_folder
from automl.hardware.prediction.expectation import DESKTOP, GENERIC
from automl.hardware.prediction.latency_model import FEWEST_NETWORKS, LatencyModel, fit
from automl.hardware.prediction.operators import Operator, Profiled
from automl.hardware.prediction.profiled_model import (
    Fit,
    ProfiledModel,
    ProfiledNetwork,
    find_fit,
    fit_profiled,
)
from automl.records import dump_record
from automl.records.measurement import Host, Measurement
from automl.storage import (
    DamagedFileError,
    cache_folder,
    read_record,
    sha256_bytes,
    write_record,
)

__all__ = [
    "CalibratedFile",
    "Calibration",
    "CallCost",
    "ProfiledGallery",
    "load_calibration",
    "model_of",
    "save_calibration",
]

_log = logging.getLogger(__name__)
_VERSION = 2
"""Raised when a calibration holds other things, so that older ones are not used."""
_FIT_VERSION = 5
"""Raised when fits are found otherwise, so that older ones are not used."""


@dataclass(frozen=True)
class CalibratedFile:
    """One network of the calibration set as it ran on the device, scope ``model``."""

    name: str
    """``mobilenetv2_050-full-160 int8-static``."""
    operators: tuple[Operator, ...]
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    memory_bytes: int | None = None
    operator_us: tuple[float, ...] = ()
    """What each operator took by the runtime's profile, microseconds; empty where it was not asked."""

    @property
    def profiled(self) -> ProfiledNetwork:
        """The network with the times of its operators."""
        rows = zip(self.operators, self.operator_us, strict=True)
        return ProfiledNetwork(self.name, tuple(Profiled(*row) for row in rows), self.p50_ms)


@dataclass(frozen=True)
class ProfiledGallery:
    """A network made of many different operators, for the times of these alone."""

    name: str
    """``gallery-maps-1-full-224.float32``."""
    operators: tuple[Profiled, ...]


@dataclass(frozen=True)
class CallCost:
    """What a call costs beside the network, in milliseconds: ``fixed + a_megapixel * megapixels``."""

    fixed_ms: float
    a_megapixel_ms: float

    def at(self, pixels: int) -> float:
        """Return the cost for a frame of that many pixels, milliseconds."""
        return max(0.0, self.fixed_ms + self.a_megapixel_ms * pixels / 1e6)


@dataclass(frozen=True)
class Calibration:
    """All that was measured on a device with one number of threads."""

    device: str
    """Name of the device: ``local``, an address, or the user's own name for it."""
    host: Host
    threads: int
    files: tuple[CalibratedFile, ...]
    frame: CallCost
    """Of a call with a decoded image, beside the network."""
    file: CallCost
    """Of a call with an encoded image: that, and decoding."""
    made_at: str
    """ISO 8601, UTC."""
    galleries: tuple[ProfiledGallery, ...] = ()
    """Empty where operators cannot be timed."""
    version: int = _VERSION


def save_calibration(calibration: Calibration) -> Path:
    """Keep a calibration; a newer one replaces an older one of the same device and threads."""
    path = _path(calibration.device, calibration.threads)
    write_record(path, calibration)
    return path


def load_calibration(device: str, *, threads: int, host: Host | None = None) -> Calibration | None:
    """Return what is known of a device, or ``None``: never calibrated, damaged, of an older version, or
    another machine now.

    Args:
        host: the machine as it is now; a calibration of another processor or runtime does not count.
    """
    try:
        found = read_record(_path(device, threads), Calibration)
    except FileNotFoundError:
        return None
    except (DamagedFileError, OSError) as error:
        _log.warning("A calibration is not used: %s", error)
        return None
    if found.version != _VERSION:
        _log.warning(
            "The calibration of '%s' is not used: an older version of automl made it. "
            "Run `automl devices calibrate` again.",
            device,
        )
        return None
    if host is not None and found.host.key != host.key:
        _log.warning(
            "The calibration of '%s' is not used: it was made on %s with onnxruntime %s. "
            "Run `automl devices calibrate` again.",
            device,
            found.host.cpu,
            found.host.onnxruntime,
        )
        return None
    return found


def model_of(calibration: Calibration) -> LatencyModel | ProfiledModel:
    """Return the latency model that a calibration teaches.

    Where the times of operators are known, they teach; else latencies of whole networks do. What takes long
    to find, the first time, is kept in the cache.
    """
    profiled = [file.profiled for file in calibration.files if file.operator_us]
    if len(profiled) >= FEWEST_NETWORKS:
        galleries = [gallery.operators for gallery in calibration.galleries]
        return fit_profiled(profiled, galleries, known=_fit_of(calibration, profiled, galleries))
    is_desktop = any(name.startswith("avx") for name in calibration.host.instruction_sets)
    return fit(
        [file.operators for file in calibration.files],
        [file.p50_ms for file in calibration.files],
        base=DESKTOP if is_desktop else GENERIC,
    )


def _fit_of(
    calibration: Calibration,
    profiled: Sequence[ProfiledNetwork],
    galleries: Sequence[Sequence[Profiled]],
) -> Fit:
    """Return what was found of a calibration earlier, or find it now."""
    digest = sha256_bytes(f"{_FIT_VERSION} {dump_record(calibration)}".encode())
    path = cache_folder("latency-models") / f"{digest}.json"
    try:
        return read_record(path, Fit)
    except (FileNotFoundError, DamagedFileError):
        found = find_fit(profiled, galleries)
        write_record(path, found)
        return found


def calibrated_file(
    name: str,
    operators: Sequence[Operator] | Sequence[Profiled],
    measured: Measurement,
) -> CalibratedFile:
    """Return what one measurement, and perhaps a profile, say of a network of the calibration set."""
    return CalibratedFile(
        name=name,
        operators=tuple(o.operator if isinstance(o, Profiled) else o for o in operators),
        operator_us=tuple(o.microseconds for o in operators if isinstance(o, Profiled)),
        p50_ms=measured.p50_ms.value,
        p90_ms=measured.p90_ms.value,
        p95_ms=measured.p95_ms.value,
        p99_ms=measured.p99_ms.value,
        memory_bytes=measured.memory_bytes,
    )


def _path(device: str, threads: int) -> Path:
    safe = re.sub(r"[^A-Za-z0-9.-]+", "-", device).strip("-.") or "device"
    return user_folder() / f"{safe}.{threads}-threads.calibration.json"
