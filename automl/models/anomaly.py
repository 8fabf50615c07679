"""Networks that find what is unlike the good parts: a backbone, and a memory of good features.

Decides how an :class:`~automl.records.Architecture` becomes features and a memory. The features are
those of the last two stages up to ``depth``, and they alone are the network that is quantized; the
memory (:mod:`automl.models.anomaly_memory`) belongs to the postprocessing and stays float.

``decoder`` names the memory, ``width`` its size: for ``padim`` the channels that are remembered, for
``patchcore`` the patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl.errors import SpecError, did_you_mean
from automl.models.backbones import Network, list_stages
from automl.models.features import create_features

if TYPE_CHECKING:
    from torch import nn

    from automl.models.weights import WeightSource
    from automl.records import Architecture

__all__ = ["DECODERS", "build_anomaly"]

DECODERS = ("padim", "patchcore")
_STAGES = 2
"""Stages that are compared. With the second and third, or third and fourth, of an EfficientNet-lite
the heat map of PIPED's papers was sharper than with the last stage, and the decision as good."""
_USUAL_PATCHES = 512
"""Of PatchCore's memory, when no width is given."""


def build_anomaly(architecture: Architecture, *, weights: WeightSource | None = None) -> Network:
    """Return a new network with an empty memory, in evaluation mode, on the CPU.

    Its module maps ``(B, 3, S, S)`` normalised float32 to two feature maps ``(B, C, h, w)``, shallow
    first; ``module.memory`` compares them with what it remembers. The backbone comes from
    ``weights``, when they hold it, else from timm's random initialisation.

    Raises:
        SpecError: unknown backbone or decoder, a depth, width or image size that cannot be, or
            weights that do not belong to the backbone.
    """
    decoder = architecture.decoder
    if decoder not in DECODERS:
        raise SpecError(
            f"The decoder of an anomaly network is 'padim' or 'patchcore'; got '{decoder}'."
            f"{did_you_mean(decoder, DECODERS) if decoder else ''}"
        )
    if architecture.width is not None and architecture.width < 1:
        raise SpecError(f"The width of '{decoder}' is 1 or more; got {architecture.width}.")
    stages = list_stages(architecture.backbone)
    depth = stages if architecture.depth is None else architecture.depth
    if not _STAGES <= depth <= stages:
        raise SpecError(
            f"The depth of '{architecture.backbone}' is between {_STAGES} and {stages} for anomaly "
            f"detection, which compares two of its {stages} feature stages; got "
            f"{architecture.depth}. Use one of these."
        )
    return _assemble(architecture, depth, weights)


def _assemble(architecture: Architecture, depth: int, weights: WeightSource | None) -> Network:
    from automl.models.anomaly_memory import AnomalyNetwork, Memory, PadimMemory, PatchcoreMemory

    features = create_features(
        architecture.backbone,
        stages=tuple(range(depth - _STAGES + 1, depth + 1)),
        weights=weights,
        image_size=architecture.image_size,
    )
    module = features.module.eval()
    if features.source is None:
        _vary_normalisation(module)
    shapes, macs = _map_shapes(module, architecture)
    memory: Memory
    if architecture.decoder == "padim":
        memory = PadimMemory(shapes, channels=architecture.width)
    else:
        memory = PatchcoreMemory(shapes, patches=architecture.width or _USUAL_PATCHES)
    return Network(
        architecture=architecture,
        module=AnomalyNetwork(module, memory).eval(),
        mean=features.mean,
        std=features.std,
        weights=features.source,
        stages=depth,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs + memory.macs,
        encoder="features.",
    )


def _vary_normalisation(module: nn.Module) -> None:
    """Move the zeros and ones that random weights come with, in place.

    No training will: an exporter would simplify them away, and the file would be another graph than
    the one that was measured for the plan.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point() and tensor.numel() > 1 and not tensor.std() > 0:
                tensor.add_(0.2 * torch.rand(tensor.shape, generator=generator) - 0.1)


def _map_shapes(module: nn.Module, architecture: Architecture) -> tuple[list[tuple[int, ...]], int]:
    """Return ``(C, h, w)`` of each feature map, and the multiply-accumulates of making them.

    Raises:
        SpecError: when the backbone cannot take images of the architecture's size.
    """
    import copy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    size = architecture.image_size
    twin = copy.deepcopy(module).to("meta")
    image = torch.empty(1, 3, size, size, device="meta")
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            maps = twin(image)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise SpecError(
            f"Backbone '{architecture.backbone}' cannot take images of {size} x {size} pixels "
            f"({error}). Use another image size."
        ) from error
    return [tuple(one.shape[1:]) for one in maps], int(counter.get_total_flops()) // 2
