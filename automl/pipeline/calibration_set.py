"""The networks and galleries that a device is calibrated with, as files like those delivered.

They are exported once, which takes some minutes, and kept in the cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.export.metadata import package_versions
from automl.hardware.host import local_host
from automl.pipeline.jobs import Exported, ExportJob, export_untrained
from automl.pipeline.workers import JobFailure, WorkerPool
from automl.records import Architecture, TaskOptions
from automl.storage import cache_folder, sha256_bytes, write_atomic

__all__ = ["CALIBRATION_SET", "GALLERIES", "SCHEMES", "ExportedNetwork", "export_set"]

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
_GALLERY_DRAWS = 1
"""Counts up when galleries are drawn differently: files in the cache are then made anew."""


@dataclass(frozen=True)
class ExportedNetwork:
    """One file of a set."""

    name: str
    """``mobilenetv2_050-full-160.int8-static``."""
    path: Path
    frame_size: tuple[int, int]


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
