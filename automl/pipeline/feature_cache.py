"""Exported backbones and features of images in the user's cache: named after all that they were made of.

Decides that a stale or torn entry is never used: names hold the hashes of weights, images and versions, and
what cannot be read is made again. The oldest entries go when the cache has grown too large.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from automl.pipeline.array_file import read_arrays, write_arrays
from automl.storage import DamagedFileError, cache_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FeatureCache"]

_MOST_BYTES = 2_000_000_000
"""About 200 backbones with their features of 1,000 images."""


class FeatureCache:
    """Files of backbones and of features, in ``features`` below the user's cache."""

    def __init__(self) -> None:
        self._folder = cache_folder("features")

    def network_file(self, key: str) -> Path:
        """Return where an exported backbone lies, or is to be written."""
        return self._folder / f"{key}.onnx"

    def read(self, key: str, count: int) -> tuple[NDArray[np.float32], ...] | None:
        """Return so many arrays that :meth:`write` kept, or ``None``."""
        file = self._folder / f"{key}.safetensors"
        try:
            arrays = read_arrays(file)
            found = tuple(arrays[str(place)] for place in range(count))
        except (OSError, DamagedFileError, KeyError):
            return None
        with contextlib.suppress(OSError):
            file.touch()  # used last now
        return found

    def write(self, key: str, arrays: Sequence[NDArray[np.float32]]) -> None:
        """Keep arrays; a full disk costs the next run some seconds, and this one nothing."""
        with contextlib.suppress(OSError):
            named = {str(place): array for place, array in enumerate(arrays)}
            write_arrays(self._folder / f"{key}.safetensors", named)
            self._tidy()

    def _tidy(self) -> None:
        """Delete what was used longest ago, until the rest is small enough."""
        files = [
            (file.stat().st_mtime, file.stat().st_size, file) for file in self._folder.iterdir()
        ]
        total = sum(size for _, size, _ in files)
        for _, size, file in sorted(files, key=lambda entry: entry[0]):
            if total <= _MOST_BYTES:
                break
            file.unlink(missing_ok=True)
            total -= size
