"""Read what is known of images, from what was compiled of their annotations.

Opened in every process that trains, exports or measures; nothing but an index is read until a truth
is asked for.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.data.truth import BoxTruth, DefectTruth, LabelTruth, MaskTruth, Truth
from automl.data.truth_compile import CompiledTruth, compile_truth
from automl.data.truth_files import open_truth, path_digest
from automl.errors import AutomlError, DataError
from automl.records import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CompiledTruth", "TruthStore", "compile_truth"]

_HELD_BYTES = 256 * 2**20
"""Unpacked masks are kept up to so much: all those of a small set, so that an epoch unpacks none."""


class TruthStore:
    """What is known of the images of a :class:`Dataset`, by position of the sample.

    Truths are in pixels of the image as :func:`automl.predictor.decode_image` gives it. Safe to open
    in several processes at once.
    """

    def __init__(self, dataset: Dataset) -> None:
        """Open the compiled truths of a data set; labels need none.

        Raises:
            DataError: when they have gone or are damaged.
        """
        self._dataset = dataset
        self._held: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._held_bytes = 0
        if dataset.truth is None:
            return
        self._folder = Path(dataset.truth.folder)
        try:
            self._files = open_truth(self._folder)
        except (OSError, ValueError, AutomlError) as error:
            raise DataError(self._gone(error)) from error
        tables = np.array(self._files.index.tables or np.zeros((0, 256)), np.int64)
        self._tables = tables.astype(np.uint8)
        self._labels = tables[0]

    def __len__(self) -> int:
        return len(self._dataset.samples)

    def truth(self, position: int) -> Truth:
        """Return what is known of one image, in its own pixels.

        Raises:
            DataError: when the compiled truths have been damaged.
        """
        sample = self._dataset.samples[position]
        kind = self._dataset.truth_kind
        if kind == "label" or self._dataset.truth is None:
            return LabelTruth(sample.label)
        row = int(self._rows[position])
        if kind == "boxes":
            return self._boxes(row)
        if kind == "mask":
            return MaskTruth(self._mask(row).copy())
        return self._defect(row, (sample.height, sample.width))

    @cached_property
    def _rows(self) -> NDArray[np.intp]:
        """The row of each sample."""
        paths = self._files.entries["path"]
        order = np.argsort(paths, kind="stable")
        wanted = np.array([path_digest(sample.path) for sample in self._dataset.samples], "S16")
        place = np.minimum(np.searchsorted(paths, wanted, sorter=order), len(order) - 1)
        if (paths[order[place]] != wanted).any():
            raise DataError(self._gone("it belongs to other images"))
        return order[place]

    def _boxes(self, row: int) -> BoxTruth:
        entry = self._files.entries[row]
        start = int(entry["start"])
        end = start + int(entry["length"])
        labels = self._labels[self._files.labels[start:end]]
        is_known = labels >= 0  # of a class that has ignored boxes alone, none is left
        return BoxTruth(
            np.asarray(self._files.corners[start:end][is_known], np.float32),
            labels[is_known],
            np.asarray(self._files.ignored[start:end][is_known], bool),
        )

    def _defect(self, row: int, size: tuple[int, int]) -> DefectTruth:
        entry = self._files.entries[row]
        if entry["length"]:
            return DefectTruth(int(entry["label"]), self._mask(row) == 1)
        if entry["label"] or not len(self._files.masks):
            return DefectTruth(int(entry["label"]), None)
        return DefectTruth(0, np.zeros(size, bool))  # good everywhere, where masks are known at all

    def _mask(self, row: int) -> NDArray[np.uint8]:
        """Return the classes of an image's pixels; those used last are kept unpacked."""
        held = self._held.get(row)
        if held is None:
            held = self._unpacked(row)
            self._held[row] = held
            self._held_bytes += held.nbytes
            while self._held_bytes > _HELD_BYTES and len(self._held) > 1:
                self._held_bytes -= self._held.popitem(last=False)[1].nbytes
        else:
            self._held.move_to_end(row)
        return held

    def _unpacked(self, row: int) -> NDArray[np.uint8]:
        entry = self._files.entries[row]
        start = int(entry["start"])
        packed = self._files.masks[start : start + int(entry["length"])].tobytes()
        if zlib.crc32(packed) != int(entry["crc32"]):
            raise DataError(self._gone("its checksum differs"))
        values = np.frombuffer(zlib.decompress(packed), np.uint8)
        pixels: NDArray[np.uint8] = self._tables[entry["table"]][values]
        return pixels.reshape(int(entry["height"]), int(entry["width"]))

    def _gone(self, why: object) -> str:
        return (
            f"What was annotated in '{self._dataset.root}' is not in the cache any more "
            f"('{self._folder}': {why}). Run or resume again: it is compiled anew."
        )
