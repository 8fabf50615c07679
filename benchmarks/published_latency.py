"""Networks of published latency tables as the operators that the latency model knows.

FBNet (Wu et al., CVPR 2019): the searchable blocks of HW-NAS-Bench's table, as its column ``blocks`` names
them. timm's networks: :mod:`benchmarks.compiled_torch`.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from automl.hardware.prediction.operators import Operator
from benchmarks.float_operators import convolution_kind, moving, multiplying

__all__ = ["Published", "convolution", "fbnet_operators", "read_fbnet"]

_SIDE = 32
_STEM = 16
_LAST = 1504
_CLASSES = 100
_CHANNELS = (16, *(24,) * 4, *(32,) * 4, *(64,) * 4, *(112,) * 4, *(184,) * 4, 352)
_FIRST_OF_STAGE = {0: 1, 1: 1, 5: 2, 9: 2, 13: 1, 17: 2, 21: 1}
"""Block -> stride; all others have stride 1."""
_BLOCK = re.compile(r"k(?P<kernel>\d)_e(?P<expansion>\d)(?:_g(?P<groups>\d))?")


@dataclass(frozen=True)
class Published:
    """One network of a table."""

    name: str
    operators: tuple[Operator, ...]
    latency_ms: dict[str, float]


def read_fbnet(path: Path) -> list[Published]:
    """Return all networks of the FBNet table with their latencies by device."""
    with path.open(newline="") as stream:
        return [
            Published(
                row["blocks"],
                fbnet_operators(row["blocks"].split()),
                {name[:-3]: float(row[name]) for name in ("raspi4_ms", "fpga_ms")},
            )
            for row in csv.DictReader(stream)
        ]


def fbnet_operators(blocks: Sequence[str]) -> tuple[Operator, ...]:
    """Return the operators of an FBNet network on frames of 32 x 32 pixels, activations merged."""
    found = [convolution(3, _STEM, _SIDE, window=3)]
    side, channels = _SIDE, _STEM
    for place, (block, out) in enumerate(zip(blocks, _CHANNELS, strict=True)):
        stride = _FIRST_OF_STAGE.get(place, 1)
        found += _block(block, channels, out, side, stride)
        side, channels = math.ceil(side / stride), out
    found.append(convolution(channels, _LAST, side))
    found.append(moving("pool", _LAST * side * side, _LAST))
    found.append(replace(convolution(_LAST, _CLASSES, 1), kind="matrix"))
    return tuple(found)


def _block(name: str, channels: int, out: int, side: int, stride: int) -> list[Operator]:
    if name == "skip":
        if stride == 1 and channels == out:
            return []
        return [convolution(channels, out, side, stride=stride)]
    match = _BLOCK.fullmatch(name)
    if match is None:
        raise ValueError(f"A block is 'skip' or like 'k3_e6_g2'; got '{name}'.")
    kernel, groups = int(match["kernel"]), int(match["groups"] or 1)
    inner = channels * int(match["expansion"])
    found = [replace(convolution(channels, inner, side, groups=groups), shrinking=float(stride))]
    if groups > 1:
        found.append(moving("move", inner * side * side, inner * side * side))
    found.append(convolution(inner, inner, side, window=kernel, stride=stride, groups=inner))
    small = math.ceil(side / stride)
    found.append(convolution(inner, out, small, groups=groups))
    if stride == 1 and channels == out:
        found.append(moving("elementwise", 2 * out * side * side, out * side * side))
    return found


def convolution(
    channels: int, out: int, side: int, *, window: int = 1, stride: int = 1, groups: int = 1
) -> Operator:
    """Return a convolution with padding on ``(channels, side, side)`` float32."""
    small = math.ceil(side / stride)
    inner = channels // groups
    return multiplying(
        convolution_kind(places=window, groups=groups, in_channels=inner),
        macs=small * small * out * inner * window * window,
        read=channels * side * side,
        weights=out * inner * window * window,
        written=out * small * small,
        in_channels=inner,
        out_channels=out,
        places=small * small,
        window=window,
        shrinking=float(stride),
    )
