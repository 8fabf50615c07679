"""Timing the operators of files again and again: of each file the calmest round counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from automl.hardware.prediction.operators import Profiled, profile_operators
from automl.pipeline.calibration_set import ExportedNetwork

__all__ = ["profile_calmly"]

_RUNS = 8
"""Inferences a round."""


def profile_calmly(
    files: Sequence[ExportedNetwork],
    threads: int,
    progress: Callable[[str], None],
    *,
    rounds: int,
) -> list[tuple[Profiled, ...] | None]:
    """Time the operators of files, all of them once a round; of each file the calmest round counts.

    A file that fails in one round is ``None``, and that is told.

    Raises:
        OSError: the disk is full, or cannot be written.
        MemoryError: there is too little of it.
    """
    calmest: dict[int, tuple[Profiled, ...]] = {}
    failed: set[int] = set()
    for number in range(1, rounds + 1):
        progress(f"timing the operators of {len(files) - len(failed)} files, {number} of {rounds}")
        for place, file in enumerate(files):
            if place in failed:
                continue
            try:
                seen = _profile(file, threads)
            except (OSError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - of onnxruntime: others can do without this file
                progress(f"left out: {file.name}: {error}")
                failed.add(place)
            else:
                calmest[place] = min(calmest.get(place, seen), seen, key=_total_us)
    return [None if place in failed else calmest[place] for place in range(len(files))]


def _profile(file: ExportedNetwork, threads: int) -> tuple[Profiled, ...]:
    return profile_operators(file.path, frame_size=file.frame_size, runs=_RUNS, threads=threads)


def _total_us(operators: Sequence[Profiled]) -> float:
    return sum(one.microseconds for one in operators)
