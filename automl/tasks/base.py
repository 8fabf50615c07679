"""What every task provides, so that search, export, proof and report need no branch per task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from automl.records import Architecture, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from automl.models.backbones import Network

__all__ = ["Task"]


class Task(Protocol):
    """One task of machine vision."""

    name: str
    default_objective: str

    def build(self, architecture: Architecture, *, classes: int, weights: str | None) -> Network:
        """Return the network.

        ``weights``: a source as :func:`automl.models.weights.weight_source` reads it, or ``None``.
        """
        ...

    def loss(self, labels: NDArray[np.int64], *, classes: int, label_smoothing: float) -> nn.Module:
        """Return the training loss ``(logits (B, classes), labels (B,)) -> scalar``.

        ``labels`` are those of the training split, for weights against imbalance.
        """
        ...

    def postprocess(self) -> nn.Module:
        """Return the module that turns the network's output into the delivered one."""
        ...

    def score(
        self, outputs: NDArray[np.float32], labels: NDArray[np.int64], *, classes: Sequence[str]
    ) -> Scores:
        """Return every metric of delivered outputs ``(N, classes)`` against labels ``(N,)``."""
        ...

    def outputs(self, logits: Tensor) -> NDArray[np.float32]:
        """Return delivered outputs for a batch of the network's, as the exported file would."""
        ...
