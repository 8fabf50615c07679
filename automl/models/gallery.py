"""Networks that are good for nothing but showing operators: what a device takes for each is learnt from them.

Real networks repeat few shapes. A gallery holds many rooms side by side; each begins at some resolution and
chains layers of kinds, widths and windows drawn at random, as today's networks use them. The draw is seeded:
a gallery is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional

from automl.models.backbones import Network
from automl.records import Architecture

__all__ = ["GALLERIES", "GALLERY_SIZE", "build_gallery"]

GALLERIES: tuple[str, ...] = tuple(
    [f"gallery-maps-{number}" for number in range(1, 7)]
    + [f"gallery-tokens-{number}" for number in range(1, 6)]
)
"""Names, as a calibration lists them: of rooms with maps of features, and of rooms with tokens."""
GALLERY_SIZE = 224
"""Pixels a side."""
_LAYERS = {"maps": 10, "tokens": 8}
_SIDES = {"maps": (112, 56, 28, 14, 7, 28, 14), "tokens": (56, 28, 14, 14, 7, 28)}
"""Of the map in each room."""
_WIDEST = {112: 96, 56: 256, 28: 512, 14: 1024, 7: 2048}
"""Side of a map -> channels that networks have there at most."""
_ROUND = 0.75
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build_gallery(name: str, *, classes: int) -> Network:
    """Return a gallery by its name: ``(1, 3, 224, 224)`` to ``(1, classes)``.

    Raises:
        KeyError: no gallery has that name.
    """
    place = {known: number for number, known in enumerate(GALLERIES)}[name]
    draw = Random(place)
    torch.manual_seed(place)
    kind, room = ("tokens", _token_room) if "-tokens-" in name else ("maps", _map_room)
    module = _Gallery([room(draw, side) for side in _SIDES[kind]], classes).eval()
    return Network(
        architecture=Architecture(name, name, None, GALLERY_SIZE),
        module=module,
        mean=_MEAN,
        std=_STD,
        weights=None,
        stages=1,
        parameters=sum(one.numel() for one in module.parameters()),
        macs=0,
    )


class _Gallery(nn.Module):
    def __init__(self, rooms: list[nn.Sequential], classes: int) -> None:
        super().__init__()
        self.rooms = nn.ModuleList(rooms)
        self.head = nn.LazyLinear(classes)
        with torch.no_grad():
            self(torch.zeros(1, 3, GALLERY_SIZE, GALLERY_SIZE))

    def forward(self, pixels: Tensor) -> Tensor:
        seen = [room(pixels).flatten(2).mean(-1) for room in self.rooms]
        result: Tensor = self.head(torch.cat(seen, dim=1))
        return result


class _Layer(nn.Module):
    """A layer written as a function, with the modules that it uses."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


class _Scale(nn.Module):
    """A learnt factor a channel, ``(channels, *ones)``."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def _stem(draw: Random, side: int) -> tuple[nn.Module, int]:
    """Return what makes ``(1, channels, side, side)`` of the pixels, and the channels."""
    channels = _width(draw, side)
    step = GALLERY_SIZE // side
    window = step if step > 4 else draw.choice([3, step, 7])
    return nn.Conv2d(3, channels, window, step, padding=(window - 1) // 2 if step <= 4 else 0), channels


def _width(draw: Random, side: int) -> int:
    """Return channels that a network may have at a resolution: most often a multiple of 8."""
    channels = _WIDEST[side] * 2 ** draw.uniform(-3.5, 0.0)
    return _eighth(channels) if draw.random() < _ROUND else max(8, 2 * round(channels / 2))


def _eighth(channels: float) -> int:
    """Return the next multiple of 8, at least 8."""
    return max(8, 8 * round(channels / 8))


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


def _map_room(draw: Random, side: int) -> nn.Sequential:
    """Return layers on ``(1, channels, side, side)``."""
    stem, channels = _stem(draw, side)
    layers: list[nn.Module] = [stem]
    for _ in range(_LAYERS["maps"]):
        kind = draw.choice(_MAP_LAYERS)
        wanted = _width(draw, side)
        layer, channels = kind(draw, channels, wanted)
        layers += [layer, draw.choice(_ACTIVATIONS)()]
    return nn.Sequential(*layers)


Made = tuple[nn.Module, int]


def _pointwise(draw: Random, channels: int, wanted: int) -> Made:
    return nn.Sequential(nn.Conv2d(channels, wanted, 1, bias=False), nn.BatchNorm2d(wanted)), wanted


def _dense(draw: Random, channels: int, wanted: int) -> Made:
    window = draw.choice([3, 3, 3, 5])
    small = _eighth(wanted / (2 if window == 3 else 4))
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
    return _Layer(lambda x, a, b: functional.interpolate(b(a(x)), size=x.shape[-2:]), layer,
                  nn.Conv2d(2 * channels, channels, 1)), channels


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
        return _Layer(lambda x, p: p(x) - x, pool), channels
    mode = draw.choice(["nearest", "bilinear", "bicubic"])
    return _Layer(
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
        return _Layer(lambda x, a: torch.stack([x, a(x)], dim=1).sum(dim=1), left), channels
    if way == "add":
        return _Layer(lambda x, a, b: a(x) + b(x), left, right), channels
    if way == "multiply":
        return _Layer(lambda x, a, b: functional.relu6(a(x)) * b(x), left, right), channels
    if way == "beside":
        return _Layer(lambda x, a: torch.cat([x, a(x)], dim=1), left), 2 * channels
    return _Layer(lambda x, a, s: x + s(a(x)), left, _Scale(channels, 1, 1)), channels


def _parted(draw: Random, channels: int, wanted: int) -> Made:
    """Channels split, shuffled, padded or cut."""
    way = draw.choice(["shuffle", "split", "pad", "mean"])
    if way == "shuffle":
        return nn.ChannelShuffle(2), channels
    if way == "split":
        half = channels // 2
        return _Layer(
            lambda x, a: torch.cat([x[:, :half], a(x[:, half:])], dim=1),
            nn.Conv2d(channels - half, channels - half, 3, padding=1),
        ), channels
    if way == "pad":
        return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 2)), channels
    return _Layer(lambda x: x - x.mean(dim=1, keepdim=True)), channels


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


def _token_room(draw: Random, side: int) -> nn.Sequential:
    """Return layers on ``(1, side * side, channels)``."""
    stem, channels = _stem(draw, side)
    heads = draw.choice([2, 4, 6, 8])
    channels_of_all = max(32, channels // (4 * heads) * (4 * heads))
    layers: list[nn.Module] = [stem, _Layer(lambda x: x.flatten(2).transpose(1, 2))]
    layers.append(nn.Linear(channels, channels_of_all))
    choices = _TOKEN_LAYERS if side < 56 else _TOKEN_LAYERS[4:]
    for _ in range(_LAYERS["tokens"]):
        layers.append(draw.choice(choices)(draw, side, channels_of_all, heads))
    layers.append(_Layer(lambda x: x.transpose(1, 2)))
    return nn.Sequential(*layers)


def _attention(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    from timm.layers import Attention

    whole = heads if channels % heads == 0 else 4
    return _Layer(
        lambda x, n, a: x + a(n(x)), nn.LayerNorm(channels), Attention(channels, whole, qkv_bias=True)
    )


def _biased_attention(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Written out, with a bias a pair of places."""
    whole = heads if channels % heads == 0 else 4
    deep = channels // whole
    bias = _Scale(1, whole, side * side, side * side)

    def attend(x: Tensor, qkv: nn.Module, bias: nn.Module, out: nn.Module) -> Tensor:
        q, k, v = qkv(x).reshape(1, side * side, 3, whole, deep).permute(2, 0, 3, 1, 4).unbind(0)
        weight = (q * deep**-0.5) @ k.transpose(-2, -1)
        weight = (weight + bias.weight).softmax(dim=-1)
        result: Tensor = x + out((weight @ v).transpose(1, 2).reshape(1, side * side, channels))
        return result

    return _Layer(attend, nn.Linear(channels, 3 * channels), bias, nn.Linear(channels, channels))


