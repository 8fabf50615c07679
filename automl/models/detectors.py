"""Detectors: a timm backbone, a feature pyramid and the heads of FCOS or RetinaNet.

Decides what an :class:`~automl.records.Architecture` means for detection: ``depth`` is the number of
levels of the pyramid, ``width`` the channels of pyramid and heads. Levels are taken at strides of 8,
16, 32 and 64 pixels, so that each further one adds larger objects (and, up to 32, another stage of the
backbone). No level has a stride of 4: it would cost more than all the others; a larger image size finds
small objects for less.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from automl.errors import SpecError, did_you_mean
from automl.models.backbones import Network, create_backbone
from automl.models.features import FeatureStages, create_features
from automl.records import Architecture

if TYPE_CHECKING:
    from torch import nn

    from automl.models.weights import WeightSource

__all__ = ["DECODERS", "USUAL_WIDTH", "build_detector"]

DECODERS: Mapping[str, str] = MappingProxyType(
    {"fcos": "FcosDetector", "retinanet": "RetinaNetDetector"}
)
"""Names of the decoders, and their classes in :mod:`automl.models.detector_parts`."""
USUAL_WIDTH = 64
"""Channels of pyramid and heads where an architecture does not say."""
_DEPTHS = (2, 3, 4)
_WIDTHS = (8, 256)
"""256 is that of the papers, for networks fifty times as large."""
_BACKBONE_STRIDES = (8, 16, 32)


def build_detector(
    architecture: Architecture, *, classes: int, weights: WeightSource | None = None
) -> Network:
    """Return a new detector, in training mode, on the CPU.

    Pyramid and heads are always new; the backbone comes from ``weights``, when they hold it, else from
    timm's random initialisation (seed torch before to repeat it). ``network.module`` gives a
    :data:`~automl.models.detector_parts.DetectorOutput`.

    Raises:
        SpecError: unknown decoder or backbone; a depth, width or image size that it cannot have;
            weights that do not belong to it.
    """
    _check(architecture)
    stages = _stages_of(architecture.backbone, architecture.depth or 0)
    macs = _count_macs(architecture, stages, classes)
    features = create_features(
        architecture.backbone, stages=stages, weights=weights, image_size=architecture.image_size
    )
    module = _assemble(architecture, features, classes)
    return Network(
        architecture=architecture,
        module=module,
        mean=features.mean,
        std=features.std,
        weights=features.source,
        stages=stages[-1],
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs,
        encoder="backbone.model.",
    )


def _check(architecture: Architecture) -> None:
    decoder = architecture.decoder
    if decoder not in DECODERS:
        raise SpecError(
            f"A detector has the decoder {' or '.join(DECODERS)}; got "
            f"{'none' if decoder is None else repr(decoder)} for '{architecture.backbone}'."
            f"{did_you_mean(decoder or '', DECODERS)}"
        )
    if architecture.depth not in _DEPTHS:
        raise SpecError(
            "The depth of a detector is its number of pyramid levels, 2 (strides of 8 and 16 pixels) "
            f"to 4 (8, 16, 32 and 64); got {architecture.depth or 'full'} for "
            f"'{architecture.backbone}'."
        )
    width = architecture.width
    if width is not None and not _WIDTHS[0] <= width <= _WIDTHS[1]:
        raise SpecError(
            f"The width of a detector is {_WIDTHS[0]} to {_WIDTHS[1]} channels; got {width} for "
            f"'{architecture.backbone}'."
        )


def _stages_of(backbone: str, levels: int) -> tuple[int, ...]:
    """Return the last stage, counted from 1, of each stride that the pyramid takes from a backbone."""
    import torch

    with torch.device("meta"):
        info = create_backbone(backbone, classes=2).feature_info
    last = {int(stage["reduction"]): number for number, stage in enumerate(info, 1)}
    wanted = _BACKBONE_STRIDES[:levels]
    missing = [stride for stride in wanted if stride not in last]
    if missing:
        raise SpecError(
            f"A pyramid of {levels} levels needs feature stages at strides of "
            f"{', '.join(map(str, wanted))} pixels; '{backbone}' has them at "
            f"{', '.join(map(str, sorted(last)))}. Choose a backbone of stages that halve the map, "
            "such as a convolutional one."
        )
    return tuple(last[stride] for stride in wanted)


def _assemble(architecture: Architecture, features: FeatureStages, classes: int) -> nn.Module:
    from automl.models import detector_parts

    kind: Any = getattr(detector_parts, DECODERS[str(architecture.decoder)])
    module: nn.Module = kind(
        features.module,
        channels=features.channels,
        levels=architecture.depth,
        width=architecture.width or USUAL_WIDTH,
        classes=classes,
    )
    return module


def _count_macs(architecture: Architecture, stages: tuple[int, ...], classes: int) -> int:
    """Return the multiply-accumulates of one image, counted on the device that computes nothing."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    size = architecture.image_size
    with torch.device("meta"):
        try:
            features = create_features(architecture.backbone, stages=stages, image_size=size)
            module = _assemble(architecture, features, classes).eval()
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                module(torch.empty(1, 3, size, size))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise SpecError(
                f"A detector on '{architecture.backbone}' cannot take images of {size} x {size} "
                f"pixels ({error}). Use a multiple of 32 between 64 and 1024."
            ) from error
    return int(counter.get_total_flops()) // 2
