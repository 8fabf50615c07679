"""The linear heads of a run's probes as a file, and into the networks that begin with them.

Decides that a fine-tuning begins with the head that its frozen features gave: a random head would first pull
the pretrained weights in random directions (Kumar et al. 2022, https://arxiv.org/abs/2202.10054). A file that
is missing or damaged costs that start, never the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import AutomlError
from automl.pipeline.array_file import read_arrays, write_arrays

if TYPE_CHECKING:
    from automl.models.backbones import Network
    from automl.training.linear_heads import LinearHead

__all__ = ["load_head", "save_heads"]


def save_heads(file: Path, heads: Mapping[str, LinearHead]) -> None:
    """Write the heads of some architectures, by their keys, atomically."""
    arrays = {}
    for key, head in heads.items():
        arrays[f"{key}.weight"], arrays[f"{key}.bias"] = head.weight, head.bias
    write_arrays(file, arrays)


def load_head(network: Network, file: Path, *, key: str) -> bool:
    """Set an architecture's head into its network; return whether there was one that fits.

    Raises:
        DamagedFileError: when the file is torn or altered.
    """
    import torch

    from automl.models.pooled import set_head

    try:
        arrays = read_arrays(file)
    except FileNotFoundError:
        return False
    if f"{key}.weight" not in arrays or network.weights is None:
        return False
    try:
        weight, bias = (torch.from_numpy(arrays[f"{key}.{part}"]) for part in ("weight", "bias"))
        set_head(network, weight, bias)
    except AutomlError:
        return False  # a network whose head is no single linear layer
    return True
