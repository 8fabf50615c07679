"""What of a device runs a model: its processor, or an accelerator through CUDA or TensorRT.

The choice is a part of the device's name, after a plus sign: ``local+cuda``, or
``http://jetson.local:8420+tensorrt``. Measurements, calibrations, verdicts and bundles are told apart by
the names of devices, so nothing that was measured on one provider can be taken for another's.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["PROVIDERS", "Provider", "join_device", "split_device"]

Provider = Literal["cpu", "cuda", "tensorrt"]

PROVIDERS: tuple[Provider, ...] = get_args(Provider)
"""The usual one first."""


def split_device(name: str) -> tuple[str, Provider]:
    """Return the machine that a device's name means, and what of it runs the models.

    >>> split_device("local+cuda")
    ('local', 'cuda')
    >>> split_device("local")
    ('local', 'cpu')
    """
    for provider in PROVIDERS:
        machine, plus, rest = name.rpartition(f"+{provider}")
        if plus and not rest:
            return machine, provider
    return name, "cpu"


def join_device(machine: str, provider: Provider) -> str:
    """Return the name of a device: that of the machine alone where its processor runs the models."""
    return machine if provider == "cpu" else f"{machine}+{provider}"
