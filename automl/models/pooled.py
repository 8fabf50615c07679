"""The numbers that the linear heads of a backbone's classifiers see, all depths in one pass.

Decides that a head can be fitted outside of its network and then set into it: what is given here for a
depth is exactly what the last linear layer of that depth's classifier gets, so that the fitted layer
answers in the network as it did outside.

Imported only where such a network is built, because it needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from automl.errors import AutomlError

if TYPE_CHECKING:
    from automl.models.backbones import Network
    from automl.models.weights import WeightSource

__all__ = ["PooledFeatures", "check_head", "head_layer", "pooled_features", "set_head"]

Triple = tuple[float, float, float]
_LARGEST_DIFFERENCE = 1e-3
"""Of a logit, between a head inside and outside of its network: rounding is a hundredth of it."""


class PooledFeatures(nn.Module):
    """A frozen backbone: uint8 frames to one vector for each depth that is asked."""

    mean: Tensor
    scale: Tensor

    def __init__(
        self, model: Any, *, depths: Sequence[int | None], mean: Triple, std: Triple
    ) -> None:
        """Wrap a whole timm model.

        Args:
            model: with ``forward_intermediates`` and ``forward_head``; cut in place after the deepest
                stage, when the whole of it is not asked for.
            depths: feature stages counted from 1, ``None`` for the whole model; in the order in which
                vectors are given.
            mean: of the RGB channels, for values in [0, 1].
            std: likewise.
        """
        super().__init__()
        self.depths = tuple(depths)
        indices = sorted(depth - 1 for depth in depths if depth is not None)
        if None not in self.depths:
            indices = [int(i) for i in model.prune_intermediate_layers(indices, prune_norm=True)]
        self.model = model
        self.indices = indices
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).reshape(shape) * 255.0)
        self.register_buffer("scale", 1.0 / (torch.tensor(std).reshape(shape) * 255.0))

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Return ``(B, C)`` float32 for each depth, for ``(B, S, S, 3)`` uint8 RGB frames."""
        pixels = (frames.permute(0, 3, 1, 2).float() - self.mean) * self.scale
        whole, maps = None, []
        if None not in self.depths:
            maps = self.model.forward_intermediates(
                pixels,
                indices=self.indices,
                norm=False,
                output_fmt="NCHW",
                intermediates_only=True,
            )
        elif self.indices:
            whole, maps = self.model.forward_intermediates(
                pixels, indices=self.indices, norm=False, output_fmt="NCHW"
            )
        else:
            whole = self.model.forward_features(pixels)
        return tuple(
            self.model.forward_head(whole, pre_logits=True)
            if depth is None
            else _normalised(maps[self._place(depth)].mean((2, 3)))
            for depth in self.depths
        )

    def _place(self, depth: int) -> int:
        return sorted(d for d in self.depths if d is not None).index(depth)


def _normalised(vectors: Tensor) -> Tensor:
    """As the new head of a cut network begins: a layer norm that was not trained yet."""
    return nn.functional.layer_norm(vectors, vectors.shape[-1:])


def pooled_features(
    backbone: str, *, image_size: int, depths: Sequence[int | None], weights: WeightSource
) -> PooledFeatures | None:
    """Return the frozen features of a pretrained backbone, in eval mode, on the CPU.

    Returns:
        ``None`` when the source turns out to hold no weights for it.

    Raises:
        SpecError: unknown backbone, or weights that do not belong to it.
    """
    from automl.models.backbones import create_backbone
    from automl.models.checkpoints import load_below_head

    read = weights.find(backbone)
    if read is None:
        return None
    model = create_backbone(backbone, classes=2)
    load_below_head(model, read(), backbone=backbone, source=weights.name)
    if hasattr(model, "set_input_size"):
        model.set_input_size(img_size=(image_size, image_size))
    config = model.pretrained_cfg
    mean, std = tuple(map(float, config["mean"])), tuple(map(float, config["std"]))
    return PooledFeatures(model, depths=depths, mean=mean, std=std).eval()  # type: ignore[arg-type]  # of three


def head_layer(network: Network) -> nn.Linear:
    """Return the last linear layer of a classifier.

    Raises:
        AutomlError: when it has none, or several.
    """
    module: Any = network.module
    is_cut = network.architecture.depth is not None
    layer = module.head[-1] if is_cut else module.get_classifier()
    if not isinstance(layer, nn.Linear):
        raise AutomlError(
            f"The head of '{network.architecture.backbone}' is a {type(layer).__name__}, not one linear "
            "layer, so no linear model can be set into it; it is trained from a new head."
        )
    return layer


def set_head(network: Network, weight: Tensor, bias: Tensor) -> None:
    """Set a fitted linear model into a network.

    Args:
        network: in the state in which its features were made, but for the head.
        weight: ``(classes, C)`` float32.
        bias: ``(classes,)`` float32.

    Raises:
        AutomlError: when the network's head is of another shape or kind.
    """
    layer = head_layer(network)
    if layer.weight.shape != weight.shape or layer.bias is None:
        raise AutomlError(
            f"A linear model of shape {tuple(weight.shape)} does not fit the head of "
            f"'{network.architecture.key}', which is {tuple(layer.weight.shape)}."
        )
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


def check_head(network: Network, features: Tensor, frames: Tensor) -> None:
    """Check that the head of a network sees the features that were made outside of it.

    Args:
        network: with the same pretrained weights.
        features: ``(B, C)`` of the frames.
        frames: ``(B, S, S, 3)`` uint8.

    Raises:
        AutomlError: when the network answers otherwise.
    """
    layer = head_layer(network)
    module = network.module.eval()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255.0 for v in (network.mean, network.std))
    with torch.inference_mode():
        inside = module((frames.permute(0, 3, 1, 2).float() - mean) / std)
        outside = layer(features)
    difference = float((inside - outside).abs().max())
    if not difference <= _LARGEST_DIFFERENCE:
        raise AutomlError(
            f"The head of '{network.architecture.key}' sees other features than those that were "
            f"probed (logits differ by {difference:.3g}); it is trained from a new head."
        )
