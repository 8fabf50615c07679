"""Networks that name the class of every pixel: decoders of segmentation-models-pytorch on timm encoders.

Decides which decoders can be asked for, what ``depth`` and ``width`` mean for each, and where the
network proper ends: at the decoder's own resolution. segmentation-models-pytorch would enlarge the
logits inside the network; here that is left to the postprocessing, which enlarges them once, straight
to the size of the frame, and stays float when the network is quantized.

Left out: PSPNet and UPerNet, whose pools of 3 x 3 and 6 x 6 cells have no counterpart in ONNX at most
image sizes, and DPT, which takes transformers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from automl.errors import AutomlError, SpecError, did_you_mean
from automl.models.backbones import Network, create_backbone
from automl.records import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from automl.models.weights import WeightSource

__all__ = ["DECODERS", "Decoder", "build_segmenter", "last_bias"]

_USUAL_DEPTH = 5
_QUARTER = 4
_STRIDE = 16
"""What DeepLabV3+ and PAN dilate the last stages of the encoder to (Chen et al. 2018, section 3.1)."""


@dataclass(frozen=True)
class Decoder:
    """What is known of one decoder of segmentation-models-pytorch."""

    model: str
    """Its class there."""
    depths: tuple[int, ...]
    """Depths of the encoder that it works with."""
    width: str
    """What ``Architecture.width`` sets, for error messages; empty when it has no width."""
    options: tuple[tuple[str, int], ...] = ()
    """Arguments that a width sets, each with what the width is multiplied by."""
    doubles: bool = False
    """The width is that of the last block, and each block before it has twice as many channels."""
    multiple_of: int = 1
    """Widths it can take."""
    dilates: bool = False
    """Whether it needs an encoder whose last stages can keep their resolution."""
    quarter_depths: tuple[int, ...] | None = None
    """The same for encoders whose first feature map is a quarter of the image; ``None``: all."""


DECODERS: Mapping[str, Decoder] = MappingProxyType(
    {
        "unet": Decoder("Unet", (3, 4, 5), "channels of the last block", doubles=True),
        "unetplusplus": Decoder(
            "UnetPlusPlus", (3, 4, 5), "channels of the last block", doubles=True
        ),
        "manet": Decoder("MAnet", (3, 4, 5), "channels of the last block", doubles=True),
        "linknet": Decoder("Linknet", (3, 4, 5), "", quarter_depths=()),
        "fpn": Decoder(
            "FPN",
            (4, 5),
            "channels of the segmentation blocks, in groups of 32",
            (("decoder_segmentation_channels", 1), ("decoder_pyramid_channels", 2)),
            multiple_of=32,
            quarter_depths=(5,),
        ),
        "segformer": Decoder(
            "Segformer", (3, 4, 5), "channels", (("decoder_segmentation_channels", 1),)
        ),
        "deeplabv3plus": Decoder(
            "DeepLabV3Plus", (3, 4, 5), "channels", (("decoder_channels", 1),), dilates=True
        ),
        "pan": Decoder("PAN", (3, 4, 5), "channels", (("decoder_channels", 1),), dilates=True),
    }
)
"""Decoders by the name that a search space gives them."""


def build_segmenter(
    architecture: Architecture, *, classes: int, weights: WeightSource | None = None
) -> Network:
    """Return a new segmentation network, in training mode, on the CPU.

    Its module gives logits ``(B, classes, S / k, S / k)`` for images ``(B, 3, S, S)``, also for other
    S than the architecture's; k is 1 (the Unets, Linknet), 4, or what the depth leaves (FPN: 2 at
    depth 4). ``depth`` is the number of times that the encoder halves the image, 5 when ``None``.
    The encoder's weights come from ``weights``, when they hold the backbone; the rest is random.

    Raises:
        SpecError: unknown backbone or decoder, a depth, width or image size that it does not take, or
            weights that do not belong to the backbone.
    """
    from automl.models.features import pretrained_state

    whole = _on_meta(lambda: create_backbone(architecture.backbone, classes=2))
    decoder = _checked_decoder(architecture, first=int(whole.feature_info[0]["reduction"]))
    macs = _count_macs(architecture, decoder, classes=classes)
    module = _assemble(architecture, decoder, classes=classes)
    found = pretrained_state(architecture.backbone, weights)
    if found is not None:
        _load_encoder(module.encoder.model, found[0], architecture.backbone)
    config = whole.pretrained_cfg
    return Network(
        architecture=architecture,
        module=module,
        mean=tuple(float(value) for value in config["mean"]),  # type: ignore[arg-type]  # three
        std=tuple(float(value) for value in config["std"]),  # type: ignore[arg-type]  # three
        weights=None if found is None else found[1],
        stages=len(module.encoder.model.feature_info.channels()),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs,
        encoder="encoder.model." + _inner_prefix(module.encoder.model),
    )


def _checked_decoder(architecture: Architecture, *, first: int) -> Decoder:
    """Return the decoder of an architecture whose depth and width it takes.

    ``first``: pixels of the image to one of the encoder's first feature map, along each side.
    """
    name = architecture.decoder or ""
    if name not in DECODERS:
        given = f"'{name}'" if name else "none"
        raise SpecError(f"A segmentation network has a decoder; got {given}.{_close_decoder(name)}")
    decoder = DECODERS[name]
    _check_depth(architecture, decoder, decoder.depths)
    if first == _QUARTER and decoder.quarter_depths is not None:
        _check_depth(architecture, decoder, decoder.quarter_depths)
    width = architecture.width
    if width is not None and not decoder.width:
        raise SpecError(
            f"Decoder '{name}' has no width, its channels follow the encoder's; got {width}. "
            "Leave 'widths' out."
        )
    if width is not None and (width < 1 or width % decoder.multiple_of):
        rule = "at least 1" if decoder.multiple_of == 1 else f"a multiple of {decoder.multiple_of}"
        raise SpecError(
            f"The width of decoder '{name}' ({decoder.width}) is {rule}; got {width}. "
            "Use such a number, or leave 'widths' out."
        )
    return decoder


def _close_decoder(name: str) -> str:
    hint = did_you_mean(name, DECODERS) if name else ""
    return hint if "?" in hint else f" Use one of {', '.join(DECODERS)}."


def _check_depth(architecture: Architecture, decoder: Decoder, depths: tuple[int, ...]) -> None:
    """Refuse a depth that is none of these, with what else would work."""
    depth, name = architecture.depth or _USUAL_DEPTH, architecture.decoder
    if not depths:
        raise SpecError(
            f"Decoder '{name}' takes an encoder whose first feature map is half the image's side; "
            f"that of '{architecture.backbone}' is a quarter. Use 'unet', or another backbone."
        )
    if depth not in depths:
        where = "" if depths == decoder.depths else f" on '{architecture.backbone}'"
        choice = ", ".join(str(allowed) for allowed in depths)
        raise SpecError(
            f"The encoder depths that decoder '{name}' takes{where} are {choice}; got {depth}. "
            "Use one of these; 'full' is 5."
        )


def _assemble(architecture: Architecture, decoder: Decoder, *, classes: int) -> Any:
    """Return the torch module with random weights, its logits at the decoder's resolution."""
    import segmentation_models_pytorch
    from torch import nn

    depth = architecture.depth or _USUAL_DEPTH
    try:
        module = getattr(segmentation_models_pytorch, decoder.model)(
            f"tu-{architecture.backbone}",
            encoder_depth=depth,
            encoder_weights=None,
            classes=classes,
            **_options(decoder, architecture.width, depth),
        )
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise SpecError(
            f"Backbone '{architecture.backbone}' cannot be the encoder of '{architecture.decoder}' "
            f"at depth {depth} ({_first_line(error)}). {_encoder_remedy(decoder)}"
        ) from error
    module.segmentation_head[1] = nn.Identity()  # what enlarges the logits
    return module


