"""Segmentation: the class of every pixel.

Decides how networks learn from masks in which one class covers nearly everything and the one that
matters a thousandth, and what a good mask is: one whose areas overlap the true ones in every class
(mean IoU), also the rare ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from automl.data.colors import background_of
from automl.data.truth import IGNORED, MaskTruth, Truth
from automl.models.segmenters import build_segmenter, last_bias
from automl.models.weights import weight_source
from automl.predictor import Answer, Segmentation
from automl.records import Architecture, TaskOptions, TruthKind
from automl.tasks.base import Comparison, Encoded, Judged
from automl.tasks.mask_offsets import PixelSample, choose_offsets
from automl.tasks.mask_scores import MaskScorer, class_overlaps, count_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.models.backbones import Network

__all__ = ["MaskLoss", "SegmentationTask"]

_TEMPER = 0.25
"""Power of a class's inverse share that weighs it. Crops show rare classes more often already: with 0.5
cracks (0.3 % of the pixels) were answered twice as often as they are there, and an offset that undoes
half of that weight raised their IoU from 0.29 to 0.35."""
_FOCUS_SHARE = 0.5
"""Training crops that are put on a rare class; the others lie anywhere, so that nothing is unlearnt."""
_SAME_SHARE = 0.01
"""Pixels in which two masks may differ that a user would treat alike."""
_SMALLEST_SHARE = 0.0005
"""Of an image: below it an area is named with two decimals."""


class SegmentationTask:
    """One of two or more classes for each pixel; judged by mean IoU unless the spec says else."""

    name = "segmentation"
    default_objective = "mean-iou"
    truth: TruthKind = "mask"
    learner = "gradient"
    outputs: tuple[str, ...] = ("mask",)
    tunes = True
    settles = False
    parity_limit = 0.005
    """Of the pixels: where two classes are equally likely, rounding decides (1e-4 was seen)."""

    def __init__(self, classes: Sequence[str], options: TaskOptions) -> None:
        self.classes = tuple(classes)
        self._background = background_of(self.classes)

    def build(self, architecture: Architecture, *, weights: str | None) -> Network:
        """Return a decoder on a backbone."""
        source = None if weights is None else weight_source(weights)
        return build_segmenter(architecture, classes=len(self.classes), weights=source)

    def postprocess(self, network: Network) -> nn.Module:
        """Return what enlarges logits to the frame and takes the largest."""
        return _Mask()

    def encode(self, truth: Truth) -> Encoded:
        """Return ``mask`` (H, W), uint8, which moves with the image."""
        from torchvision import tv_tensors

        return {"mask": tv_tensors.Mask(torch.from_numpy(_pixels(truth)))}

    def collate(self, encoded: Sequence[Encoded]) -> Tensor:
        """Return the class of each pixel, ``(B, H, W)`` int64."""
        return torch.stack([one["mask"].as_subclass(Tensor) for one in encoded]).long()

    def focus(self, truth: Truth, draw: float) -> tuple[int, int] | None:
        """Return a pixel of a rare class for half of the crops, the rarer the class the more often.

        Classes are drawn by the inverse square root of their area, all but the largest one.
        """
        pixels = _pixels(truth)
        areas = np.bincount(pixels.ravel(), minlength=IGNORED + 1)[: len(self.classes)]
        present = np.flatnonzero(areas)
        if draw >= _FOCUS_SHARE or len(present) < 2:
            return None
        rare = present[np.argsort(areas[present], kind="stable")[:-1]]
        edges = np.cumsum(areas[rare] ** -0.5)
        place = draw / _FOCUS_SHARE * edges[-1]
        chosen = int(np.searchsorted(edges, place, side="right"))
        begin = 0.0 if chosen == 0 else float(edges[chosen - 1])
        within = (place - begin) / (float(edges[chosen]) - begin)
        candidates = np.flatnonzero(pixels == rare[chosen])
        row, column = divmod(int(candidates[int(within * len(candidates))]), pixels.shape[1])
        return row, column

    def loss(self, truths: Sequence[Truth], *, label_smoothing: float) -> nn.Module:
        """Return weighted cross-entropy plus Dice.

        Each class weighs the fourth root of its inverse share of the pixels.
        """
        counts = sum(
            np.bincount(_pixels(one).ravel(), minlength=IGNORED + 1)[: len(self.classes)]
            for one in truths
        )
        shares = np.asarray(counts, np.float64) / max(1, np.sum(counts))
        weights = np.where(shares > 0, np.maximum(shares, 1e-9) ** -_TEMPER, 1.0)
        weights /= max(1e-9, float((weights * shares).sum()))
        return MaskLoss(torch.from_numpy(weights).float(), label_smoothing=label_smoothing)

    def scorer(self) -> MaskScorer:
        """Return a scorer of masks."""
        return MaskScorer(self.classes)

    def judged(self, one: Judged, *, present: frozenset[int], seed: int) -> tuple[Judged, ...]:
        """Return the image itself."""
        return (one,)

    def tune(
        self, network: Network, outputs: Iterable[tuple[Any, Sequence[Truth]]], *, images: int
    ) -> dict[str, str]:
        """Favour each class as much as makes the areas overlap best (:mod:`.mask_offsets`)."""
        sample = PixelSample(len(self.classes), images)
        for batch, truths in outputs:
            for position, truth in enumerate(truths):
                true = _pixels(truth)
                one = _enlarged(batch[position : position + 1].float(), *true.shape)
                sample.add(one[0].cpu().numpy(), true)
        offsets = choose_offsets(*sample.numbers())
        bias = last_bias(network.module)
        with torch.no_grad():
            bias += torch.from_numpy(offsets).to(bias)
        return {
            f"favour of {name}": f"{offset:+g}"
            for name, offset in zip(self.classes, offsets.tolist(), strict=True)
            if offset
        }

    def settle(
        self, file: Path, answers: Sequence[Answer], truths: Sequence[Truth]
    ) -> dict[str, str]:
        """Change nothing: the most likely class of a pixel is the answer."""
        return {}

    def compare(self, expected: Answer, got: Answer) -> Comparison:
        """Return the share of pixels that differ; up to one in a hundred counts as the same."""
        before, after = _segmentation(expected).mask, _segmentation(got).mask
        difference = float((before != after).mean())
        return Comparison(difference, difference <= _SAME_SHARE)

    def quality(self, answer: Answer, truth: Truth) -> float:
        """Return the mean IoU of the classes that the image shows; 1 where nothing is known."""
        mask = _segmentation(answer).mask
        confusion = count_pixels(mask, _pixels(truth), classes=len(self.classes))
        present = confusion.sum(axis=1) > 0
        return float(class_overlaps(confusion)[present].mean()) if present.any() else 1.0

    def describe(self, known: Answer | Truth) -> str:
        """Return the share of each class that is seen, but for the background: ``crack 3.1%``."""
        mask = known.mask if isinstance(known, Segmentation) else _pixels(known)
        areas = np.bincount(mask.ravel(), minlength=IGNORED + 1)
        shares = areas[: len(self.classes)] / max(1, mask.size - areas[IGNORED])
        parts = [
            f"{name} {_percent(float(share))}"
            for index, (name, share) in enumerate(zip(self.classes, shares, strict=True))
            if share > 0 and index != self._background
        ]
        return ", ".join(parts) or f"{self.classes[self._background]} alone"

    def draw(self, frame: NDArray[np.uint8], answer: Answer, truth: Truth) -> NDArray[np.uint8]:
        """Return the frame with the answer's areas in colour and the true outlines as lines."""
        from automl.tasks.mask_drawing import draw_masks

        mask = _segmentation(answer).mask
        return draw_masks(frame, mask, _pixels(truth), background=self._background)


