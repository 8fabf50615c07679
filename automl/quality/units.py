"""What carries a label, whatever the task: a whole image, an object in it, or a patch of it.

The estimates of :mod:`automl.quality` need not know of tasks; they see units with features, a label
and the image that each comes from. The one place where truths of each kind become units is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from automl.data.truth import IGNORED, BoxTruth, MaskTruth
from automl.quality.embedding import SIDE
from automl.records import Dataset, Split, TruthKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.data.frames import FrameStore
    from automl.quality.embedding import Embedder

__all__ = ["BACKGROUND", "Units", "embed_units", "sample_images"]

BACKGROUND = "nothing"
"""What a patch shows that holds no object."""

_BATCH = 256
_PATCH_IMAGE_SIDE = 512
_CELL = 16
_PURE = 0.75
_SHOWN = (0.1, 0.5)
_TIMES = 5.0
"""A cell shows another class than the background (class 0) that covers five times as much of it as of
the image, but at least a tenth, and half is enough; the background if that covers three quarters; else
it belongs to none. Thin things, such as cracks, would otherwise have no cells at all."""
_MOST_CELLS = 20_000
_CROP_SIDE = 64
_CONTEXT = 0.25
"""Share of a box's sides that is added around it: objects are told by their surroundings too."""
_MOST_CROPS = 3_000
_EMPTY_PER_IMAGE = 3
_MOST_OVERLAP = 0.1
"""Share of an empty patch that objects may cover."""


@dataclass(frozen=True)
class Units:
    """Things that have a label, of some images of a data set."""

    noun: str
    """In the plural: ``images``, ``boxes``, ``areas``."""
    classes: tuple[str, ...]
    sets: tuple[NDArray[np.float32], ...]
    """Features, each ``(n, D)``."""
    labels: NDArray[np.int64]
    """``(n,)``: position in ``classes``."""
    samples: NDArray[np.intp]
    """``(n,)``: position of the image in the data set."""
    places: NDArray[np.float32] | None
    """``(n, 4)`` left, top, right, bottom in pixels of the image; ``None``: whole images."""
    grid: NDArray[np.intp] | None = None
    """``(n, 3)``: image, row and column of each cell where images are cut into ``side`` x ``side``."""
    side: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def splits(self, dataset: Dataset) -> NDArray[np.object_]:
        """Return the split of each unit."""
        own = np.array([sample.split for sample in dataset.samples], dtype=object)
        return own[self.samples]

    def groups(self, dataset: Dataset) -> NDArray[np.object_]:
        """Return the group of each unit; units of one image are always of one group."""
        own = np.array([sample.group for sample in dataset.samples], dtype=object)
        return own[self.samples]


def sample_images(dataset: Dataset, most: int, *, seed: int) -> NDArray[np.intp]:
    """Return positions of at most so many images, ascending, each split by its share."""
    count = len(dataset.samples)
    if count <= most:
        return np.arange(count)
    generator = np.random.default_rng(seed)
    taken = []
    for split in Split:
        own = np.array(dataset.indices(split), np.intp)
        share = max(1, round(most * len(own) / count)) if len(own) else 0
        taken.append(generator.permutation(own)[:share])
    return np.sort(np.concatenate(taken))


def embed_units(
    store: FrameStore, indices: NDArray[np.intp], embedder: Embedder, *, seed: int
) -> Units:
    """Return the units of some images of a data set, embedded."""
    return _KINDS[store.dataset.truth_kind](store, indices, embedder, seed)


def _embed_images(
    store: FrameStore, indices: NDArray[np.intp], embedder: Embedder, seed: int
) -> Units:
    squares = store.squares(indices.tolist(), SIDE)
    parts = [
        embedder.pooled(squares.batch(np.arange(start, min(start + _BATCH, len(indices)))))
        for start in range(0, len(indices), _BATCH)
    ]
    labels = np.array([store.dataset.samples[i].label for i in indices.tolist()], np.int64)
    return Units("images", store.dataset.classes, _stack(parts), labels, indices, None)


def _embed_boxes(
    store: FrameStore, indices: NDArray[np.intp], embedder: Embedder, seed: int
) -> Units:
    """Take a patch around each object, and some where there is none."""
    generator = np.random.default_rng(seed)
    empty = len(store.dataset.classes)
    parts: list[tuple[NDArray[np.float32], ...]] = []
    labels: list[int] = []
    samples: list[int] = []
    places: list[NDArray[np.float32]] = []
    for index in generator.permutation(indices).tolist():
        frame, truth = store.frame(index), store.truth(index)
        if len(labels) >= _MOST_CROPS or not isinstance(truth, BoxTruth):
            break
        boxes = truth.corners[~truth.ignored]
        bare = _empty_places(truth.corners, frame.shape[:2], generator)
        corners = np.concatenate([boxes, bare])
        if not len(corners):
            continue
        patches = np.stack([_patch(frame, place) for place in corners])
        parts.append(embedder.pooled(patches))
        labels += [*truth.labels[~truth.ignored].tolist(), *[empty] * len(bare)]
        samples += [index] * len(corners)
        places.append(corners)
    return Units(
        "boxes",
        (*store.dataset.classes, BACKGROUND),
        _stack(parts),
        np.array(labels, np.int64),
        np.array(samples, np.intp),
        np.concatenate(places) if places else np.empty((0, 4), np.float32),
    )


