"""Learning how fast a device is: a set of small networks is measured on it, as files like those delivered.

The files are exported once and kept in the cache; measuring them takes a minute or two.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from automl.errors import AutomlError
from automl.hardware.device import Device, MeasureRequest
from automl.hardware.host import local_host
from automl.hardware.prediction.calibration import (
    Calibration,
    CallCost,
    ProfiledGallery,
    calibrated_file,
    save_calibration,
)
from automl.hardware.prediction.latency_model import FEWEST_NETWORKS
from automl.hardware.prediction.operators import Operator, Profiled, read_operators
from automl.pipeline.calibration_set import (
    CALIBRATION_SET,
    GALLERIES,
    ExportedNetwork,
    export_set,
)
from automl.pipeline.jobs import export_gallery
from automl.pipeline.profiling import profile_calmly
from automl.pipeline.repeating import measure_calmly
from automl.records import Measurement, Scope
from automl.storage import sha256_file

__all__ = ["calibrate", "measure_files"]

_CALLED = ("lcnet_050", 128)
_FRAMES = ((240, 320), (960, 1280))
"""A small network on frames of two sizes (height, width): what a call costs beside the network."""
_RUNS = 40
_SECONDS = 0.6
_LONGEST_SECONDS = 3.0
_FILES_AT_ONCE = 12
_NETWORK_ROUNDS = 4
"""Short networks are easily disturbed while they are profiled."""
_GALLERY_ROUNDS = 2


def calibrate(
    device: Device,
    *,
    name: str,
    threads: int = 1,
    networks: Sequence[tuple[str, int]] = CALIBRATION_SET,
    galleries: Sequence[tuple[str, int]] = GALLERIES,
    progress: Callable[[str], None] = lambda text: None,
) -> Calibration:
    """Measure the calibration set on a device and keep what was found.

    On this machine the runtime's profile also tells what every operator takes, and galleries of operators
    are added to the set. Elsewhere latencies of whole networks must do.

    Args:
        device: where to measure.
        name: under which the device is known from now on.
        threads: processor threads of the models.
        networks: timm names with image sizes, pixels a side.
        galleries: names with image sizes, likewise; used where operators can be timed.
        progress: told in one line what is being done.

    Raises:
        AutomlError: when the device cannot be reached, or too few networks ran on it.
    """
    is_here = device.host().key == local_host().key
    files = export_set(networks, progress=progress)
    called = export_set([_CALLED], frames=_FRAMES, schemes=("float32",), progress=progress)
    answers = measure_files(device, files, threads, progress)
    ran = [
        (file, answer) for file, answer in zip(files, answers, strict=True) if answer is not None
    ]
    _check_enough(len(ran), len(files), device.name)
    known = _operators([file for file, _ in ran], is_here, threads, progress)
    found = [
        calibrated_file(file.name, operators, answer)
        for (file, answer), operators in zip(ran, known, strict=True)
        if operators is not None
    ]
    _check_enough(len(found), len(files), device.name)
    frame, file_cost = _call_costs(device, called, threads)
    shown = _profile_galleries(galleries, threads, progress) if is_here else ()
    calibration = Calibration(
        device=name,
        host=device.host(),
        threads=threads,
        files=tuple(found),
        frame=frame,
        file=file_cost,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        galleries=shown,
    )
    save_calibration(calibration)
    return calibration


def _check_enough(ran: int, files: int, device: str) -> None:
    if ran < FEWEST_NETWORKS:
        raise AutomlError(
            f"Only {ran} of {files} networks of the calibration set ran on '{device}'; at least "
            f"{FEWEST_NETWORKS} are needed. Run `automl doctor` there."
        )


def _operators(
    files: Sequence[ExportedNetwork],
    is_here: bool,
    threads: int,
    progress: Callable[[str], None],
) -> Sequence[Sequence[Operator] | Sequence[Profiled] | None]:
    """Return what files make a machine do, with the times of this one if it is meant; ``None`` of a file
    whose operators cannot be timed."""
    if is_here:
        return profile_calmly(files, threads, progress, rounds=_NETWORK_ROUNDS)
    return [read_operators(file.path, frame_size=file.frame_size) for file in files]


def _profile_galleries(
    galleries: Sequence[tuple[str, int]], threads: int, progress: Callable[[str], None]
) -> tuple[ProfiledGallery, ...]:
    files = export_set(galleries, job=export_gallery, progress=progress)
    timed = profile_calmly(files, threads, progress, rounds=_GALLERY_ROUNDS)
    return tuple(
        ProfiledGallery(file.name, operators)
        for file, operators in zip(files, timed, strict=True)
        if operators is not None
    )


def measure_files(
    device: Device,
    files: Sequence[ExportedNetwork],
    threads: int,
    progress: Callable[[str], None],
) -> list[Measurement | None]:
    """Return the latency of each file, scope ``model``, or ``None`` where it does not run.

    What other work on the machine disturbed is measured once more: all predictions rest on it.
    """
    found: list[Measurement | None] = []
    for start in range(0, len(files), _FILES_AT_ONCE):
        part = files[start : start + _FILES_AT_ONCE]
        requests = [_request(f.path, f.frame_size, threads, Scope.MODEL) for f in part]
        measure = functools.partial(device.measure, progress=progress)
        for answer in measure_calmly(measure, requests):
            if isinstance(answer, Measurement):
                found.append(answer)
            else:
                progress(f"left out: {answer.error}")
                found.append(None)
    return found


def _request(path: Path, frame_size: tuple[int, int], threads: int, scope: Scope) -> MeasureRequest:
    return MeasureRequest(
        path=str(path),
        sha256=sha256_file(path),
        threads=threads,
        scope=scope,
        frame_size=frame_size,
        min_runs=_RUNS,
        min_seconds=_SECONDS,
        budgets=(),
        stop_early=False,
        memory=False,
        max_seconds=_LONGEST_SECONDS,
    )


def _call_costs(
    device: Device, files: Sequence[ExportedNetwork], threads: int
) -> tuple[CallCost, CallCost]:
    """Return what a call with a decoded and with an encoded frame costs beside the network.

    Raises:
        AutomlError: when a network that only handles frames does not run.
    """
    costs = []
    for scope in (Scope.FRAME, Scope.FILE):
        extra = []
        for file in files:
            requests = [
                _request(file.path, file.frame_size, threads, s) for s in (Scope.MODEL, scope)
            ]
            alone, whole = measure_calmly(device.measure, requests)
            if not (isinstance(alone, Measurement) and isinstance(whole, Measurement)):
                failed = next(a for a in (alone, whole) if not isinstance(a, Measurement))
                raise AutomlError(f"A call could not be timed on '{device.name}': {failed.error}.")
            extra.append(whole.p50_ms.value - alone.p50_ms.value)
        small, large = (height * width / 1e6 for height, width in _FRAMES)
        slope = max(0.0, (extra[1] - extra[0]) / (large - small))
        costs.append(CallCost(extra[0] - slope * small, slope))
    return costs[0], costs[1]