class _Mask(nn.Module):
    """The most likely class of each pixel of the frame.

    Logits are enlarged, not the mask: thin things keep their shape. On a 1024 x 1024 frame with three
    classes it takes 7 ms in place of 1 (onnxruntime, one thread).
    """

    def forward(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Return ``(1, H, W)`` uint8 for logits ``(1, C, h, w)``."""
        return _enlarged(logits, height, width).argmax(dim=1).to(torch.uint8)


class MaskLoss(nn.Module):
    """Weighted cross-entropy plus Dice, over pixels that are not :data:`IGNORED`.

    Cross-entropy alone lets a rare class be missed at little cost; Dice (Milletari et al. 2016,
    "V-Net", section 3) looks at each class's overlap whatever its area, but gives no steady gradient
    while nothing overlaps. Dice is that of the whole batch, averaged over the classes that occur in it.
    """

    weights: Tensor

    def __init__(self, weights: Tensor, *, label_smoothing: float) -> None:
        """``weights``: ``(classes,)`` of the classes in the cross-entropy."""
        super().__init__()
        self.register_buffer("weights", weights)
        self._label_smoothing = label_smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of logits ``(B, C, h, w)`` for the classes of pixels ``(B, H, W)`` int64."""
        enlarged = _enlarged(logits, targets.shape[1], targets.shape[2]).float()
        known = targets != IGNORED
        classes = torch.where(known, targets, 0)
        each = nn.functional.cross_entropy(
            enlarged,
            targets,
            self.weights,
            ignore_index=IGNORED,
            reduction="none",
            label_smoothing=self._label_smoothing,
        )
        total = (self.weights[classes] * known).sum().clamp(min=1.0)
        return each.sum() / total + _dice_loss(enlarged, classes, known)


def _dice_loss(logits: Tensor, classes: Tensor, known: Tensor) -> Tensor:
    """Return 1 - the mean soft Dice of the classes that occur in ``(B, H, W)`` known pixels."""
    count = logits.shape[1]
    likely = logits.softmax(dim=1) * known[:, None]
    truth = nn.functional.one_hot(classes, count).permute(0, 3, 1, 2) * known[:, None]
    overlap = (likely * truth).sum((0, 2, 3))
    areas = truth.sum((0, 2, 3))
    dice = (2.0 * overlap + 1.0) / (likely.sum((0, 2, 3)) + areas + 1.0)
    occurs = (areas > 0).float()
    return ((1.0 - dice) * occurs).sum() / occurs.sum().clamp(min=1.0)


def _enlarged(logits: Tensor, height: int, width: int) -> Tensor:
    """Return logits at a size, untouched when it is known to be theirs."""
    size = (height, width)
    if all(isinstance(side, int) for side in size) and tuple(logits.shape[2:]) == size:
        return logits
    return nn.functional.interpolate(logits, size, mode="bilinear", align_corners=False)


def _percent(share: float) -> str:
    return f"{share:.2%}" if share < _SMALLEST_SHARE else f"{share:.1%}"


def _pixels(truth: object) -> NDArray[np.uint8]:
    if not isinstance(truth, MaskTruth):
        raise TypeError(f"Segmentation is judged by masks; got {type(truth).__name__}.")
    return truth.pixels


def _segmentation(answer: Answer) -> Segmentation:
    if not isinstance(answer, Segmentation):
        raise TypeError(f"Segmentation answers with masks; got {type(answer).__name__}.")
    return answer
