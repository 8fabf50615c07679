"""Weights and half-done trainings as safetensors files: no code runs when they are read, and a torn
file is noticed.

A half-done training is one file, not weights beside a JSON file: two files could come from two epochs.
What is no tensor stands as a JSON record in the header, with a checksum of all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from automl.records import dump_record, load_record
from automl.storage import DamagedFileError, write_atomic

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["load_progress", "load_weights", "save_progress", "save_weights"]

_Record = TypeVar("_Record")


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


def save_progress(path: Path, tensors: Mapping[str, Tensor], record: object) -> None:
    """Write tensors with the record that says what they are, atomically."""
    from safetensors.torch import save

    own = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    body = dump_record(record)
    metadata = {
        "kind": type(record).__name__,
        "record": body,
        "sha256": _digest(own, body),
    }
    write_atomic(path, save(own, metadata=metadata))


def load_progress(path: Path, kind: type[_Record]) -> tuple[dict[str, Tensor], _Record]:
    """Read what :func:`save_progress` wrote.

    Raises:
        FileNotFoundError: when there is no such file.
        DamagedFileError: when the content is not what was written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = path.read_bytes()
    try:
        tensors = load(content)
        header_bytes = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + header_bytes])["__metadata__"]
        body = metadata["record"]
        if metadata["kind"] != kind.__name__ or metadata["sha256"] != _digest(tensors, body):
            raise ValueError("checksum or kind differ")
        return tensors, load_record(kind, body)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(
            f"'{path}' is damaged and cannot be read as {kind.__name__} ({error}). "
            "Delete it: the training will begin again."
        ) from error


def _digest(tensors: Mapping[str, Tensor], body: str) -> str:
    """Return a SHA-256 of the record and of every tensor with its name, type and shape."""
    import torch

    digest = hashlib.sha256(body.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
