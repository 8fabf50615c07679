"""What class each value of a mask is, how much of each class an image shows, which are not shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from automl.data.annotation_columns import MaskCoding
from automl.data.mask_files import class_table
from automl.data.truth import IGNORED
from automl.data.truth_files import AMOUNT

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ClassTables", "class_tables", "classified", "without_unused"]


@dataclass(frozen=True)
class ClassTables:
    """The classes left, and what turns boxes' labels (first) and masks' values into them."""

    classes: tuple[str, ...]
    tables: tuple[tuple[int, ...], ...]


def class_tables(
    classes: tuple[str, ...],
    codings: Sequence[MaskCoding],
    white: Mapping[int, Literal["white", "black"]],
) -> ClassTables:
    """Return the tables for a listing's classes.

    Args:
        classes: Of the listing.
        codings: Of its mask files.
        white: The colour of the objects, for each black-and-white coding that is in use.
    """
    own = tuple(range(len(classes)))
    first = (*own, *[IGNORED] * (256 - len(own)))
    others = [
        class_table(coding, classes, polarity=white.get(place, "white"))
        for place, coding in enumerate(codings)
    ]
    return ClassTables(classes, (first, *others))


def classified(
    counted: NDArray[np.void], table_of_row: NDArray[np.int16], known: ClassTables
) -> NDArray[np.void]:
    """Return amounts of classes from amounts of values, without those of no class.

    Args:
        counted: Rows of :data:`AMOUNT` whose ``label`` is a value of the mask.
        table_of_row: ``(N,)``: the table of each image's mask; less than 0 for the first.
        known: The tables.

    Returns:
        Rows of :data:`AMOUNT`, by image and class.
    """
    table = np.maximum(table_of_row[counted["row"]], 0)
    label = np.full(len(counted), IGNORED, np.int64)
    for place, values in enumerate(known.tables):
        of_table = table == place
        label[of_table] = np.array(values, np.int64)[counted["label"][of_table]]
    # The first table has a place for every class; only masks use 255 for "not known".
    is_known = (label != IGNORED) | ((table == 0) & (len(known.classes) > IGNORED))
    pairs = counted["row"].astype(np.int64) << 16 | label
    unique, inverse = np.unique(pairs[is_known], return_inverse=True)
    result = np.zeros(len(unique), AMOUNT)
    result["row"], result["label"] = unique >> 16, unique & 0xFFFF
    np.add.at(result["amount"], inverse, counted["amount"][is_known])
    return result


def without_unused(
    known: ClassTables, amounts: NDArray[np.void], seen: Collection[int]
) -> tuple[ClassTables, NDArray[np.void], tuple[str, ...]]:
    """Return tables and amounts without the classes not seen, and the names of those."""
    kept = [label for label in range(len(known.classes)) if label in seen]
    unused = tuple(name for label, name in enumerate(known.classes) if label not in seen)
    if not unused:
        return known, amounts, ()
    places = {label: place for place, label in enumerate(kept)}
    tables = [tuple(places.get(label, -1) for label in table) for table in known.tables]
    moved = amounts.copy()
    renumbered = np.array([places.get(label, 0) for label in range(len(known.classes))], np.uint16)
    moved["label"] = renumbered[amounts["label"]]
    return ClassTables(tuple(known.classes[label] for label in kept), tuple(tables)), moved, unused
