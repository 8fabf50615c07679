"""Detection by a limit on brightness or colour: each connected area of a fitting size is an object.

The class is told by size and colour of the area, with at most two questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from automl.data.truth import BoxTruth
from automl.predictor import Detection
from automl.quality.rules.base import RuleData, RuleSplit
from automl.quality.rules.measurements import brightness, otsu_level
from automl.quality.rules.trees import Node, fit_tree, tree_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ConnectedAreas"]

_SHIFTS = (-30, -15, 0, 15, 30)
"""Gray levels around Otsu's threshold that are tried."""
_SMOOTHING = 1.0
_MATCH = 0.5
"""Overlap (intersection over union) at which an area is the object of a box."""
_ROOM = (0.3, 2.0)
"""Smallest and largest area, as multiples of the smallest and largest box (5 % left out at either
end); an area fills less than its box."""
_MOST_AREAS = 200
_QUESTIONS = 2
_MOST_TRIED = 12
"""Images on which the cuts are compared."""
_COLUMNS = (
    "its area in percent of the image's",
    "its mean red",
    "its mean green",
    "its mean blue",
    "its width divided by its height",
)

_CHANNELS: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.float32]]] = MappingProxyType(
    {
        "brightness": brightness,
        "red": lambda image: image[..., 0].astype(np.float32),
        "green": lambda image: image[..., 1].astype(np.float32),
        "blue": lambda image: image[..., 2].astype(np.float32),
        "colourfulness (largest less smallest colour)": lambda image: np.ptp(image, axis=2).astype(
            np.float32
        ),
    }
)


