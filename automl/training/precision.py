"""Whether a network learns faster in half precision on this machine: found out by trying.

Processors with instructions for bfloat16 train some networks twice as fast with them, others not at
all; older ones become slower. Nothing but the clock tells. Weights, loss and optimiser stay float32.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["HalfPrecision"]

_TIMED_STEPS = 3
_LEAST_GAIN = 1.15
"""A smaller gain is not worth the coarser numbers, nor sure among other work on the machine."""


class HalfPrecision:
    """Decides for one network, and remembers for others of its kind in this process."""

    _known: dict[tuple[str, tuple[int, ...], str, int], bool] = {}  # noqa: RUF012 - a memory

    @classmethod
    def pays(
        cls,
        module: nn.Module,
        images: Tensor,
        loss_of: Callable[[bool], Tensor],
        *,
        name: str,
    ) -> bool:
        """Return whether forward and backward passes are faster in bfloat16.

        On GPUs it always is, where they have it. No weight is changed, but gradients are left.

        Args:
            module: in training mode; its batch statistics are put back as they were.
            images: a batch as it is trained on.
            loss_of: gives the loss of that batch, computed in bfloat16 or not.
            name: of the architecture.
        """
        if images.device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported())
        key = (name, tuple(images.shape), images.device.type, torch.get_num_threads())
        if key not in cls._known:
            buffers = [buffer.clone() for buffer in module.buffers()]
            with torch.random.fork_rng():
                times = {half: _seconds(loss_of, half) for half in (False, True)}
            for buffer, before in zip(module.buffers(), buffers, strict=True):
                buffer.copy_(before)
            cls._known[key] = times[False] > _LEAST_GAIN * times[True]
        return cls._known[key]


def _seconds(loss_of: Callable[[bool], Tensor], half: bool) -> float:
    """Return the median time of a few steps, the first (which prepares kernels) left out."""
    times = []
    for _ in range(1 + _TIMED_STEPS):
        started = time.perf_counter()
        loss_of(half).backward()  # type: ignore[no-untyped-call]  # torch
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
