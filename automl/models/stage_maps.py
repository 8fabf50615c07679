"""The module that gives the feature maps of a backbone's stages.

Imported only where such a network is built, because it needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["StageMaps"]


class StageMaps(nn.Module):
    """A timm model cut after the last stage that is asked for. State keys: ``model.<timm's own>``."""

    def __init__(self, model: nn.Module, *, stages: Sequence[int]) -> None:
        """Cut a whole timm model in place.

        Args:
            model: a timm model with ``prune_intermediate_layers`` and ``forward_intermediates``.
            stages: counted from 1, ascending.
        """
        super().__init__()
        indices = [stage - 1 for stage in stages]
        self.indices = [int(i) for i in model.prune_intermediate_layers(indices, prune_norm=True)]  # type: ignore[operator]  # timm's method
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one ``(B, C, h, w)`` map for each stage, shallow first."""
        maps: list[Tensor] = self.model.forward_intermediates(  # type: ignore[operator]  # timm's method
            images, indices=self.indices, norm=False, output_fmt="NCHW", intermediates_only=True
        )
        return maps