def _cross_attention(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Between channels instead of places."""
    whole = heads if channels % heads == 0 else 4

    def attend(x: Tensor, qkv: nn.Module, out: nn.Module) -> Tensor:
        q, k, v = (
            qkv(x).reshape(1, side * side, 3, whole, channels // whole).permute(2, 0, 3, 4, 1).unbind(0)
        )
        weight = functional.normalize(q, dim=-1) @ functional.normalize(k, dim=-1).transpose(-2, -1)
        mixed = weight.softmax(dim=-1) @ v
        result: Tensor = x + out(mixed.permute(0, 3, 1, 2).reshape(1, side * side, channels))
        return result

    return _Layer(attend, nn.Linear(channels, 3 * channels), nn.Linear(channels, channels))


def _linear_attention(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Softmax over places, as in factorised attention."""

    def attend(x: Tensor, qkv: nn.Module) -> Tensor:
        q, k, v = qkv(x).chunk(3, dim=-1)
        result: Tensor = x + q @ (k.softmax(dim=1).transpose(1, 2) @ v)
        return result

    return _Layer(attend, nn.Linear(channels, 3 * channels))


def _perceptron(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    from timm.layers import Mlp

    layer = draw.choice([nn.GELU, nn.GELU, nn.SiLU, nn.ReLU, nn.Hardswish])
    wide = int(channels * draw.choice([2, 3, 4]))
    return _Layer(
        lambda x, n, m: x + m(n(x)), nn.LayerNorm(channels), Mlp(channels, wide, act_layer=layer)
    )


def _mixed(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """A product over places, between two transpositions."""
    inner = draw.choice([64, 128, 256])
    return _Layer(
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

    return _Layer(attend, Attention(channels, heads if channels % heads == 0 else 4))


def _convolved(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Tokens as a map and back, as hybrids do."""
    window = draw.choice([3, 3, 5])

    def convolve(x: Tensor, layer: nn.Module) -> Tensor:
        grid = x.transpose(1, 2).reshape(1, channels, side, side)
        result: Tensor = x + layer(grid).flatten(2).transpose(1, 2)
        return result

    layer = nn.Conv2d(channels, channels, window, padding=window // 2, groups=channels)
    return _Layer(convolve, layer)


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

    return _Layer(
        attend,
        nn.Linear(channels, 3 * channels),
        _Scale(side, near, deep),
        _Scale(side, near, deep),
    )


def _recurrent(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    """Along the rows, both ways."""
    wide = draw.choice([24, 48, 64])

    def run(x: Tensor, layer: nn.Module, out: nn.Module) -> Tensor:
        rows = layer(x.reshape(side, side, channels))[0]
        result: Tensor = x + out(rows).reshape(1, side * side, channels)
        return result

    layer = nn.LSTM(channels, wide, batch_first=True, bidirectional=True)
    return _Layer(run, layer, nn.Linear(2 * wide, channels))


def _scaled(draw: Random, side: int, channels: int, heads: int) -> nn.Module:
    return _Layer(
        lambda x, n, s, a: x + s(a(n(x))),
        nn.LayerNorm(channels),
        _Scale(channels),
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
