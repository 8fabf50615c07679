"""What a quantization scheme is: one way of making a float file smaller and perhaps faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["QuantizationContext", "Scheme", "SchemeOutcome", "drop_rejection", "drop_text"]

_ROUNDING = 1e-9
"""0.90 - 0.89 is more than 0.01 in binary; a drop of just the limit is allowed."""


@dataclass(frozen=True)
class QuantizationContext:
    """What a scheme may use and must keep to."""

    calibration: Sequence[NDArray[np.uint8]]
    """Frames ``(H, W, 3)`` from the training split only."""
    score: Callable[[Path], float] | None
    """Objective of a model file on the validation split. ``None`` while planning: the network is
    untrained, only its speed matters, and the first option is taken."""
    float_score: float | None
    """Objective of the float32 file, when there is a score."""
    max_drop: float
    """Largest loss of the objective against float32, absolute."""
    instruction_sets: tuple[str, ...]
    """Of the target, as in :class:`automl.records.Host`."""
    deadline: Callable[[], bool]
    """True when time is up: the best so far is returned."""


@dataclass(frozen=True)
class SchemeOutcome:
    """What a scheme decided. The output file is written in any case."""

    details: dict[str, str]
    """For the report: calibration method, nodes kept in float, …"""
    rejected: str | None
    """Why the file should not be used, with the numbers, or ``None``."""


class Scheme(Protocol):
    """A way to quantize. Registered by name in :mod:`automl.registry`."""

    name: str
    explanation: str
    """One sentence in plain words, for the report."""
    plannable: bool
    """False when the latency is known only after training."""
    repairs: str | None
    """A scheme whose loss this one repairs: it is made only when that one's file was rejected."""

    def apply(self, float_model: Path, output: Path, context: QuantizationContext) -> SchemeOutcome:
        """Write ``output``, the quantized form of ``float_model``, atomically."""
        ...


def drop_text(drop: float) -> str:
    """Return a loss of the objective for people: ``loses 0.0123`` or ``gains 0.0045``."""
    return (
        f"loses {drop:.4f}" if drop > 0 else f"gains {-drop:.4f}" if drop < 0 else "loses nothing"
    )


def drop_rejection(scheme: str, score: float | None, context: QuantizationContext) -> str | None:
    """Return why a score is too low against float32, or ``None`` when it is within the limit."""
    if score is None or context.float_score is None:
        return None
    drop = context.float_score - score
    if drop <= context.max_drop + _ROUNDING:
        return None
    return (
        f"{scheme} loses {drop:.4f} of the objective against float32 "
        f"({context.float_score:.4f} -> {score:.4f}); at most {context.max_drop:g} is allowed"
    )
