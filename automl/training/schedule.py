"""Which parameters take steps of which size: one cycle of the learning rate, and where weights decay."""

from __future__ import annotations

import math

from torch import nn

__all__ = ["decayed_apart", "one_cycle"]

_WARM_UP_SHARE = 0.25
"""Share of all steps in which the learning rate rises; a quarter held best on short fine-tunings."""
_FIRST_RATE = 0.04
_LAST_RATE = 4e-6
"""Shares of the learning rate at both ends of a training, as Smith & Topin chose them."""


def decayed_apart(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return parameter groups: matrices decay, biases and normalisation scales do not."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def one_cycle(progress: float) -> float:
    """Return the share of the learning rate at a part of the training, both in [0, 1].

    It rises for a quarter of the time and falls for the rest, both along half a cosine.
    """
    if progress < _WARM_UP_SHARE:
        return _between(_FIRST_RATE, 1.0, progress / _WARM_UP_SHARE)
    return _between(1.0, _LAST_RATE, min(1.0, (progress - _WARM_UP_SHARE) / (1 - _WARM_UP_SHARE)))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))
