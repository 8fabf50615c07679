"""Find labels that are probably wrong: what a model that has not seen a label thinks of it.

Features of a frozen network, a linear model in grouped cross-validation, then the doubt of
:mod:`automl.quality.noise`; the labels doubted are left out and all is done once more, so that they no
longer vouch for each other. cleanlab orders what was found (Northcutt et al. 2021, "Confident
learning"); for masks it finds the cells that are pooled to areas.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from automl.quality import probe
from automl.quality.noise import Noise, estimate_noise
from automl.quality.regions import merge_cells
from automl.quality.units import Units
from automl.records import Dataset, LabelErrors, LabelSuspect, Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["find_label_errors"]

_DOUBTED = 0.5
_ROUNDS = 2
_LEAST_UNITS = 20
"""Fewer labels say nothing about each other."""

_NOT_DONE: Mapping[str, str] = MappingProxyType(
    {
        "images": "",
        "boxes": " Boxes that are badly placed, and objects without a box that no empty patch happened "
        "to hit, are not looked for.",
        "areas": " Outlines that are a few pixels off are not looked for.",
    }
)


def find_label_errors(
    units: Units, dataset: Dataset, *, embedder: str, seed: int
) -> LabelErrors | None:
    """Return the labels that are probably wrong, the most doubtful first.

    Learns from the training and validation images only; labels of test images are judged by that.
    ``None`` where labels cannot vouch for each other: one class, one group, or fewer than 20 units.

    Args:
        units: what has a label.
        dataset: where it comes from.
        embedder: name of what made the features, for the report.
        seed: of the folds.
    """
    started = time.monotonic()
    learnt = units.splits(dataset) != Split.TEST
    if len(units) < _LEAST_UNITS or not _can_vouch(units, dataset, learnt):
        return None
    sets = probe.compress(units.sets, seed=seed)
    fold = np.full(len(units), -1, np.intp)
    groups = units.groups(dataset)[learnt]
    fold[learnt] = probe.folds_by_group(units.labels[learnt], groups.tolist(), seed=seed)
    usable = np.ones(len(units), np.bool_)
    classes = len(units.classes)
    for _ in range(_ROUNDS):
        probabilities = probe.out_of_fold(sets, units.labels, fold, usable, classes=classes)
        noise = estimate_noise(probabilities, units.labels)
        usable = noise.doubts <= _DOUBTED
    find = _suspect_areas if units.grid is not None else _suspect_units
    return LabelErrors(
        unit=units.noun,
        checked=len(units),
        suspects=find(units, dataset, probabilities, noise),
        expected=round(noise.rate * len(units), 2),
        agreement=float((probabilities.argmax(axis=1) == units.labels).mean()),
        method=f"Linear models on {embedder}, in cross-validation by groups; a label is doubted when "
        f"it is more probably wrong than right.{_NOT_DONE[units.noun]}",
        seconds=time.monotonic() - started,
    )


def _can_vouch(units: Units, dataset: Dataset, learnt: NDArray[np.bool_]) -> bool:
    several_classes = len(np.unique(units.labels[learnt])) > 1
    return several_classes and len(set(units.groups(dataset)[learnt].tolist())) > 1


def _suspect_units(
    units: Units, dataset: Dataset, probabilities: NDArray[np.float64], noise: Noise
) -> tuple[LabelSuspect, ...]:
    doubted = np.flatnonzero(noise.doubts > _DOUBTED)
    if not len(doubted):
        return ()
    from cleanlab.rank import get_label_quality_scores  # takes seconds to import

    quality = get_label_quality_scores(units.labels, probabilities, method="self_confidence")
    order = doubted[np.argsort(quality[doubted], kind="stable")]
    others = probabilities.copy()
    others[np.arange(len(units)), units.labels] = -1.0
    return tuple(
        LabelSuspect(
            path=dataset.samples[int(units.samples[i])].path,
            given=units.classes[int(units.labels[i])],
            suggested=units.classes[int(others[i].argmax())],
            doubt=float(noise.doubts[i]),
            place=_place(units, i),
        )
        for i in order.tolist()
    )


def _suspect_areas(
    units: Units, dataset: Dataset, probabilities: NDArray[np.float64], noise: Noise
) -> tuple[LabelSuspect, ...]:
    """Pool neighbouring cells that cleanlab doubts in the same way into areas."""
    if units.grid is None or units.places is None or not (noise.doubts > _DOUBTED).any():
        return ()
    from cleanlab.segmentation.filter import find_label_issues  # takes seconds to import

    images = int(units.grid[:, 0].max()) + 1
    shape = (images, units.side, units.side)
    at = tuple(units.grid.T)
    labels = np.zeros(shape, np.int64)
    labels[at] = units.labels
    # A cell of no class agrees with the label it is given here.
    known = np.zeros((images, probabilities.shape[1], units.side, units.side))
    known[:, 0] = 1.0
    known[at[0], :, at[1], at[2]] = probabilities
    issues = find_label_issues(labels, known, n_jobs=1, verbose=False)
    doubts = np.zeros(shape)
    doubts[at] = noise.doubts
    issues &= doubts > _DOUBTED
    suggested = known.argmax(axis=1)
    areas = merge_cells(issues, labels, suggested, doubts)
    order = np.full(shape, -1, np.intp)
    order[at] = np.arange(len(units))
    suspects = []
    for area in areas:
        inside = order[area.image][area.cells]
        places = units.places[inside]
        low, high = places[:, :2].min(axis=0), places[:, 2:].max(axis=0)
        suspects.append(
            LabelSuspect(
                path=dataset.samples[int(units.samples[inside[0]])].path,
                given=units.classes[area.given],
                suggested=units.classes[area.suggested],
                doubt=area.doubt,
                place=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
            )
        )
    return tuple(suspects)


def _place(units: Units, position: int) -> tuple[float, float, float, float] | None:
    if units.places is None:
        return None
    left, top, right, bottom = (round(float(side), 1) for side in units.places[position])
    return left, top, right, bottom
