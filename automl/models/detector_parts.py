"""The torch modules of a detector: backbone, feature pyramid, heads.

The pyramid is that of Lin et al. 2017 (https://arxiv.org/abs/1612.03144), the heads are those of FCOS
and RetinaNet (see :mod:`automl.models.detector_boxes`) with two layers instead of four. Their weights
are shared by all levels, but each level has its own batch normalisation, as in EfficientDet (Tan et al.
2020, https://arxiv.org/abs/1911.09070): statistics differ from level to level, and what is normalised
by a batch folds into the convolution before it, where the group normalisation of the papers would stay
a slow float layer in an 8-bit network.

Imported only where a detector is built, because it needs torch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu
from torch.nn.utils.fusion import fuse_conv_bn_eval

from automl.models.detector_boxes import ANCHORS

__all__ = ["DetectorOutput", "FcosDetector", "RetinaNetDetector"]

DetectorOutput = tuple[tuple[Tensor, ...], ...]
"""Logits of the classes, what is said of the boxes and, for FCOS, logits of the centerness: each a
tuple of maps ``(B, A * numbers, h, w)``, one for each level; A is 1 for FCOS."""

_LAYERS = 2
"""Convolutions of a head before its last: the papers' four gain little on small networks."""
_PRIOR = 0.01
"""Probability that a new network gives to each class at each point (RetinaNet, section 4.1)."""
_USUAL_SIDE = 2.0
"""Softplus of it is the distance in strides that a new FCOS network says."""


class FcosDetector(nn.Module):
    """Backbone, pyramid, and heads for classes, boxes and centerness."""

    def __init__(
        self, backbone: nn.Module, *, channels: Sequence[int], levels: int, width: int, classes: int
    ) -> None:
        """Put pyramid and heads onto a backbone.

        Args:
            backbone: gives one map for each of ``channels``, finest first, each half as wide as the
                one before.
            channels: of its maps.
            levels: of the pyramid; those beyond the maps are made by halving the coarsest.
            width: channels of pyramid and heads.
            classes: how many.
        """
        super().__init__()
        self.backbone = backbone
        self.pyramid = _Pyramid(channels, levels, width)
        self.class_head = _Head(width, levels, _LAYERS)
        self.box_head = _Head(width, levels, _LAYERS)
        self.classes = _last(width, classes, bias=-math.log((1 - _PRIOR) / _PRIOR))
        self.boxes = _last(width, 4, bias=_USUAL_SIDE)
        self.centerness = _last(width, 1, bias=0.0)

    def forward(self, images: Tensor) -> DetectorOutput:
        """Return classes, boxes and centerness for ``(B, 3, S, S)`` normalised float32 images."""
        maps = self.pyramid(self.backbone(images))
        about_classes, about_boxes = self.class_head(maps), self.box_head(maps)
        return (
            tuple(self.classes(level) for level in about_classes),
            tuple(self.boxes(level) for level in about_boxes),
            tuple(self.centerness(level) for level in about_boxes),
        )


class RetinaNetDetector(nn.Module):
    """Backbone, pyramid, and heads for classes and boxes of anchors."""

    def __init__(
        self, backbone: nn.Module, *, channels: Sequence[int], levels: int, width: int, classes: int
    ) -> None:
        """Put pyramid and heads onto a backbone; see :class:`FcosDetector`."""
        super().__init__()
        self.backbone = backbone
        self.pyramid = _Pyramid(channels, levels, width)
        self.class_head = _Head(width, levels, _LAYERS)
        self.box_head = _Head(width, levels, _LAYERS)
        self.classes = _last(width, ANCHORS * classes, bias=-math.log((1 - _PRIOR) / _PRIOR))
        self.boxes = _last(width, ANCHORS * 4, bias=0.0)

    def forward(self, images: Tensor) -> DetectorOutput:
        """Return classes and boxes for ``(B, 3, S, S)`` normalised float32 images."""
        maps = self.pyramid(self.backbone(images))
        return (
            tuple(self.classes(level) for level in self.class_head(maps)),
            tuple(self.boxes(level) for level in self.box_head(maps)),
        )


class _Pyramid(nn.Module):
    """Maps of all levels with the same channels, each fed by the coarser ones."""

    def __init__(self, channels: Sequence[int], levels: int, width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_normed(count, width, kernel=1) for count in channels)
        self.smooth = nn.ModuleList(_active(width, width) for _ in channels)
        self.further = nn.ModuleList(
            _active(width, width, stride=2) for _ in range(levels - len(channels))
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return ``(B, width, h, w)`` for each level, finest first."""
        summed = [lateral(level) for lateral, level in zip(self.lateral, maps, strict=True)]
        for finer in range(len(summed) - 2, -1, -1):
            size = summed[finer].shape[-2:]
            summed[finer] = summed[finer] + interpolate(summed[finer + 1], size=size)
        found = [smooth(level) for smooth, level in zip(self.smooth, summed, strict=True)]
        for halved in self.further:
            found.append(halved(found[-1]))
        return found


class _Head(nn.Module):
    """Convolutions shared by all levels, each followed by a normalisation of the level's own."""

    def __init__(self, width: int, levels: int, layers: int) -> None:
        super().__init__()
        self.shared = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(levels * layers))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return maps of the same shapes."""
        norms = iter(self.norms)
        found = []
        for level in maps:
            for convolution in self.shared:
                level = relu(next(norms)(convolution(level)))
            found.append(level)
        return found

    def fuse(self) -> nn.Module:
        """Return the same head for inference; timm's ``reparameterize_model`` asks for it."""
        return _FoldedHead(list(self.shared), list(self.norms))


class _FoldedHead(nn.Module):
    """A head as it is delivered: the normalisations are part of the convolutions, of which each level
    then has its own. An exporter folds no convolution that is shared, and a quantized network would go
    to float and back at each normalisation that is left."""

    def __init__(self, shared: Sequence[nn.Module], norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = len(shared)
        self.folded = nn.ModuleList(
            fuse_conv_bn_eval(copy.deepcopy(shared[position % len(shared)]).eval(), norm)  # type: ignore[type-var, arg-type]  # lists of modules
            for position, norm in enumerate(norms)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return maps of the same shapes."""
        folded = iter(self.folded)
        found = []
        for level in maps:
            for _ in range(self.layers):
                level = relu(next(folded)(level))
            found.append(level)
        return found


def _normed(channels: int, width: int, *, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width))


def _active(channels: int, width: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_normed(channels, width, kernel=3, stride=stride), nn.ReLU())


def _last(width: int, numbers: int, *, bias: float) -> nn.Conv2d:
    """Return a convolution that says almost the same everywhere until it is trained."""
    convolution = nn.Conv2d(width, numbers, 3, padding=1)
    nn.init.normal_(convolution.weight, std=0.01)
    nn.init.constant_(convolution.bias, bias)  # type: ignore[arg-type]  # there is a bias
    return convolution
