"""How well scores and heat maps tell defects from good parts, gathered in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl.predictor import Anomaly, Answer
from automl.records import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.data.truth import DefectTruth, Truth

__all__ = ["AnomalyScorer", "anomaly", "defect_truth", "rank_area"]

GOOD, DEFECT = 0, 1
_BINS = 4096
"""Of heat, evenly spaced in heat / (1 + heat): a thousandth of the threshold apart around it."""
_MOST_FALSE = 0.3
"""Share of good pixels up to which AUPRO is averaged (Bergmann et al. 2021, section 6.2)."""
_COLUMNS = 20
"""Of the histograms of scores that are shown."""
_AROUND = np.ones((3, 3), np.int64)
"""Pixels that touch at a corner belong to one defect."""


def anomaly(answer: Answer) -> Anomaly:
    """Return an answer that must be an anomaly's."""
    if not isinstance(answer, Anomaly):
        raise TypeError(f"An answer of this task is an Anomaly; got {type(answer).__name__}.")
    return answer


def defect_truth(truth: Truth) -> DefectTruth:
    """Return a truth that must be a defect's."""
    from automl.data.truth import DefectTruth

    if not isinstance(truth, DefectTruth):
        raise TypeError(f"A truth of this task is a DefectTruth; got {type(truth).__name__}.")
    return truth


def rank_area(good: NDArray[np.float64], defect: NDArray[np.float64]) -> float:
    """Return the probability that a defect's score is above a good one's; ties count one half.

    The area under the ROC curve (Hanley & McNeil 1982). Both arrays are counts by ascending score.
    """
    below = np.cumsum(good) - good
    pairs = float(good.sum() * defect.sum())
    return float(((below + 0.5 * good) * defect).sum() / pairs)


class AnomalyScorer:
    """Gathers answers; keeps two numbers an image and three histograms of pixels."""

    def __init__(self) -> None:
        self._scores: list[float] = []
        self._labels: list[int] = []
        self._confusion = np.zeros((2, 2), np.int64)
        self._good = np.zeros(_BINS)
        self._defect = np.zeros(_BINS)
        self._regions = np.zeros(_BINS)
        self._region_count = 0
        self._has_synthetic = False

    def add(self, answer: Answer, truth: Truth) -> None:
        """Take in the answer for one image; heat map and mask have the same size."""
        given, known = anomaly(answer), defect_truth(truth)
        self._scores.append(given.score)
        self._labels.append(known.label)
        self._has_synthetic |= known.is_synthetic
        self._confusion[known.label, int(given.is_defect)] += 1
        if known.label == DEFECT and known.mask is None:
            return  # which pixels are the defect's is not known
        bins = _bins(given.heat_map)
        if known.mask is None or not known.mask.any():
            self._good += np.bincount(bins.ravel(), minlength=_BINS)
            return
        self._good += np.bincount(bins[~known.mask], minlength=_BINS)
        self._defect += np.bincount(bins[known.mask], minlength=_BINS)
        self._add_regions(bins, known.mask)

    def scores(self) -> Scores:
        """Return every metric that can be computed: those of pixels only where masks are known."""
        values: dict[str, float] = {}
        scores, labels = np.array(self._scores), np.array(self._labels)
        counts = np.bincount(labels, minlength=2) if len(labels) else np.zeros(2, np.int64)
        if counts[GOOD]:
            values["false-alarm-rate"] = float(self._confusion[GOOD, DEFECT] / counts[GOOD])
        if counts[DEFECT]:
            values["detection-rate"] = float(self._confusion[DEFECT, DEFECT] / counts[DEFECT])
        if counts.all():
            values["image-auroc"] = _image_auroc(scores, labels)
            values["balanced-accuracy"] = 0.5 * (
                1.0 - values["false-alarm-rate"] + values["detection-rate"]
            )
        if self._good.any() and self._defect.any():
            values["pixel-auroc"] = rank_area(self._good, self._defect)
            values["aupro"] = self._aupro()
        return Scores(
            values=values,
            confusion=tuple(tuple(int(n) for n in row) for row in self._confusion),
            samples=len(labels),
            curves=_histograms(scores, labels),
            synthetic=tuple(name for name in values if name != "false-alarm-rate")
            if self._has_synthetic
            else (),
        )

    def _add_regions(self, bins: NDArray[np.int64], mask: NDArray[np.bool_]) -> None:
        """Take in each connected defect with the same weight, however large it is."""
        from scipy.ndimage import label

        numbers, count = label(mask, structure=_AROUND)
        areas = np.bincount(numbers.ravel())
        weights = 1.0 / areas[numbers[mask]]
        self._regions += np.bincount(bins[mask], weights=weights, minlength=_BINS)
        self._region_count += count

    def _aupro(self) -> float:
        """Return the mean share of each region that is found, over false shares up to 0.3."""
        false = np.cumsum(self._good[::-1]) / self._good.sum()
        found = np.cumsum(self._regions[::-1]) / self._region_count
        false, found = np.append(0.0, false), np.append(0.0, found)
        inside = false < _MOST_FALSE
        x = np.append(false[inside], _MOST_FALSE)
        y = np.append(found[inside], np.interp(_MOST_FALSE, false, found))
        return float(np.trapezoid(y, x) / _MOST_FALSE)


def _bins(heat: NDArray[np.float32]) -> NDArray[np.int64]:
    share = heat / (1.0 + heat)
    bins: NDArray[np.int64] = np.clip(share * _BINS, 0, _BINS - 1).astype(np.int64)
    return bins


def _image_auroc(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    places = np.unique(scores, return_inverse=True)[1]
    size = int(places.max()) + 1
    good = np.bincount(places[labels == GOOD], minlength=size).astype(np.float64)
    defect = np.bincount(places[labels == DEFECT], minlength=size).astype(np.float64)
    return rank_area(good, defect)


def _histograms(
    scores: NDArray[np.float64], labels: NDArray[np.int64]
) -> dict[str, tuple[tuple[float, float], ...]]:
    """Return for each kind of image the share of them by score: (middle of the column, share)."""
    if not len(scores):
        return {}
    edges = np.linspace(0.0, max(float(scores.max()), 1.0) * 1.001, _COLUMNS + 1)
    middles = 0.5 * (edges[:-1] + edges[1:])
    curves = {}
    for label, name in ((GOOD, "good"), (DEFECT, "defect")):
        own = scores[labels == label]
        if len(own):
            shares = np.histogram(own, edges)[0] / len(own)
            curves[f"scores[{name}]"] = tuple(zip(middles.tolist(), shares.tolist(), strict=True))
    return curves
