"""Arrays in one file that says when it is damaged: safetensors with a checksum of all it holds.

A safetensors file that is torn cannot be read, but one with a flipped bit reads as other numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from automl.storage import DamagedFileError, write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["read_arrays", "write_arrays"]


def write_arrays(file: Path, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Write arrays by name, atomically."""
    import numpy as np
    from safetensors.numpy import save

    # Safetensors writes memory as it lies: a transposed array would come back as other numbers.
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomic(file, save(plain, metadata={"sha256": _digest(plain)}))


def read_arrays(file: Path) -> dict[str, NDArray[np.float32]]:
    """Read what :func:`write_arrays` wrote.

    Raises:
        FileNotFoundError: when there is no such file.
        DamagedFileError: when the content is not what was written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = file.read_bytes()
    try:
        arrays: dict[str, NDArray[np.float32]] = load(content)
        header_bytes = int.from_bytes(content[:8], "little")
        known = json.loads(content[8 : 8 + header_bytes])["__metadata__"]["sha256"]
        if known != _digest(arrays):
            raise ValueError("the checksum differs")
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(
            f"'{file}' is damaged ({error}). Delete it: what it held will be made again."
        ) from error
    return arrays


def _digest(arrays: Mapping[str, NDArray[np.float32]]) -> str:
    """Return a SHA-256 of every array with its name, type and shape."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
