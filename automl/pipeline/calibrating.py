"""Learning how fast a device is: a set of small networks is measured on it, as files like those delivered.

The files are exported once and kept in the cache; measuring them takes a minute or two.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from automl.errors import AutomlError
from automl.export.metadata import package_versions
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
from automl.hardware.prediction.operators import (
    Operator,
    Profiled,
    profile_operators,
    read_operators,
)
from automl.pipeline.jobs import Exported, ExportJob, export_gallery, export_untrained
from automl.pipeline.repeating import measure_calmly
from automl.pipeline.workers import JobFailure, WorkerPool
from automl.records import Architecture, Measurement, Scope, TaskOptions
from automl.storage import cache_folder, sha256_bytes, sha256_file, write_atomic

__all__ = [
    "CALIBRATION_SET",
    "GALLERIES",
    "SCHEMES",
    "ExportedNetwork",
    "calibrate",
    "export_set",
    "measure_files",
]

CALIBRATION_SET: tuple[tuple[str, int], ...] = (
    ("mobilenetv2_050", 160),
    ("mobilenetv3_small_100", 224),
    ("tf_efficientnet_lite0", 128),
    ("efficientnet_b0", 128),
    ("resnet10t", 176),
    ("resnet18", 128),
    ("resnet26t", 128),
    ("regnetx_002", 160),
    ("regnety_002", 192),
    ("mnasnet_small", 224),
    ("ghostnet_050", 192),
    ("tinynet_e", 106),
    ("lcnet_050", 224),
    ("convnext_atto", 96),
    ("vit_tiny_patch16_224", 224),
    ("mobilevit_xxs", 128),
    ("repvgg_a0", 128),
    ("fbnetc_100", 160),
    ("densenet121", 96),
    ("cs3darknet_s", 128),
    ("edgenext_xx_small", 128),
    ("tf_efficientnet_lite0", 288),
)
"""timm networks with their image sizes: small ones, of as many kinds of operators as there are."""
GALLERIES: tuple[tuple[str, int], ...] = tuple(
    [(f"gallery-maps-{number}", 224) for number in range(1, 7)]
    + [(f"gallery-tokens-{number}", 224) for number in range(1, 6)]
)
"""Networks made of many different operators (:mod:`automl.models.gallery`), to learn what each takes."""
SCHEMES = ("float32", "int8-static")
_CLASSES = tuple(f"class-{number}" for number in range(10))
_CALLED = ("lcnet_050", 128)
_FRAMES = ((240, 320), (960, 1280))
"""A small network on frames of two sizes (height, width): what a call costs beside the network."""
_RUNS = 40
_SECONDS = 0.6
_LONGEST_SECONDS = 3.0
_FILES_AT_ONCE = 12
_PROFILED_RUNS = 8
_NETWORK_ROUNDS = 4
"""Short networks are easily disturbed while they are profiled."""
_GALLERY_ROUNDS = 2
_GALLERY_DRAWS = 1
"""Counts up when galleries are drawn differently: files in the cache are then made anew."""


@dataclass(frozen=True)
class ExportedNetwork:
    """One file of a set."""

    name: str
    """``mobilenetv2_050-full-160.int8-static``."""
    path: Path
    frame_size: tuple[int, int]


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
    if len(ran) < FEWEST_NETWORKS:
        raise AutomlError(
            f"Only {len(ran)} of {len(files)} networks of the calibration set ran on "
            f"'{device.name}'; at least {FEWEST_NETWORKS} are needed. Run `automl doctor` there."
        )
    known = _operators([file for file, _ in ran], is_here, threads, progress)
    found = [
        calibrated_file(file.name, operators, answer)
        for (file, answer), operators in zip(ran, known, strict=True)
    ]
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


def _operators(
    files: Sequence[ExportedNetwork],
    is_here: bool,
    threads: int,
    progress: Callable[[str], None],
) -> Sequence[Sequence[Operator] | Sequence[Profiled]]:
    """Return what files make a machine do, with the times of this one if it is meant."""
    if is_here:
        return _profile_calmly(files, threads, progress, rounds=_NETWORK_ROUNDS)
    return [read_operators(file.path, frame_size=file.frame_size) for file in files]


def _profile_galleries(
    galleries: Sequence[tuple[str, int]], threads: int, progress: Callable[[str], None]
) -> tuple[ProfiledGallery, ...]:
    files = []
    for file in export_set(galleries, job=export_gallery, progress=progress):
        try:
            read_operators(file.path, frame_size=file.frame_size)
        except Exception as error:  # noqa: BLE001 - of onnxruntime: other galleries can do without it
            progress(f"left out: {file.name}: {error}")
        else:
            files.append(file)
    timed = _profile_calmly(files, threads, progress, rounds=_GALLERY_ROUNDS)
    return tuple(ProfiledGallery(f.name, rows) for f, rows in zip(files, timed, strict=True))


def _profile_calmly(
    files: Sequence[ExportedNetwork],
    threads: int,
    progress: Callable[[str], None],
    *,
    rounds: int,
) -> list[tuple[Profiled, ...]]:
    """Time the operators of files, all of them once a round; of each file the calmest round counts."""
    seen = []
    for number in range(1, rounds + 1):
        progress(f"timing the operators of {len(files)} files, {number} of {rounds}")
        seen.append(
            [
                profile_operators(
                    file.path, frame_size=file.frame_size, runs=_PROFILED_RUNS, threads=threads
                )
                for file in files
            ]
        )
    return [min(found, key=_total_us) for found in zip(*seen, strict=True)]


def _total_us(operators: Sequence[Profiled]) -> float:
    return sum(one.microseconds for one in operators)


def export_set(
    networks: Sequence[tuple[str, int]] = CALIBRATION_SET,
    *,
    frames: Sequence[tuple[int, int] | None] = (None,),
    schemes: Sequence[str] = SCHEMES,
    job: Callable[[ExportJob], Exported] = export_untrained,
    progress: Callable[[str], None] = lambda text: None,
) -> list[ExportedNetwork]:
    """Return the files of a set of networks, exported untrained where the cache has them not.

    Networks that cannot be exported or quantized are left out, and that is told.

    Args:
        networks: timm names with image sizes, pixels a side.
        frames: (height, width) of the frames each is made for; ``None``: those of its image size.
    """
    folder = cache_folder("calibration-set") / sha256_bytes(
        json.dumps([package_versions(), list(schemes), _GALLERY_DRAWS]).encode()
    )
    folder.mkdir(exist_ok=True)
    wanted = [(n, frame or (n[1], n[1])) for n in networks for frame in frames]
    missing = [one for one in wanted if not _listing(folder, *one).exists()]
    if missing:
        with WorkerPool(2, threads=1) as pool:
            jobs = [_job(*one, tuple(schemes), folder) for one in missing]
            for one, made in zip(missing, pool.map(job, jobs), strict=True):
                progress(f"exported {one[0][0]} at {one[0][1]} px")
                if isinstance(made, JobFailure):
                    progress(f"{one[0][0]} is left out: {made.error}")
                files = made.files if isinstance(made, Exported) else ()
                write_atomic(_listing(folder, *one), json.dumps([f.path for f in files]).encode())
    return [
        ExportedNetwork(Path(path).stem, Path(path), frame)
        for network, frame in wanted
        for path in json.loads(_listing(folder, network, frame).read_text())
    ]


def _job(
    network: tuple[str, int], frame: tuple[int, int], schemes: tuple[str, ...], folder: Path
) -> ExportJob:
    own = folder / f"{network[0]}-{frame[0]}x{frame[1]}"
    own.mkdir(exist_ok=True)
    return ExportJob(
        architecture=Architecture(network[0], network[0], None, network[1]),
        task="classification",
        classes=_CLASSES,
        options=TaskOptions(),
        frame_size=frame,
        typical_frame=frame,
        schemes=schemes,
        instruction_sets=local_host().instruction_sets,
        folder=str(own),
    )


def _listing(folder: Path, network: tuple[str, int], frame: tuple[int, int]) -> Path:
    return folder / f"{network[0]}-{network[1]}-{frame[0]}x{frame[1]}.json"


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
