"""All that the data itself says, within a time: labels, leaks, more images, plain rules."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from automl.quality.anomalous import find_odd_good_images
from automl.quality.embedding import Embedder, open_embedder
from automl.quality.label_errors import find_label_errors
from automl.quality.leakage import find_leakage
from automl.quality.learning_curve import draw_learning_curve
from automl.quality.rules import score_rules
from automl.quality.units import Units, embed_units, sample_images
from automl.records import (
    DataQuality,
    Dataset,
    LabelErrors,
    LearningCurve,
    PreparedData,
    Split,
    TaskOptions,
)
from automl.units import plural

if TYPE_CHECKING:
    from automl.data.frames import FrameStore
    from automl.tasks import Task

__all__ = ["assess", "assess_rules", "check_labels"]

_RULES_SHARE = 0.4
_EMBEDDING_SHARE = 0.5
"""Of what the rules leave; linear models take the rest."""
_CURVE_SHARE = 0.2
_TRIED = 32
"""Images by which the time of the others is estimated."""
_LEAST_IMAGES = 300
_MOST_IMAGES = 4_000


def assess(
    data: PreparedData,
    store: FrameStore,
    task: Task,
    *,
    weights: str,
    seconds: float,
    seed: int,
    options: TaskOptions | None = None,
) -> DataQuality:
    """Return what the data allows. Nothing is fitted to test images; they are judged only.

    Args:
        data: samples and audit.
        store: their pixels and truths.
        task: the user's, for its scores.
        weights: as the spec gives them.
        seconds: to be taken about; with little time fewer images are looked at, which is noted.
        seed: of everything random.
        options: of the spec, for rules that depend on them.
    """
    started = time.monotonic()
    rules, untried = score_rules(
        store, task, options=options or TaskOptions(), seconds=_RULES_SHARE * seconds, seed=seed
    )
    embedder, notes = open_embedder(weights)
    left = seconds - (time.monotonic() - started)
    units, sampled = _embed(store, embedder, seconds=_EMBEDDING_SHARE * left, seed=seed)
    labels, curve, missing = _judge(
        units, data.dataset, embedder, seconds=_CURVE_SHARE * left, seed=seed
    )
    return DataQuality(
        label_errors=labels,
        leakage=find_leakage(data),
        learning_curve=curve,
        rules=rules,
        notes=(*notes, *sampled, *missing, *untried),
        seconds=time.monotonic() - started,
    )


def assess_rules(
    data: PreparedData,
    store: FrameStore,
    task: Task,
    *,
    seconds: float,
    seed: int,
    options: TaskOptions | None = None,
) -> DataQuality:
    """Return leaks and plain rules alone, which need no network: the quick part of :func:`assess`."""
    started = time.monotonic()
    rules, untried = score_rules(
        store, task, options=options or TaskOptions(), seconds=seconds, seed=seed
    )
    leakage = find_leakage(data)
    return DataQuality(None, leakage, None, rules, untried, time.monotonic() - started)


def check_labels(
    store: FrameStore, *, weights: str, seconds: float | None, seed: int
) -> tuple[LabelErrors | None, tuple[str, ...]]:
    """Return the labels that are probably wrong, and notes.

    Args:
        store: the images.
        weights: as the spec gives them.
        seconds: for looking at images, about; ``None``: all are looked at.
        seed: of folds and samples.
    """
    embedder, notes = open_embedder(weights)
    units, sampled = _embed(store, embedder, seconds=seconds, seed=seed)
    found = _find_errors(units, store.dataset, embedder, seed)
    missing = () if found else (_cannot("looked for wrong labels", units, store.dataset),)
    return found, (*notes, *sampled, *missing)


def _embed(
    store: FrameStore, embedder: Embedder, *, seconds: float | None, seed: int
) -> tuple[Units, tuple[str, ...]]:
    """Embed as many images as there is time for."""
    dataset = store.dataset
    count = len(dataset.samples)
    most = count
    if seconds is not None and count > _TRIED:
        first = sample_images(dataset, _TRIED, seed=seed)
        embed_units(store, first[:2], embedder, seed=seed)  # the first pass is slower than the rest
        began = time.monotonic()
        embed_units(store, first, embedder, seed=seed)
        each = (time.monotonic() - began) / len(first)
        most = int(np.clip(seconds / max(each, 1e-6), _LEAST_IMAGES, _MOST_IMAGES))
    indices = sample_images(dataset, most, seed=seed)
    note = (
        f"Labels and learning curve were judged on {len(indices):,} of {count:,} images, drawn at "
        "random, for want of time."
    )
    return embed_units(store, indices, embedder, seed=seed), (note,) if len(indices) < count else ()


def _judge(
    units: Units, dataset: Dataset, embedder: Embedder, *, seconds: float, seed: int
) -> tuple[LabelErrors | None, LearningCurve | None, tuple[str, ...]]:
    found = _find_errors(units, dataset, embedder, seed)
    with _one_thread():
        curve = draw_learning_curve(
            units, dataset, embedder=embedder.name, seconds=seconds, seed=seed
        )
    missing = []
    if found is None:
        missing.append(_cannot("looked for wrong labels", units, dataset))
    if curve is None:
        missing.append(_cannot("estimated what more images would bring", units, dataset))
    return found, curve, tuple(missing)


def _find_errors(
    units: Units, dataset: Dataset, embedder: Embedder, seed: int
) -> LabelErrors | None:
    find = find_odd_good_images if dataset.truth_kind == "defect" else find_label_errors
    with _one_thread():
        return find(units, dataset, embedder=embedder.name, seed=seed)


def _one_thread() -> AbstractContextManager[object]:
    """Keep linear algebra on one core: these matrices are small, and waiting for each other on a busy
    machine made it ten times slower."""
    from threadpoolctl import threadpool_limits

    limited: AbstractContextManager[object] = threadpool_limits(1)
    return limited


def _cannot(what: str, units: Units, dataset: Dataset) -> str:
    labels = units.labels[units.splits(dataset) != Split.TEST]
    kinds = plural(len(np.unique(labels)), "label")
    return (
        f"It was not {what}: {len(labels):,} {units.noun} with {kinds} outside the test split are "
        "too few."
    )
