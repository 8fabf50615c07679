"""A backbone cut after one of its feature stages, with a pooled linear head on what is left.

A cut network keeps the pretrained weights of the stages that remain and skips the cost of those
that do not, which often makes it the best network under a tight latency budget: early stages
already tell textures, edges and small defects apart.

Imported only where a cut network is built, because it needs torch.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["CutClassifier"]


class CutClassifier(nn.Module):
    """The first feature stages of a timm model, averaged over space, normalised, classified.

    State keys: ``backbone.<timm's own key>`` and ``head.*``.
    """

    def __init__(self, model: nn.Module, *, depth: int, classes: int) -> None:
        """Cut a whole timm model in place.

        Args:
            model: a timm model with ``prune_intermediate_layers`` and ``forward_intermediates``.
            depth: feature stages to keep, 1 to ``len(model.feature_info)``.
            classes: size of the answer.
        """
        super().__init__()
        channels = int(model.feature_info[depth - 1]["num_chs"])  # type: ignore[index]  # timm's list
        kept = model.prune_intermediate_layers([depth - 1], prune_norm=True)  # type: ignore[operator]  # timm's method
        self.stage = int(kept[0])
        self.backbone = model
        # Pooled features of an inner stage differ in scale from family to family (the residual
        # stream of a transformer is not normalised at all); the linear head gets them normalised.
        linear = nn.Linear(channels, classes)
        nn.init.trunc_normal_(linear.weight, std=0.02)
        nn.init.zeros_(linear.bias)
        self.head = nn.Sequential(nn.LayerNorm(channels), linear)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(B, classes)`` logits for ``(B, 3, S, S)`` normalised float32 images."""
        logits: Tensor = self.head(self.features(images).mean((2, 3)))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return the ``(B, C, h, w)`` output of the last stage kept."""
        maps: list[Tensor] = self.backbone.forward_intermediates(  # type: ignore[operator]  # timm's method
            images, indices=[self.stage], norm=False, output_fmt="NCHW", intermediates_only=True
        )
        return maps[0]
