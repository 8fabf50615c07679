"""Measurements that need not be made again: one small file each, in the user's cache.

Latency depends on the graph, not on the weights, so the key holds the hash of the structure. A
damaged entry is a miss; an entry that cannot be written is said and costs nothing but the next
measurement.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from automl.hardware.device import MeasureRequest
from automl.records.measurement import Host, Measurement
from automl.records.spec import Scope
from automl.storage import (
    DamagedFileError,
    cache_folder,
    read_record,
    sha256_bytes,
    write_record,
)

__all__ = ["MeasurementCache", "answers", "measurement_key"]

_VERSION = 1
"""Raised when what is measured changes, so that older entries are not used."""
_SHARE_TIMED = 1 / 3
"""Of ``max_seconds`` a slow model spends up to two thirds in warm-up and untimed runs."""
_KEY = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


def measurement_key(
    *,
    graph_hash: str,
    host: Host,
    threads: int,
    scope: Scope,
    frame_size: tuple[int, int],
    image_sha256: str | None = None,
) -> str:
    """Return the name (64 hexadecimal digits) under which a measurement is kept.

    Args:
        graph_hash: hash of the network's structure, without its weights.
        host: its :attr:`~automl.records.Host.key` counts: processor, instruction sets, runtime.
        threads: processor threads.
        scope: what the latency covers.
        frame_size: (height, width) of the frame.
        image_sha256: of the encoded image that is timed under scope ``file``: how long it takes to
            decode depends on its bytes. Counts under that scope alone.
    """
    parts: tuple[str | int, ...]
    parts = (_VERSION, graph_hash, host.key, threads, scope.value, *frame_size)
    if scope is Scope.FILE and image_sha256 is not None:
        parts = (*parts, image_sha256)
    return sha256_bytes(json.dumps(parts).encode())


def answers(measurement: Measurement, request: MeasureRequest) -> bool:
    """Whether an earlier measurement of the same graph says what a request asks.

    One that stopped early answers only a budget that it already shows to be missed; one with fewer
    runs, or without the memory that is asked for, does not answer.
    """
    if request.memory and measurement.memory_bytes is None:
        return False
    if not measurement.stopped_early:
        enough = measurement.runs >= request.min_runs
        took_its_time = measurement.seconds >= request.max_seconds * _SHARE_TIMED
        return took_its_time or (enough and measurement.seconds >= request.min_seconds)
    return request.stop_early and any(
        measurement.percentile(budget.percentile).low > budget.limit_ms
        for budget in request.budgets
    )


class MeasurementCache:
    """Measurements by :func:`measurement_key`. Several processes may use one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """Use a folder, by default ``measurements`` in the user's cache."""
        self._folder = cache_folder("measurements") if folder is None else folder

    def get(self, key: str) -> Measurement | None:
        """Return what is kept under a key, or ``None``: nothing, or nothing that can be trusted."""
        path = self._path(key)
        try:
            return read_record(path, Measurement)
        except FileNotFoundError:
            return None
        except (DamagedFileError, OSError) as error:
            _log.warning("Measuring again: %s", error)
            return None

    def put(self, key: str, measurement: Measurement) -> None:
        """Keep a measurement, atomically. A full or read-only disk is logged, not raised."""
        try:
            write_record(self._path(key), measurement)
        except OSError as error:
            _log.warning("A measurement could not be kept for later runs: %s", error)

    def _path(self, key: str) -> Path:
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"A key is 64 hexadecimal digits, from measurement_key; got '{key}'.")
        return self._folder / f"{key}.json"