def _embed_cells(
    store: FrameStore, indices: NDArray[np.intp], embedder: Embedder, seed: int
) -> Units:
    """Cut images into cells that show one class each."""
    height, width = store.dataset.typical_frame
    side = min(_PATCH_IMAGE_SIDE, max(_CELL * 4, min(height, width) // _CELL * _CELL))
    count = side // _CELL
    chosen = np.random.default_rng(seed).permutation(indices)[: max(1, _MOST_CELLS // count**2)]
    features, labels, grid = [], [], []
    for order, index in enumerate(np.sort(chosen).tolist()):
        truth = store.truths([index], (side, side))[0]
        if not isinstance(truth, MaskTruth):
            continue
        image = store.squares([index], side).batch(np.arange(1))
        cells = embedder.cells(image)[0]
        own = cell_labels(truth.pixels, count, classes=len(store.dataset.classes))
        rows, columns = np.nonzero(own != IGNORED)
        features.append(cells[rows, columns])
        labels.append(own[rows, columns].astype(np.int64))
        grid.append(np.stack([np.full(len(rows), order), rows, columns], axis=1))
    places = np.concatenate(grid)
    samples = np.sort(chosen)[places[:, 0]]
    return Units(
        "areas",
        store.dataset.classes,
        (np.concatenate(features),),
        np.concatenate(labels),
        samples,
        _cell_places(store.dataset, samples, places, count),
        places,
        count,
    )


_KINDS: Mapping[TruthKind, Callable[[FrameStore, NDArray[np.intp], Embedder, int], Units]] = (
    MappingProxyType(
        {
            "label": _embed_images,
            "defect": _embed_images,
            "boxes": _embed_boxes,
            "mask": _embed_cells,
        }
    )
)


def cell_labels(pixels: NDArray[np.uint8], count: int, *, classes: int) -> NDArray[np.uint8]:
    """Return ``(count, count)``: the class that each cell shows, else :data:`IGNORED`."""
    side = pixels.shape[0] // count
    cells = pixels[: count * side, : count * side].reshape(count, side, count, side)
    shares = np.stack([(cells == label).mean(axis=(1, 3)) for label in range(classes)])
    shown = np.where(shares[0] >= _PURE, 0, IGNORED).astype(np.uint8)
    usual = shares.mean(axis=(1, 2))
    # The rarest comes last: where it is shown, it is what counts.
    for label in sorted(range(1, classes), key=lambda one: -usual[one]):
        shown[shares[label] >= np.clip(_TIMES * usual[label], *_SHOWN)] = label
    return shown


def _cell_places(
    dataset: Dataset, samples: NDArray[np.intp], grid: NDArray[np.intp], count: int
) -> NDArray[np.float32]:
    sizes = np.array([(one.height, one.width) for one in dataset.samples])[samples] / count
    top, left = grid[:, 1] * sizes[:, 0], grid[:, 2] * sizes[:, 1]
    corners = np.stack([left, top, left + sizes[:, 1], top + sizes[:, 0]], axis=1)
    return corners.astype(np.float32)


def _empty_places(
    corners: NDArray[np.float32], size: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return boxes ``(m, 4)`` of usual sizes that hardly touch an object."""
    height, width = size[0], size[1]
    found: list[NDArray[np.float32]] = []
    for _ in range(4 * _EMPTY_PER_IMAGE):
        if len(corners):
            like = corners[generator.integers(len(corners))]
            sides = np.array([like[2] - like[0], like[3] - like[1]])
        else:
            sides = np.array([width, height]) / 8
        start = generator.random(2) * np.maximum(np.array([width, height]) - sides, 0)
        place = np.array([*start, *(start + sides)], np.float32)
        if _covered(place, corners) <= _MOST_OVERLAP:
            found.append(place)
        if len(found) == _EMPTY_PER_IMAGE:
            break
    return np.stack(found) if found else np.empty((0, 4), np.float32)


def _covered(place: NDArray[np.float32], corners: NDArray[np.float32]) -> float:
    """Return the largest share of a box that any one object covers."""
    if not len(corners):
        return 0.0
    low, high = np.maximum(place[:2], corners[:, :2]), np.minimum(place[2:], corners[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    return float(shared.max() / max(np.prod(place[2:] - place[:2]), 1e-9))


def _patch(frame: NDArray[np.uint8], place: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a box of the frame and some of what is around it as a small square."""
    from PIL import Image

    height, width = frame.shape[:2]
    room = (place[2:] - place[:2]) * _CONTEXT
    left, top = np.maximum(np.floor(place[:2] - room), 0).astype(int)
    right, bottom = np.minimum(np.ceil(place[2:] + room), [width, height]).astype(int)
    cut = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
    square = Image.fromarray(cut).resize((_CROP_SIDE, _CROP_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(square)


def _stack(parts: Sequence[tuple[NDArray[np.float32], ...]]) -> tuple[NDArray[np.float32], ...]:
    return tuple(np.concatenate(one) for one in zip(*parts, strict=True))
