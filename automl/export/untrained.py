"""Weights for a network that is measured before it is trained.

A fresh network is full of constants: zero biases, unit scales. The exporter simplifies them away (a
convolution loses its zero bias), so that an untrained file is smaller and another graph than the
trained one. Latency first rests on the two being the same graph.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["vary_constants"]


def vary_constants(module: nn.Module, *, seed: int = 0) -> None:
    """Move every weight and statistic that is constant by up to 0.1, in place.

    Zeros become values in [-0.1, 0.1], a unit variance stays positive. Weights that vary already
    are left.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in chain(module.parameters(), module.buffers()):
            if not tensor.is_floating_point() or tensor.numel() == 0:
                continue
            if bool((tensor == tensor.flatten()[0]).all()):
                noise = torch.rand(tensor.shape, generator=generator) * 0.2 - 0.1
                tensor.add_(noise.to(tensor))
