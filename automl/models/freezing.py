"""Which part of a pretrained network keeps its weights while the rest is trained.

With few images, training everything can spoil what the early stages know already; freezing them
is also faster, because no gradient is computed for them. Which parameters belong to the first
stages is read from timm itself: it is what is left when the backbone is cut there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from automl.errors import SpecError, did_you_mean
from automl.models.backbones import Network, create_backbone
from automl.records.candidates import Freeze

if TYPE_CHECKING:
    from torch import nn

__all__ = ["eval_norms", "freeze_parts", "frozen_norms"]

_FIRST_STAGE_REDUCTION = 4
"""The stem and first stage end where the map is a quarter of the image's side or less: after
``layer1`` of a ResNet, after the first stage of a ConvNeXt, after the first block of a ViT."""


def freeze_parts(network: Network, freeze: Freeze) -> None:
    """Stop training part of a network: its parameters get ``requires_grad`` False, others True.

    ``none``: nothing; ``stem``: the stem and first stage; ``half``: the first half of the stages;
    ``backbone``: all but the head. Nothing is frozen in a network with random weights.

    The training loop must put :func:`eval_norms` into eval mode after each ``module.train()``.

    Raises:
        SpecError: when the name is none of these.
    """
    if freeze not in get_args(Freeze):
        raise SpecError(f"Unknown freeze '{freeze}'.{did_you_mean(freeze, get_args(Freeze))}")
    frozen = _frozen_names(network, freeze) if network.weights is not None else frozenset()
    for name, parameter in network.module.named_parameters():
        parameter.requires_grad_(name not in frozen)


def frozen_norms(module: nn.Module) -> tuple[nn.Module, ...]:
    """Return the normalisation layers whose parameters are all frozen.

    Put into eval mode, a batch-norm uses and keeps its pretrained statistics; in training mode it
    would replace them by those of the new images, and the frozen weights after it would not fit.
    """
    from torch.nn.modules.batchnorm import _NormBase

    return tuple(
        part
        for part in module.modules()
        if isinstance(part, _NormBase)
        and not any(parameter.requires_grad for parameter in part.parameters(recurse=False))
    )


def eval_norms(network: Network) -> tuple[nn.Module, ...]:
    """Return the normalisation layers that a training leaves in eval mode: those that are frozen, and all of
    them where the head was fitted beforehand.

    Such a head knows features as pretrained statistics give them. With those of the batches instead, the
    first loss of a head that scored 0.98 was 25, and two epochs were lost (tf_efficientnet_lite1, 96 px).
    """
    from torch.nn.modules.batchnorm import _NormBase

    if not network.has_fitted_head:
        return frozen_norms(network.module)
    return tuple(part for part in network.module.modules() if isinstance(part, _NormBase))


def _frozen_names(network: Network, freeze: Freeze) -> frozenset[str]:
    """Names of the module's parameters to freeze."""
    if freeze == "none":
        return frozenset()
    names = frozenset(name for name, _ in network.module.named_parameters())
    backbone = frozenset(name for name in names if name.startswith(network.encoder))
    if not network.encoder:
        backbone = frozenset(n for n in names if not n.startswith(_head_prefixes(network.module)))
    if freeze == "backbone":
        return backbone
    first = _names_up_to(network.architecture.backbone, _depth_to_freeze(network, freeze))
    return frozenset(n for n in backbone if _plain(n.removeprefix(network.encoder)) in first)


def _depth_to_freeze(network: Network, freeze: Freeze) -> int:
    """Return how many feature stages are frozen: at least one."""
    if freeze == "half":
        return max(1, network.stages // 2)
    import torch

    with torch.device("meta"):
        info = create_backbone(network.architecture.backbone, classes=2).feature_info
    reductions = [int(stage["reduction"]) for stage in info]
    first = next(i for i, value in enumerate(reductions, 1) if value >= _FIRST_STAGE_REDUCTION)
    return min(first, network.stages)


def _names_up_to(backbone: str, depth: int) -> frozenset[str]:
    """Return the plain names of a whole model's parameters that its first stages use."""
    import torch

    with torch.device("meta"):
        model = create_backbone(backbone, classes=2)
        model.prune_intermediate_layers([depth - 1], prune_norm=True)
    return frozenset(_plain(name) for name, _ in model.named_parameters())


def _plain(name: str) -> str:
    """Return a parameter's name without the difference between timm's whole models and the stages
    that it takes out of them: ``stages.0.conv`` is called ``stages_0.conv`` there."""
    return name.replace("_", ".")


def _head_prefixes(module: nn.Module) -> tuple[str, ...]:
    from automl.models.checkpoints import head_names

    return tuple(f"{name}." for name in head_names(module))