def last_bias(module: Any) -> Tensor:
    """Return the bias ``(classes,)`` of the layer that gives the logits."""
    bias: Tensor = module.segmentation_head[0].bias
    return bias


def _encoder_remedy(decoder: Decoder) -> str:
    if decoder.dilates:
        return (
            "This decoder needs a backbone that timm can build with an 'output_stride'; most ResNets, "
            "EfficientNets and MobileNets have one. Or use 'unet', which needs none."
        )
    return (
        "Encoders halve the image step by step, as ResNets, EfficientNets, MobileNets and ConvNeXts "
        "do; use one of these."
    )


def _options(decoder: Decoder, width: int | None, depth: int) -> dict[str, Any]:
    options: dict[str, Any] = {"encoder_output_stride": _STRIDE} if decoder.dilates else {}
    if decoder.doubles:
        last = width or _USUAL_UNET_WIDTH
        options["decoder_channels"] = [last * 2**block for block in reversed(range(depth))]
    elif width is not None:
        options |= {name: width * factor for name, factor in decoder.options}
    return options


_USUAL_UNET_WIDTH = 16
"""Of the last block in segmentation-models-pytorch, whatever the depth."""


def _load_encoder(features: Any, state: Mapping[str, Tensor], backbone: str) -> None:
    """Copy the tensors of timm's whole model into its ``features_only`` form, in place.

    The latter holds a part of them under the same names, but for ``stages.0``, which it may call
    ``stages_0``.

    Raises:
        AutomlError: when a tensor of the encoder is not among them.
    """
    inner = _inner_prefix(features)
    plain = {key.replace("_", "."): tensor for key, tensor in state.items()}
    own = features.state_dict()
    found = {key: plain.get(key.removeprefix(inner).replace("_", ".")) for key in own}
    missing = [k for k, tensor in found.items() if tensor is None or tensor.shape != own[k].shape]
    if missing:
        raise AutomlError(
            f"The weights of '{backbone}' cannot be brought into an encoder, because timm builds it "
            f"with other layers there: {', '.join(missing[:3])}. Choose another backbone of the same "
            "family, or 'weights: none'."
        )
    features.load_state_dict(found)


def _inner_prefix(features: Any) -> str:
    """Return what the names of the whole model's tensors begin with in its ``features_only`` form.

    timm takes some models apart, and leaves others whole inside a wrapper.
    """
    from timm.models._features import FeatureGetterNet

    return "model." if isinstance(features, FeatureGetterNet) else ""


def _count_macs(architecture: Architecture, decoder: Decoder, *, classes: int) -> int:
    """Return the multiply-accumulates of one image, counted on the meta device.

    Raises:
        SpecError: when the network cannot take images of the architecture's size.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module = _on_meta(lambda: _assemble(architecture, decoder, classes=classes)).eval()
    size, step = architecture.image_size, int(module.encoder.output_stride)
    if module.requires_divisible_input_shape and size % step:
        nearest = max(1, round(size / step)) * step
        raise SpecError(
            f"Image sizes for '{architecture.decoder}' at depth {architecture.depth or _USUAL_DEPTH} "
            f"are multiples of {step}, because the encoder halves the image; got {size}. "
            f"Use {nearest}."
        )
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(torch.empty(1, 3, size, size, device="meta"))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise SpecError(
            f"'{architecture.decoder}' on '{architecture.backbone}' cannot take images of "
            f"{size} x {size} pixels ({_first_line(error)}). Use a larger multiple of 32."
        ) from error
    return int(counter.get_total_flops()) // 2


def _on_meta(build: Any) -> Any:
    import torch

    with torch.device("meta"):
        return build()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
