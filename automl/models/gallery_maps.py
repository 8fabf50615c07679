"""Rooms of a gallery with maps of features: convolutions of all kinds, and what stands between them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch
from torch import nn
from torch.nn import functional

from automl.models.gallery_layers import Layer, Scale, begin_room, draw_width, round_width

__all__ = ["map_room"]

_LAYERS = 10
_ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU,
    nn.GELU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.ReLU6,
    nn.Sigmoid,
    nn.LeakyReLU,
    nn.Identity,
)


def map_room(draw: Random, side: int) -> nn.Sequential:
    """Return layers on ``(1, channels, side, side)``."""
    stem, channels = begin_room(draw, side)
    layers: list[nn.Module] = [stem]
    for _ in range(_LAYERS):
        kind = draw.choice(_MAP_LAYERS)
        wanted = draw_width(draw, side)
        layer, channels = kind(draw, channels, wanted)
        layers += [layer, draw.choice(_ACTIVATIONS)()]
    return nn.Sequential(*layers)


Made = tuple[nn.Module, int]


def _pointwise(draw: Random, channels: int, wanted: int) -> Made:
    return nn.Sequential(nn.Conv2d(channels, wanted, 1, bias=False), nn.BatchNorm2d(wanted)), wanted


def _dense(draw: Random, channels: int, wanted: int) -> Made:
    window = draw.choice([3, 3, 3, 5])
    small = round_width(wanted / (2 if window == 3 else 4))
    return nn.Conv2d(channels, small, window, padding=window // 2), small


def _standardized(draw: Random, channels: int, wanted: int) -> Made:
    """With weights that are calculated at every call."""
    from timm.layers import ScaledStdConv2d

    return ScaledStdConv2d(channels, channels, draw.choice([1, 3])), channels


def _depthwise(draw: Random, channels: int, wanted: int) -> Made:
    shape = draw.choice([(3, 3), (3, 3), (5, 5), (7, 7), (9, 9), (1, 11), (11, 1)])
    pad = (shape[0] // 2, shape[1] // 2)
    return nn.Conv2d(channels, channels, shape, padding=pad, groups=channels), channels


def _multiplied(draw: Random, channels: int, wanted: int) -> Made:
    """Several results from each channel alone."""
    layer = nn.Conv2d(channels, 2 * channels, draw.choice([3, 7]), 2, 3, groups=channels)
    return Layer(
        lambda x, a, b: functional.interpolate(b(a(x)), size=x.shape[-2:]),
        layer,
        nn.Conv2d(2 * channels, channels, 1),
    ), channels


def _grouped(draw: Random, channels: int, wanted: int) -> Made:
    groups = draw.choice([one for one in (2, 4, 8) if channels % one == 0])
    window = draw.choice([1, 3, 3, 3])
    return nn.Conv2d(channels, channels, window, padding=window // 2, groups=groups), channels


def _excited(draw: Random, channels: int, wanted: int) -> Made:
    from timm.layers import SEModule

    gate = draw.choice(["sigmoid", "hard_sigmoid"])
    return SEModule(channels, rd_ratio=draw.choice([0.25, 0.0625]), gate_layer=gate), channels


def _pooled(draw: Random, channels: int, wanted: int) -> Made:
    pool = draw.choice(
        [nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(2, 2), nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(2, 2)]
    )
    if pool.stride == 1:
        return Layer(lambda x, p: p(x) - x, pool), channels
    mode = draw.choice(["nearest", "bilinear", "bicubic"])
    return Layer(
        lambda x, p: functional.interpolate(p(x), size=x.shape[-2:], mode=mode), pool
    ), channels


def _normalized(draw: Random, channels: int, wanted: int) -> Made:
    from timm.layers import LayerNorm2d

    layer = draw.choice([LayerNorm2d, nn.BatchNorm2d, lambda c: nn.GroupNorm(1, c), LayerNorm2d])
    return layer(channels), channels


def _joined(draw: Random, channels: int, wanted: int) -> Made:
    """Two branches: added, multiplied, or put side by side."""
    left, right = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
    way = draw.choice(["add", "multiply", "beside", "scaled", "stacked"])
    if way == "stacked":
        return Layer(lambda x, a: torch.stack([x, a(x)], dim=1).sum(dim=1), left), channels
    if way == "add":
        return Layer(lambda x, a, b: a(x) + b(x), left, right), channels
    if way == "multiply":
        return Layer(lambda x, a, b: functional.relu6(a(x)) * b(x), left, right), channels
    if way == "beside":
        return Layer(lambda x, a: torch.cat([x, a(x)], dim=1), left), 2 * channels
    return Layer(lambda x, a, s: x + s(a(x)), left, Scale(channels, 1, 1)), channels


def _parted(draw: Random, channels: int, wanted: int) -> Made:
    """Channels split, shuffled, padded or cut."""
    way = draw.choice(["shuffle", "split", "pad", "mean"])
    if way == "shuffle":
        return nn.ChannelShuffle(2), channels
    if way == "split":
        half = channels // 2
        return Layer(
            lambda x, a: torch.cat([x[:, :half], a(x[:, half:])], dim=1),
            nn.Conv2d(channels - half, channels - half, 3, padding=1),
        ), channels
    if way == "pad":
        return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 2)), channels
    return Layer(lambda x: x - x.mean(dim=1, keepdim=True)), channels


_MAP_LAYERS: tuple[Callable[[Random, int, int], Made], ...] = (
    *(_pointwise,) * 6,
    *(_depthwise,) * 5,
    *(_dense,) * 3,
    *(_joined,) * 3,
    _grouped,
    _grouped,
    _multiplied,
    _standardized,
    _excited,
    _pooled,
    _pooled,
    _normalized,
    _normalized,
    _parted,
)
