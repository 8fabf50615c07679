"""Find images that are the same, or nearly: the same content, or a copy saved again or resized.

Near duplicates are judged on 32 x 32 gray thumbnails in two steps. A difference hash (N. Krawetz,
"Kind of Like That", 2013: is a pixel brighter than its neighbour?) of 480 bits, in both directions,
proposes pairs; the thumbnails, freed of brightness and contrast, decide. Both must agree closely,
because images of the same kind of thing look alike without being copies: plain paper, a part that
always lies in the same place.

Pairs are proposed through 24 bands of 20 bits: hashes that differ in fewer than 24 bits share at
least one band, so no pair within the limit is lost and the work grows with N, not N squared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["exact_clusters", "near_pairs"]

_BANDS = 24
_BAND_BITS = 20
_MOST_BITS = _BANDS - 1
"""Hamming distance up to which two hashes are near; below the bands, so none is missed."""

_MOST_MEAN = 0.10
_MOST_PEAK = 0.75
"""Mean and largest difference of thumbnails in units of their contrast (standard deviation)."""

_LEAST_CONTRAST = 2.0
"""Gray levels: below it a thumbnail is a plain surface, and what differs is noise."""

_REACH = 16
"""An image is compared with at most so many others that share a band, the nearest in the order of
the hashes: bounds the work when thousands look alike."""

_CHUNK = 1 << 12


def exact_clusters(hashes: Sequence[str]) -> list[list[int]]:
    """Return the positions that share a content, two or more each, in order."""
    positions: dict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(hashes):
        positions[digest].append(position)
    return [cluster for cluster in positions.values() if len(cluster) > 1]


def near_pairs(thumbnails: NDArray[np.uint8], rows: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return pairs of positions in ``rows`` (lower first, sorted) whose images look the same.

    Args:
        thumbnails: ``(N, 32, 32)`` uint8.
        rows: ``(M,)`` which thumbnails to compare, one for each different content.
    """
    mean, contrast = _levels(thumbnails, rows)
    clear = np.flatnonzero(contrast >= _LEAST_CONTRAST)
    if len(clear) < 2:
        return []
    packed = _hashes(thumbnails, rows[clear])
    codes = np.empty(0, np.int64)
    for band in range(_BANDS):
        found = [codes]
        for proposed in _pairs_in_band(_band_keys(packed, band), packed):
            near = proposed[_distance(packed, proposed) <= _MOST_BITS]
            found.append(near[:, 0] * len(clear) + near[:, 1])
        codes = np.unique(np.concatenate(found))
    pairs = clear[np.stack(np.divmod(codes, len(clear)), axis=1)]
    alike = np.concatenate(
        [np.empty(0, np.bool_)]
        + [
            _look_alike(thumbnails[rows[part]], mean[part], contrast[part])
            for part in (pairs[i : i + _CHUNK] for i in range(0, len(pairs), _CHUNK))
        ]
    )
    return [(int(first), int(second)) for first, second in pairs[alike]]


def _levels(
    thumbnails: NDArray[np.uint8], rows: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ``(M,)`` mean and ``(M,)`` standard deviation of each thumbnail."""
    mean, contrast = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _CHUNK):
        part = thumbnails[rows[start : start + _CHUNK]].astype(np.float32)
        mean[start : start + len(part)] = part.mean(axis=(1, 2))
        contrast[start : start + len(part)] = part.std(axis=(1, 2))
    return mean, contrast


def _hashes(thumbnails: NDArray[np.uint8], rows: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return ``(M, 60)``: 480 bits, the horizontal and vertical differences of 2 x 2 means.

    The bits are dealt to the bands in turn, so that each band sees the whole image.
    """
    bits = _BANDS * _BAND_BITS
    dealt = np.arange(bits).reshape(_BAND_BITS, _BANDS).T.ravel()
    packed = np.empty((len(rows), bits // 8), np.uint8)
    for start in range(0, len(rows), _CHUNK):
        part = thumbnails[rows[start : start + _CHUNK]].astype(np.uint16)
        cells = part[:, ::2, ::2] + part[:, 1::2, ::2] + part[:, ::2, 1::2] + part[:, 1::2, 1::2]
        across = cells[:, :, 1:] > cells[:, :, :-1]
        down = cells[:, 1:, :] > cells[:, :-1, :]
        flat = np.concatenate([one.reshape(len(part), -1) for one in (across, down)], axis=1)
        packed[start : start + len(part)] = np.packbits(flat[:, dealt], axis=1)
    return packed


def _band_keys(packed: NDArray[np.uint8], band: int) -> NDArray[np.int64]:
    """Return one number of 20 bits for each image."""
    byte, shift = divmod(band * _BAND_BITS, 8)
    bits = np.unpackbits(packed[:, byte : byte + 3], axis=1)[:, shift : shift + _BAND_BITS]
    keys: NDArray[np.int64] = bits @ (1 << np.arange(_BAND_BITS, dtype=np.int64))
    return keys


def _pairs_in_band(
    keys: NDArray[np.int64], packed: NDArray[np.uint8]
) -> Iterator[NDArray[np.intp]]:
    """Yield ``(M, 2)`` pairs with equal keys; in a crowd, those that are near in the hashes'
    order."""
    prefix = np.ascontiguousarray(packed[:, :8]).view(">u8")[:, 0]
    order = np.lexsort((prefix, keys))
    ordered = keys[order]
    for step in range(1, min(_REACH, len(keys) - 1) + 1):
        equal = np.flatnonzero(ordered[:-step] == ordered[step:])
        if not len(equal):
            return
        yield np.sort(np.stack([order[equal], order[equal + step]], axis=1), axis=1)


def _distance(packed: NDArray[np.uint8], pairs: NDArray[np.intp]) -> NDArray[np.int64]:
    different = packed[pairs[:, 0]] ^ packed[pairs[:, 1]]
    bits: NDArray[np.int64] = np.bitwise_count(different).sum(axis=1, dtype=np.int64)
    return bits


def _look_alike(
    thumbnails: NDArray[np.uint8], mean: NDArray[np.float32], contrast: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Compare pairs: ``(P, 2, 32, 32)`` thumbnails with ``(P, 2)`` mean and contrast."""
    values = thumbnails.astype(np.float32)
    values -= mean[:, :, None, None]
    values /= contrast[:, :, None, None]
    apart = np.abs(values[:, 0] - values[:, 1])
    is_alike: NDArray[np.bool_] = (apart.mean(axis=(1, 2)) <= _MOST_MEAN) & (
        apart.max(axis=(1, 2)) <= _MOST_PEAK
    )
    return is_alike
