"""Measuring once more what other work on the machine disturbed: of two answers the quieter one counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.records import Measurement

__all__ = ["measure_calmly"]

_Answer: TypeAlias = Measurement | MeasureFailure


def measure_calmly(
    measure: Callable[[Sequence[MeasureRequest]], Sequence[_Answer]],
    requests: Sequence[MeasureRequest],
) -> list[_Answer]:
    """Return one answer a request; those that were disturbed are measured twice, together."""
    found = list(measure(requests))
    again = [i for i, a in enumerate(found) if isinstance(a, Measurement) and a.is_disturbed]
    if again:
        for i, answer in zip(again, measure([requests[i] for i in again]), strict=True):
            found[i] = _quieter(found[i], answer)
    return found


def _quieter(first: _Answer, second: _Answer) -> _Answer:
    """Return the one of two answers for the same file that waited less for the processor."""
    if not isinstance(first, Measurement):
        return second
    if not isinstance(second, Measurement):
        return first
    return min(first, second, key=lambda m: m.mean_ms / m.cpu_ms)
