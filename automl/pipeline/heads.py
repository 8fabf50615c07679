"""The linear heads of a run's probes as a file, and into the networks that begin with them.

Decides that a fine-tuning begins with the head that its frozen features gave: a random head would first pull
the pretrained weights in random directions (Kumar et al. 2022, https://arxiv.org/abs/2202.10054). It begins
softened: a head that is sure of itself answers the first steps of the weights below it with losses and
gradients that spoil them. A file that is missing or damaged costs that start, never the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import AutomlError
from automl.pipeline.array_file import read_arrays, write_arrays

if TYPE_CHECKING:
    from automl.models.backbones import Network
    from automl.training.linear_heads import LinearHead

__all__ = ["load_head", "save_heads"]

_SOFTENING = 0.3
"""Factor of the logits of a head that is trained on: its answers stay the same, less surely. With it
the first epoch keeps more of what the head knew (0.98 against 0.58, and 0.78 against 0.71; two networks, one
seed each); after four epochs the difference was one image."""


def save_heads(file: Path, heads: Mapping[str, LinearHead]) -> None:
    """Write the heads of some architectures, by their keys, atomically."""
    arrays = {}
    for key, head in heads.items():
        arrays[f"{key}.weight"], arrays[f"{key}.bias"] = head.weight, head.bias
    write_arrays(file, arrays)


def load_head(network: Network, file: Path, *, key: str, is_trained: bool) -> Network | None:
    """Return the network with its architecture's head, or ``None``, and as it was, where none fits.

    Args:
        key: of the architecture.
        is_trained: whether the head is a start to train from, and not to be delivered as it is.

    Raises:
        DamagedFileError: when the file is torn or altered.
    """
    import torch

    from automl.models.pooled import set_head

    try:
        arrays = read_arrays(file)
    except FileNotFoundError:
        return None
    if f"{key}.weight" not in arrays or network.weights is None:
        return None
    factor = _SOFTENING if is_trained else 1.0
    try:
        weight, bias = (torch.from_numpy(arrays[f"{key}.{part}"]) for part in ("weight", "bias"))
        set_head(network, weight * factor, bias * factor)
    except AutomlError:
        return None  # a network whose head is no single linear layer
    return replace(network, has_fitted_head=True)
