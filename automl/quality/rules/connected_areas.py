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

    def areas(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return boxes ``(n, 4)`` in pixels and what is known of each area, ``(n, 5)``."""
        from scipy.ndimage import find_objects, gaussian_filter, label

        values = gaussian_filter(_CHANNELS[self.channel](image), _SMOOTHING)
        mask = values < self.level if self.is_dark else values >= self.level
        numbered, count = label(mask)
        sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:] / mask.size
        fitting = np.flatnonzero((sizes >= self.least) & (sizes <= self.most))
        largest = fitting[np.argsort(-sizes[fitting], kind="stable")][:_MOST_AREAS]
        slices = find_objects(numbered)
        boxes, facts = [], []
        for number in np.sort(largest).tolist():
            rows, columns = slices[number]
            boxes.append((columns.start, rows.start, columns.stop, rows.stop))
            inside = numbered[rows, columns] == number + 1
            color = image[rows, columns][inside].mean(axis=0)
            shape = (columns.stop - columns.start) / (rows.stop - rows.start)
            facts.append((100.0 * sizes[number], *color.tolist(), shape))
        return (
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(facts, np.float64).reshape(-1, len(_COLUMNS)),
        )


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
        cut = max(
            _cuts(data.train, float(small) * _ROOM[0], float(large) * _ROOM[1]),
            key=lambda one: _agreement(one, data.train),
        )
        facts, labels = _labelled(cut, data.train, empty=len(data.classes))
        if len(np.unique(labels)) < 2 and not len(labels):
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


def _say(column: int, relation: str, limit: float) -> str:
    return f"{_COLUMNS[column]} is {relation} {limit:.3g}"


def _cuts(images: RuleSplit, least: float, most: float) -> Sequence[_Cut]:
    """Return cuts of every channel around Otsu's threshold, either way."""
    cuts = []
    for name, channel in _CHANNELS.items():
        counts = np.zeros(256)
        for image, _ in images:
            counts += np.bincount(channel(image).astype(np.uint8).ravel(), minlength=256)
        middle = otsu_level(counts)
        for level in sorted({int(np.clip(middle + shift, 1, 255)) for shift in _SHIFTS}):
            cuts += [_Cut(name, level, is_dark, least, most) for is_dark in (True, False)]
    return cuts


def _agreement(cut: _Cut, images: RuleSplit) -> float:
    """Return the F1 of areas against boxes, whatever their class."""
    right = found = asked = 0
    for image, truth in images:
        if isinstance(truth, BoxTruth):
            boxes, _ = cut.areas(image)
            right += int((_overlaps(boxes, truth.corners).max(axis=0, initial=0) >= _MATCH).sum())
            found, asked = found + len(boxes), asked + len(truth.corners)
    return 2 * right / max(found + asked, 1)


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
