"""Rooms of a gallery with tokens: attention of several kinds, perceptrons, windows, recurrence."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional

from automl.models.gallery_layers import Layer, Scale, begin_room

__all__ = ["token_room"]

_LAYERS = 8


def token_room(draw: Random, side: int) -> nn.Sequential:
    """Return layers on ``(1, side * side, channels)``."""
    stem, channels = begin_room(draw, side)
    heads = draw.choice([2, 4, 6, 8])
    channels_of_all = max(32, channels // (4 * heads) * (4 * heads))
    layers: list[nn.Module] = [stem, Layer(lambda x: x.flatten(2).transpose(1, 2))]
    layers.append(nn.Linear(channels, channels_of_all))
    choices = _TOKEN_LAYERS if side < 56 else _TOKEN_LAYERS[4:]
    for _ in range(_LAYERS):
        layers.append(draw.choice(choices)(draw, side, channels_of_all, heads))
    layers.append(Layer(lambda x: x.transpose(1, 2)))
    return nn.Sequential(*layers)


def _attention(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    from timm.layers import Attention

    whole = heads if channels % heads == 0 else 4
    return Layer(
        lambda x, n, a: x + a(n(x)),
        nn.LayerNorm(channels),
        Attention(channels, whole, qkv_bias=True),
    )


def _biased_attention(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Written out, with a bias a pair of places."""
    whole = heads if channels % heads == 0 else 4
    deep = channels // whole
    bias = Scale(1, whole, side * side, side * side)

    def attend(x: Tensor, qkv: nn.Module, bias: nn.Module, out: nn.Module) -> Tensor:
        q, k, v = qkv(x).reshape(1, side * side, 3, whole, deep).permute(2, 0, 3, 1, 4).unbind(0)
        weight = (q * deep**-0.5) @ k.transpose(-2, -1)
        weight = (weight + bias.weight).softmax(dim=-1)
        result: Tensor = x + out((weight @ v).transpose(1, 2).reshape(1, side * side, channels))
        return result

    return Layer(attend, nn.Linear(channels, 3 * channels), bias, nn.Linear(channels, channels))


def _cross_attention(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Between channels instead of places."""
    whole = heads if channels % heads == 0 else 4

    def attend(x: Tensor, qkv: nn.Module, out: nn.Module) -> Tensor:
        q, k, v = (
            qkv(x)
            .reshape(1, side * side, 3, whole, channels // whole)
            .permute(2, 0, 3, 4, 1)
            .unbind(0)
        )
        weight = functional.normalize(q, dim=-1) @ functional.normalize(k, dim=-1).transpose(-2, -1)
        mixed = weight.softmax(dim=-1) @ v
        result: Tensor = x + out(mixed.permute(0, 3, 1, 2).reshape(1, side * side, channels))
        return result

    return Layer(attend, nn.Linear(channels, 3 * channels), nn.Linear(channels, channels))


def _linear_attention(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Softmax over places, as in factorised attention."""

    def attend(x: Tensor, qkv: nn.Module) -> Tensor:
        q, k, v = qkv(x).chunk(3, dim=-1)
        result: Tensor = x + q @ (k.softmax(dim=1).transpose(1, 2) @ v)
        return result

    return Layer(attend, nn.Linear(channels, 3 * channels))


def _perceptron(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    from timm.layers import Mlp

    layer = draw.choice([nn.GELU, nn.GELU, nn.SiLU, nn.ReLU, nn.Hardswish])
    wide = int(channels * draw.choice([2, 3, 4]))
    return Layer(
        lambda x, n, m: x + m(n(x)), nn.LayerNorm(channels), Mlp(channels, wide, act_layer=layer)
    )


def _mixed(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """A product over places, between two transpositions."""
    inner = draw.choice([64, 128, 256])
    return Layer(
        lambda x, a, b: x + b(functional.gelu(a(x.transpose(1, 2)))).transpose(1, 2),
        nn.Linear(side * side, inner),
        nn.Linear(inner, side * side),
    )


def _windowed(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Cut into windows of 7 x 7, rolled before."""
    count = side // 7

    def attend(x: Tensor, layer: nn.Module) -> Tensor:
        grid = x.reshape(1, side, side, channels)
        grid = torch.roll(grid, shifts=(-3, -3), dims=(1, 2))
        parts = grid.reshape(1, count, 7, count, 7, channels).permute(0, 1, 3, 2, 4, 5)
        parts = layer(parts.reshape(count * count, 49, channels))
        grid = parts.reshape(1, count, count, 7, 7, channels).permute(0, 1, 3, 2, 4, 5)
        result: Tensor = x + grid.reshape(1, side * side, channels)
        return result

    from timm.layers import Attention

    return Layer(attend, Attention(channels, heads if channels % heads == 0 else 4))


def _convolved(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Tokens as a map and back, as hybrids do."""
    window = draw.choice([3, 3, 5])

    def convolve(x: Tensor, layer: nn.Module) -> Tensor:
        grid = x.transpose(1, 2).reshape(1, channels, side, side)
        result: Tensor = x + layer(grid).flatten(2).transpose(1, 2)
        return result

    layer = nn.Conv2d(channels, channels, window, padding=window // 2, groups=channels)
    return Layer(convolve, layer)


def _relative(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Attention with a learnt bias a distance in rows and in columns."""
    whole = heads if channels % heads == 0 else 4
    deep, near = channels // whole, max(1, side // 4)

    def attend(x: Tensor, qkv: nn.Module, rows: nn.Module, columns: nn.Module) -> Tensor:
        q, k, v = qkv(x).reshape(1, side * side, 3, whole, deep).permute(2, 0, 3, 1, 4).unbind(0)
        k, v = k[:, :, :: (side // near) ** 2], v[:, :, :: (side // near) ** 2]
        count = k.shape[2]
        grid = q.reshape(1, whole, side, side, deep)
        high = torch.einsum("byhwc,hkc->byhwk", grid, rows.weight)
        wide = torch.einsum("byhwc,wkc->byhwk", grid, columns.weight)
        weight = (q @ k.transpose(-2, -1)).reshape(1, whole, side, side, count)
        weight = (weight + high[..., :1] + wide[..., :1]).reshape(1, whole, side * side, count)
        mixed = weight.softmax(dim=-1) @ v
        result: Tensor = x + mixed.transpose(1, 2).reshape(1, side * side, channels)
        return result

    return Layer(
        attend,
        nn.Linear(channels, 3 * channels),
        Scale(side, near, deep),
        Scale(side, near, deep),
    )


def _recurrent(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Along the rows, both ways."""
    wide = draw.choice([24, 48, 64])

    def run(x: Tensor, layer: nn.Module, out: nn.Module) -> Tensor:
        rows = layer(x.reshape(side, side, channels))[0]
        result: Tensor = x + out(rows).reshape(1, side * side, channels)
        return result

    layer = nn.LSTM(channels, wide, batch_first=True, bidirectional=True)
    return Layer(run, layer, nn.Linear(2 * wide, channels))


def _scaled(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    return Layer(
        lambda x, n, s, a: x + s(a(n(x))),
        nn.LayerNorm(channels),
        Scale(channels),
        nn.Linear(channels, channels),
    )


_TOKEN_LAYERS: tuple[Callable[[Random, int, int, int], nn.Module], ...] = (
    _attention,
    _biased_attention,
    _mixed,
    _recurrent,
    _cross_attention,
    _relative,
    _linear_attention,
    _perceptron,
    _perceptron,
    _perceptron,
    _windowed,
    _windowed,
    _convolved,
    _scaled,
)
