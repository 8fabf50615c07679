"""In which precision a network learns fastest on this machine: found out by trying, and remembered.

Processors with instructions for bfloat16 train some networks twice as fast with them, others not at
all; older ones become slower. Nothing but the clock tells. Weights, loss and optimiser stay float32.

The clock can say different things on two days, and a training would then round differently. So what
was decided for one network, batch and machine is kept in the user's cache, and in the file of a
half-done training.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from automl.records import dump_record
from automl.storage import DamagedFileError, cache_folder, read_record, sha256_bytes, write_record

__all__ = ["Precision", "choose_precision"]

Precision = Literal["float32", "bfloat16", "float16"]
"""What a forward pass computes in. float16 needs its loss scaled; only GPUs without bfloat16 use it."""

_TIMED_STEPS = 3
_LEAST_GAIN = 1.15
"""A smaller gain is not worth the coarser numbers, nor sure among other work on the machine."""
_HOPELESS = 0.8
"""A first step in bfloat16 that gains less than this cannot be noise: no more are timed."""


@dataclass(frozen=True)
class _Situation:
    """What the clock's answer depends on."""

    network: str
    frozen: int
    """Parameters that do not train: without their gradients a step is another one."""
    batch: tuple[int, ...]
    threads: int
    processor: str
    pytorch: str


@dataclass(frozen=True)
class _Decision:
    """What was chosen, and why."""

    situation: _Situation
    precision: Precision
    gain: float
    """Median time of a step in float32 divided by that in bfloat16."""


_decided: dict[_Situation, Precision] = {}


def choose_precision(
    module: nn.Module,
    images: Tensor,
    loss_of: Callable[[Precision], Tensor],
    *,
    name: str,
) -> Precision:
    """Return what forward and backward passes are fastest in.

    On GPUs: bfloat16 where they compute in it, else float16. On processors three steps are timed
    each way, once for networks of one kind; the answer is kept. No weight is changed, but gradients
    are left.

    Args:
        module: in training mode; its batch statistics are put back as they were.
        images: a batch ``(B, 3, H, W)`` as it is trained on.
        loss_of: gives the loss of that batch, computed in a precision.
        name: of the architecture.
    """
    if images.device.type == "cuda":
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if is_native else "float16"
    situation = _Situation(
        network=name,
        frozen=sum(p.numel() for p in module.parameters() if not p.requires_grad),
        batch=tuple(images.shape),
        threads=torch.get_num_threads(),
        processor=_processor(),
        pytorch=torch.__version__,
    )
    if situation not in _decided:
        _decided[situation] = _kept(situation) or _keep(situation, _gain(module, loss_of))
    return _decided[situation]


def _gain(module: nn.Module, loss_of: Callable[[Precision], Tensor]) -> float:
    """Return how many times as fast a step is in bfloat16: the two are timed in turns, so that other
    work on the machine slows both; the first of each prepares kernels and is left out."""
    buffers = [buffer.clone() for buffer in module.buffers()]
    plain, half = [], []
    with torch.random.fork_rng(devices=()):
        for step in range(1 + _TIMED_STEPS):
            plain.append(_step_s(loss_of, "float32"))
            half.append(_step_s(loss_of, "bfloat16"))
            if step == 1 and plain[1] < _HOPELESS * half[1]:
                break
    with torch.no_grad():
        for buffer, before in zip(module.buffers(), buffers, strict=True):
            buffer.copy_(before)
    return statistics.median(plain[1:]) / statistics.median(half[1:])


def _step_s(loss_of: Callable[[Precision], Tensor], precision: Precision) -> float:
    started = time.perf_counter()
    loss_of(precision).backward()  # type: ignore[no-untyped-call]  # torch
    return time.perf_counter() - started


def _kept(situation: _Situation) -> Precision | None:
    """Return what was decided by an earlier process, if its file is whole."""
    try:
        decision = read_record(_path(situation), _Decision)
    except (OSError, DamagedFileError):
        return None
    return decision.precision if decision.situation == situation else None


def _keep(situation: _Situation, gain: float) -> Precision:
    """Decide, unless another process has just done so, and write it down."""
    before = _kept(situation)
    if before is not None:
        return before
    precision: Precision = "bfloat16" if gain > _LEAST_GAIN else "float32"
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        write_record(_path(situation), _Decision(situation, precision, round(gain, 3)))
    return precision


def _path(situation: _Situation) -> Path:
    return cache_folder("precision") / f"{sha256_bytes(dump_record(situation).encode())[:32]}.json"


@functools.cache
def _processor() -> str:
    """Return the processor's name; Linux tells the model only in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
