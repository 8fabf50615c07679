"""Static 8-bit quantization in which the layers that suffer most stay float."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.export.schemes.base import (
    QuantizationContext,
    SchemeOutcome,
    drop_rejection,
    drop_text,
)
from automl.export.schemes.int8_static import StaticResult, best_static
from automl.export.schemes.qdq import quantize_qdq
from automl.export.schemes.sensitivity import Layer, find_layers, rank_layers
from automl.storage import write_atomic

__all__ = ["Int8MixedScheme"]

_PROBE_FRAMES = 8
"""Frames on which the damage of one layer is measured: its order settles with a handful."""
_MOST_FLOAT = 0.5
"""Share of the layers that may stay float; beyond it float32 is as fast."""


class Int8MixedScheme:
    """Quantize, then give back to float as few layers as the limit on the drop asks for."""

    name = "int8-mixed"
    explanation = (
        "Like int8-static, but the few layers that lose most by rounding keep their full "
        "precision, so that the answers stay within the allowed loss."
    )
    plannable = False
    repairs: str | None = "int8-static"

    def apply(self, float_model: Path, output: Path, context: QuantizationContext) -> SchemeOutcome:
        """Start from int8-static and keep 1, 2, 4, … layers float until it is good enough.

        The smallest number is then found by bisection. Rejected when plain int8-static is good
        enough, and while planning, when there is no score to go by; the file is then that of
        int8-static.
        """
        with tempfile.TemporaryDirectory(prefix="automl-int8-") as name:
            folder = Path(name)
            static = best_static(float_model, folder, context, scheme=self.name)
            refused = _is_pointless(static, context)
            if refused is not None:
                write_atomic(output, static.path.read_bytes())
                return SchemeOutcome(static.details(context), refused)
            found = _Search(static, context, folder, self.name).run()
            write_atomic(output, found.path.read_bytes())
        rejected = drop_rejection(self.name, found.score, context)
        return SchemeOutcome(static.details(context) | found.details(), rejected)


@dataclass(frozen=True)
class _Mixture:
    """One attempt: some layers float, the rest 8 bits."""

    path: Path
    score: float
    kept: tuple[Layer, ...]
    layers: int

    def details(self) -> dict[str, str]:
        """Return what was kept, for the report; names of at most eight layers."""
        names = [layer.name.removeprefix("network/") for layer in self.kept]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        count = f"{len(names)} of {self.layers} layers"
        return {"kept in float": f"{count}: {shown}" if names else count}


class _Search:
    """Finds the fewest layers, in the order of their damage, whose precision must be kept."""

    def __init__(
        self, static: StaticResult, context: QuantizationContext, folder: Path, scheme: str
    ) -> None:
        self._static = static
        self._context = context
        self._folder = folder
        self._scheme = scheme
        self._layers = find_layers(static.prepared.path)
        self._ranked: Sequence[Layer] = ()

    def run(self) -> _Mixture:
        """Return the best mixture that time allows."""
        assert self._static.score is not None
        best = _Mixture(self._static.path, self._static.score, (), len(self._layers))
        self._ranked = [layer for layer, _ in self._rank()]
        most = max(1, int(len(self._layers) * _MOST_FLOAT))
        count, failed = 1, 0
        while not self._context.deadline():
            attempt = self._attempt(count)
            best = max(best, attempt, key=lambda mixture: mixture.score)
            if self._is_within(attempt):
                return self._bisect(failed, attempt)
            failed = count
            if count == most:
                break
            count = min(2 * count, most)
        return best

    def _bisect(self, failed: int, best: _Mixture) -> _Mixture:
        """Return the smallest mixture within the limit, above a count that failed."""
        while len(best.kept) - failed > 1 and not self._context.deadline():
            middle = (failed + len(best.kept)) // 2
            attempt = self._attempt(middle)
            if self._is_within(attempt):
                best = attempt
            else:
                failed = middle
        return best

    def _attempt(self, count: int) -> _Mixture:
        assert self._context.score is not None
        kept = tuple(self._ranked[:count])
        path = self._folder / f"mixed-{count}.onnx"
        quantize_qdq(
            self._static.prepared,
            path,
            ranges=self._static.ranges,
            number_format=self._static.number_format,
            scheme=self._scheme,
            keep_float=[node for layer in kept for node in layer.nodes],
        )
        return _Mixture(path, self._context.score(path), kept, len(self._layers))

    def _is_within(self, mixture: _Mixture) -> bool:
        return drop_rejection(self._scheme, mixture.score, self._context) is None

    def _rank(self) -> tuple[tuple[Layer, float], ...]:
        calibration = self._context.calibration
        step = max(1, len(calibration) // _PROBE_FRAMES)
        return rank_layers(
            self._static.prepared,
            self._layers,
            frames=list(calibration[::step][:_PROBE_FRAMES]),
            ranges=self._static.ranges,
            number_format=self._static.number_format,
            folder=self._folder,
            deadline=self._context.deadline,
        )


def _is_pointless(static: StaticResult, context: QuantizationContext) -> str | None:
    """Return why no mixture is looked for, or ``None``."""
    if static.score is None or context.float_score is None:
        return "which layers stay float is known only after training"
    if drop_rejection("int8-static", static.score, context) is not None:
        return None
    lost = drop_text(context.float_score - static.score)
    return f"not needed: int8-static {lost}, within {context.max_drop:g}"
