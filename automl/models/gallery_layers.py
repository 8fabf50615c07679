"""What the rooms of a gallery have in common: how they begin, how wide they are, single functions."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor, nn

__all__ = ["SIZE", "Layer", "Scale", "begin_room", "draw_width", "round_width"]

SIZE = 224
"""Pixels a side of a gallery."""
_ROUND = 0.75
"""Share of widths that are multiples of 8."""
_WIDEST = {112: 96, 56: 256, 28: 512, 14: 1024, 7: 2048}
"""Side of a map -> channels that networks have there at most."""


class Layer(nn.Module):
    """A layer written as a function, with the modules that it uses."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the function makes of an input and its modules."""
        return self.function(x, *self.parts)


class Scale(nn.Module):
    """A learnt factor a channel, ``(channels, *ones)``."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return the input times the factors."""
        return x * self.weight


def begin_room(draw: Random, side: int) -> tuple[nn.Module, int]:
    """Return what makes ``(1, channels, side, side)`` of the pixels, and the channels."""
    channels = draw_width(draw, side)
    step = SIZE // side
    window = step if step > 4 else draw.choice([3, step, 7])
    return nn.Conv2d(
        3, channels, window, step, padding=(window - 1) // 2 if step <= 4 else 0
    ), channels


def draw_width(draw: Random, side: int) -> int:
    """Return channels that a network may have at a resolution: most often a multiple of 8."""
    channels = _WIDEST[side] * 2 ** draw.uniform(-3.5, 0.0)
    return round_width(channels) if draw.random() < _ROUND else max(8, 2 * round(channels / 2))


def round_width(channels: float) -> int:
    """Return the next multiple of 8, at least 8."""
    return max(8, 8 * round(channels / 8))
