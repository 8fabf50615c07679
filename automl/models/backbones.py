"""Networks to train: any timm backbone, whole or cut after a feature stage.

Decides how an :class:`~automl.records.Architecture` becomes a torch module, which pixels it expects
and what it costs. Nothing here is specific to a backbone: stages come from timm's ``feature_info``,
cutting from its ``prune_intermediate_layers``, pixel statistics from its ``pretrained_cfg``.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from automl.errors import SpecError, did_you_mean
from automl.records import Architecture

if TYPE_CHECKING:
    from torch import nn

    from automl.models.weights import WeightSource

__all__ = [
    "Network",
    "assemble",
    "build_classifier",
    "count_macs",
    "create_backbone",
    "inference_form",
    "list_stages",
    "takes_size",
]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Network:
    """A network, ready to be trained or exported."""

    architecture: Architecture
    module: nn.Module
    """``(B, 3, S, S)`` normalised float32 to what the task makes its answers of (for classification
    ``(B, classes)`` logits); S: the image size."""
    mean: Triple
    """Of each colour channel, for pixels scaled to [0, 1]: what the weights were trained on."""
    std: Triple
    weights: str | None
    """Where the pretrained weights came from; ``None``: random."""
    stages: int
    """Feature stages it holds."""
    parameters: int
    macs: int
    """Multiply-accumulates of one forward pass of one image."""
    encoder: str = ""
    """What the names of the backbone's parameters begin with in ``module``; the rest is new. Empty:
    the module is timm's own, whole, with a new head."""
    has_fitted_head: bool = False
    """Whether its head was fitted on what the backbone gives with its pretrained statistics."""


def build_classifier(
    architecture: Architecture, *, classes: int, weights: WeightSource | None = None
) -> Network:
    """Return a new network for an architecture, in training mode, on the CPU.

    The head is always new. Everything below it comes from ``weights``, when they hold the backbone,
    else from timm's random initialisation (seed torch before to repeat it).

    Raises:
        SpecError: unknown backbone, a depth or image size it does not have, or weights that do not
            belong to it.
    """
    stages = list_stages(architecture.backbone)
    if architecture.depth is not None and not 1 <= architecture.depth <= stages:
        raise SpecError(
            f"The depth of '{architecture.backbone}' is between 1 and {stages}, because it has "
            f"{stages} feature stages; got {architecture.depth}. Use one of these, or 'full'."
        )
    macs = count_macs(architecture, classes=classes)
    model = create_backbone(architecture.backbone, classes=classes)
    source = _load_pretrained(model, architecture.backbone, weights)
    module = assemble(model, architecture, classes=classes)
    config = model.pretrained_cfg
    return Network(
        architecture=architecture,
        module=module,
        mean=_triple(config["mean"]),
        std=_triple(config["std"]),
        weights=source,
        stages=architecture.depth or stages,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs,
        encoder="" if architecture.depth is None else "backbone.",
    )


@functools.cache
def list_stages(backbone: str) -> int:
    """Return how many feature stages a backbone has: the greatest depth it can be cut at.

    Raises:
        SpecError: when timm knows no such backbone, or it cannot be cut.
    """
    with _meta_device():
        return len(create_backbone(backbone, classes=2).feature_info)


def create_backbone(backbone: str, *, classes: int) -> Any:
    """Return timm's whole model with random weights and a head for so many classes.

    Raises:
        SpecError: when timm knows no such backbone, or one that cannot be cut into stages.
    """
    import timm

    if not timm.is_model(backbone):
        name = backbone.partition(".")[0]
        raise SpecError(
            f"Unknown backbone '{backbone}'.{did_you_mean(name, _close_names(name))} "
            "Backbones are named as in timm: timm.list_models()."
        )
    name, _, tag = backbone.partition(".")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")] if tag else []
    if tag and tag not in tags:
        raise SpecError(
            f"Unknown pretraining '{tag}' of backbone '{name}'.{did_you_mean(tag, tags)}"
        )
    model = timm.create_model(backbone, pretrained=False, num_classes=classes)
    if not hasattr(model, "feature_info") or not hasattr(model, "prune_intermediate_layers"):
        raise SpecError(
            f"Backbone '{backbone}' has no feature stages in timm, so it cannot be used here. "
            "Choose another of the same family."
        )
    return model


def assemble(model: Any, architecture: Architecture, *, classes: int) -> nn.Module:
    """Fit a whole timm model to the architecture's image size and depth; the model is used up."""
    if hasattr(model, "set_input_size"):
        # Transformers learn one embedding a position: it is resampled after the weights are loaded.
        model.set_input_size(img_size=(architecture.image_size, architecture.image_size))
    if architecture.depth is None:
        return model  # type: ignore[no-any-return]  # timm is untyped
    from automl.models.cut import CutClassifier

    return CutClassifier(model, depth=architecture.depth, classes=classes)


def inference_form(module: nn.Module) -> nn.Module:
    """Return a copy in eval mode whose training-time branches are folded into single convolutions.

    RepVGG, RepViT and their like train several parallel branches that compute exactly one
    convolution (Ding et al. 2021, https://arxiv.org/abs/2101.03697, section 3.3). Export this form:
    it gives the same answers up to rounding, in less time. Other networks are only copied.
    """
    from timm.utils import reparameterize_model

    twin: nn.Module = reparameterize_model(copy.deepcopy(module).eval(), inplace=True)
    return twin


def _load_pretrained(model: Any, backbone: str, weights: WeightSource | None) -> str | None:
    """Load what a source holds for the backbone into the whole model; return its name."""
    read = None if weights is None else weights.find(backbone)
    if weights is None or read is None:
        return None
    from automl.models.checkpoints import load_below_head

    load_below_head(model, read(), backbone=backbone, source=weights.name)
    return weights.name


def count_macs(architecture: Architecture, *, classes: int) -> int:
    """Return the multiply-accumulates of one forward pass of one image.

    Counted on torch's meta device, which computes nothing; one multiply-accumulate is two flops.

    Raises:
        SpecError: when the backbone cannot take images of the architecture's size.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    size = architecture.image_size
    with _meta_device():
        model = create_backbone(architecture.backbone, classes=classes)
        native = model.pretrained_cfg["input_size"][-1]
        image = torch.empty(1, 3, size, size)
        try:
            module = assemble(model, architecture, classes=classes).eval().requires_grad_(False)
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                module(image)
        except (AssertionError, RuntimeError, ValueError) as error:
            raise SpecError(
                f"Backbone '{architecture.backbone}' cannot take images of {size} x {size} pixels "
                f"({error}). Use {native}, the size its weights were trained on."
            ) from error
    return int(counter.get_total_flops()) // 2


def takes_size(network: Network, image_size: int) -> bool:
    """Return whether a classifier takes images of another size as it is.

    Those that were built for one size do not: transformers with an embedding a position, and whatever
    fails on the other size.
    """
    if any(hasattr(part, "set_input_size") for part in network.module.modules()):
        return False
    try:
        count_macs(replace(network.architecture, image_size=image_size), classes=2)
    except Exception:  # noqa: BLE001 - any code may stand in a network; it then keeps its own size
        return False
    return True


def _meta_device() -> Any:
    import torch

    return torch.device("meta")


def _close_names(name: str) -> list[str]:
    """Known names that a typing error could have meant: did_you_mean would print all 1,300."""
    import difflib

    import timm

    return difflib.get_close_matches(name, timm.list_models(), n=3)


def _triple(values: Any) -> Triple:
    red, green, blue = (float(value) for value in values)
    return (red, green, blue)
