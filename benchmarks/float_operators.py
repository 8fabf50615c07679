"""Operators of float32 networks that no runtime has run, from how many numbers they handle."""

from __future__ import annotations

from automl.hardware.prediction.kinds import OperatorKind
from automl.hardware.prediction.operators import Operator

__all__ = ["FLOAT_BYTES", "convolution_kind", "moving", "multiplying"]

FLOAT_BYTES = 4


def multiplying(
    kind: OperatorKind,
    *,
    macs: int,
    read: int,
    weights: int,
    written: int,
    in_channels: int,
    out_channels: int,
    places: int,
    window: int = 1,
    shrinking: float = 1.0,
) -> Operator:
    """Return a convolution or product; ``read``, ``weights`` and ``written`` count numbers."""
    return Operator(
        name="",
        kind=kind,
        is_int8=False,
        macs=macs,
        read_bytes=FLOAT_BYTES * read,
        weight_bytes=FLOAT_BYTES * weights,
        written_bytes=FLOAT_BYTES * written,
        in_channels=in_channels,
        out_channels=out_channels,
        places=places,
        window=window,
        shrinking=shrinking,
    )


def moving(kind: OperatorKind, read: int, written: int, *, weights: int = 0) -> Operator:
    """Return an operator without multiplications that reads and writes so many numbers."""
    return multiplying(
        kind,
        macs=0,
        read=read,
        weights=weights,
        written=written,
        in_channels=1,
        out_channels=1,
        places=max(read, written),
    )


def convolution_kind(*, places: int, groups: int, in_channels: int) -> OperatorKind:
    """Return the kind of a convolution whose results look at so many places and channels."""
    if groups > 1:
        return "depthwise" if in_channels == 1 else "grouped"
    return "pointwise" if places == 1 else "convolution"