@dataclass(frozen=True)
class _Cut:
    """Which pixels belong to an object, and how large it may be (shares of the image)."""

    channel: str
    level: int
    is_dark: bool
    least: float
    most: float

    def boxes(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return boxes ``(n, 4)`` in pixels for the smoothed channel ``(H, W)``."""
        numbered, fitting = self._number(values)
        from scipy.ndimage import find_objects

        slices = find_objects(numbered)
        corners = [
            (columns.start, rows.start, columns.stop, rows.stop)
            for rows, columns in (slices[number] for number in fitting.tolist())
        ]
        return np.array(corners, np.float32).reshape(-1, 4)

    def _number(self, values: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """Return the areas numbered from 1, and which of them (from 0) have a fitting size."""
        from scipy.ndimage import label

        mask = values < self.level if self.is_dark else values >= self.level
        numbered, count = label(mask)
        sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:] / mask.size
        fitting = np.flatnonzero((sizes >= self.least) & (sizes <= self.most))
        largest = fitting[np.argsort(-sizes[fitting], kind="stable")][:_MOST_AREAS]
        return numbered, np.sort(largest)

    def areas(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return boxes ``(n, 4)`` in pixels and what is known of each area, ``(n, 5)``."""
        values = _smooth(image, self.channel)
        numbered, fitting = self._number(values)
        boxes = self.boxes(values)
        facts = []
        for number, (left, top, right, bottom) in zip(
            fitting.tolist(), boxes.astype(int).tolist(), strict=True
        ):
            inside = numbered[top:bottom, left:right] == number + 1
            color = image[top:bottom, left:right][inside].mean(axis=0)
            share = 100.0 * float(inside.sum()) / numbered.size
            facts.append((share, *color.tolist(), (right - left) / (bottom - top)))
        return boxes, np.array(facts, np.float64).reshape(-1, len(_COLUMNS))


class ConnectedAreas:
    """The channel and level that find the most boxes of the training images."""

    name = "connected-areas"
    side = 256
    most_train = 30

    def fit(self, data: RuleData) -> _FittedAreas | None:
        """Choose the cut by how well areas match boxes, then tell the classes apart."""
        truths = [truth for _, truth in data.train if isinstance(truth, BoxTruth)]
        corners = np.concatenate([one.corners for one in truths]) if truths else np.empty((0, 4))
        if not len(corners):
            return None
        sizes = np.prod(corners[:, 2:] - corners[:, :2], axis=1) / self.side**2
        small, large = np.percentile(sizes, [5, 95])
        cut = _best_cut(data.train, float(small) * _ROOM[0], float(large) * _ROOM[1])
        facts, labels = _labelled(cut, data.train, empty=len(data.classes))
        if not len(labels):
            return None
        classes = len(data.classes) + 1
        tree = fit_tree(
            facts, labels, classes=classes, depth=_QUESTIONS, seed=data.seed, balanced=False
        )
        return _FittedAreas(data.classes, cut, tree)


@dataclass(frozen=True)
class _FittedAreas:
    classes: tuple[str, ...]
    cut: _Cut
    tree: Node

    @property
    def text(self) -> str:
        """Cut and questions in words."""
        cut = self.cut
        relation = "below" if cut.is_dark else "at least"
        kinds = tree_words(self.tree, (*self.classes, "nothing"), _say, subject="it")
        return (
            f"an object is a connected area whose {cut.channel} is {relation} {cut.level} and that "
            f"covers {100 * cut.least:.2g} % to {100 * cut.most:.2g} % of the image; {kinds}"
        )

    def answer(self, image: NDArray[np.uint8]) -> Detection:
        """Return the areas as boxes; scores are the shares of the class in the tree's leaf."""
        boxes, facts = self.cut.areas(image)
        shares = np.array([self.tree.find(one).shares for one in facts], np.float32)
        shares = shares.reshape(-1, len(self.classes) + 1)[:, :-1]
        labels = shares.argmax(axis=1).astype(np.int64)
        scores = shares[np.arange(len(shares)), labels]
        order = np.argsort(-scores, kind="stable")
        return Detection(self.classes, boxes[order], labels[order], scores[order], 0.5)


def _say(column: int, limit: float | None) -> str:
    return _COLUMNS[column] if limit is None else f"{limit:.3g}"


def _smooth(image: NDArray[np.uint8], channel: str) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    smooth: NDArray[np.float32] = gaussian_filter(_CHANNELS[channel](image), _SMOOTHING)
    return smooth


def _best_cut(images: RuleSplit, least: float, most: float) -> _Cut:
    """Return the cut that agrees best with the boxes of some images, whatever their class."""
    some = [
        (image, truth.corners)
        for image, truth in RuleSplit(images.store, images.indices[:_MOST_TRIED], images.side)
        if isinstance(truth, BoxTruth)
    ]
    best: tuple[float, _Cut] | None = None
    for channel in _CHANNELS:
        values = [_smooth(image, channel) for image, _ in some]
        counts = np.bincount(np.stack(values).astype(np.uint8).ravel(), minlength=256)
        middle = otsu_level(counts.astype(np.float64))
        for level in sorted({int(np.clip(middle + shift, 1, 255)) for shift in _SHIFTS}):
            for is_dark in (True, False):
                cut = _Cut(channel, level, is_dark, least, most)
                pairs = [
                    (cut.boxes(one), corners)
                    for one, (_, corners) in zip(values, some, strict=True)
                ]
                score = _agreement(pairs)
                if best is None or score > best[0]:
                    best = score, cut
    return best[1] if best else _Cut("brightness", 128, True, least, most)


def _agreement(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> float:
    """Return the F1 of found boxes against true ones."""
    right = sum(
        int((_overlaps(found, true).max(axis=0, initial=0) >= _MATCH).sum())
        for found, true in pairs
    )
    return 2 * right / max(sum(len(found) + len(true) for found, true in pairs), 1)


def _labelled(
    cut: _Cut, images: RuleSplit, *, empty: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what is known of each area and the class of the box that it matches."""
    rows, labels = [np.empty((0, len(_COLUMNS)))], [np.empty(0, np.int64)]
    for image, truth in images:
        if not isinstance(truth, BoxTruth):
            continue
        boxes, facts = cut.areas(image)
        own = np.full(len(boxes), empty, np.int64)
        if len(boxes) and len(truth.corners):
            overlaps = _overlaps(boxes, truth.corners)
            nearest = overlaps.argmax(axis=1)
            own = np.where(overlaps.max(axis=1) >= _MATCH, truth.labels[nearest], empty)
        rows.append(facts)
        labels.append(own)
    return np.concatenate(rows), np.concatenate(labels)


def _overlaps(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``(n, m)`` intersection over union."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(one[:, 2:] - one[:, :2], axis=1) for one in (boxes, others)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    overlaps: NDArray[np.float32] = shared / np.maximum(union, 1e-9)
    return overlaps
