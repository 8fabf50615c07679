"""Trained weights as safetensors files: no code runs when they are read, and a torn file is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from automl.storage import DamagedFileError, write_atomic

if TYPE_CHECKING:
    from torch import nn

__all__ = ["load_weights", "save_weights"]


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's parameters and buffers, atomically."""
    from safetensors.torch import save

    tensors = {
        name: tensor.detach().contiguous().cpu() for name, tensor in module.state_dict().items()
    }
    write_atomic(path, save(tensors))


def load_weights(module: nn.Module, path: Path) -> None:
    """Read parameters and buffers into a module of the same architecture.

    Raises:
        DamagedFileError: when the file is torn or belongs to another architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        module.load_state_dict(load(path.read_bytes()))
    except (SafetensorError, RuntimeError) as error:
        raise DamagedFileError(
            f"'{path}' does not hold the weights of this network ({error}). Delete it to train again."
        ) from error
