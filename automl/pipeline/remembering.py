"""What a run takes from earlier ones, and what it leaves for later ones.

Decides what is told of a run: numbers that describe its images as a whole, its name, and of each training
that ended its recipe and its score. ``search.reuse: false`` switches both off.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from automl.data.frames import FrameStore
from automl.errors import DataError
from automl.records import (
    DataDescription,
    Dataset,
    PastRun,
    PastTrial,
    Plan,
    PreparedData,
    RunRecord,
    Spec,
    Split,
    TrialResult,
    TrialStatus,
)
from automl.search.experience import Experience
from automl.storage import sha256_bytes

__all__ = ["describe_data", "past_run", "remember", "with_experience"]

_LOOKED_AT = 32
"""Training images by which the look of all is told: half a second, and as good as more (between halves of
one set the look differed by 0.001 to 0.026, between five sets of different kinds by 0.07 to 0.15)."""
_SIDE = 64
"""They are looked at as squares of this side, pixels."""


def with_experience(plan: Plan, spec: Spec, data: PreparedData) -> Plan:
    """Return a plan with what earlier runs suggest for it, and a note that says so."""
    if not spec.search.reuse:
        return plan
    known = {candidate.architecture.key for candidate in plan.feasible()}
    experience = _open()
    if not known or experience is None:
        return plan
    recollection = experience.recall(describe_data(spec, data.dataset), known=known)
    said = recollection.describe()
    notes = plan.notes if said is None else (*plan.notes, said)
    return replace(plan, recollection=recollection, notes=notes)


def remember(record: RunRecord) -> bool:
    """Keep what a finished run learnt; return whether there was something and it could be kept.

    However often a run is remembered, it counts once.
    """
    if not record.spec.search.reuse or record.selection is None:
        return False
    run = past_run(record)
    experience = _open()
    return bool(run.trials) and experience is not None and experience.remember(run)


def past_run(record: RunRecord) -> PastRun:
    """Return what is kept of a run."""
    dataset = record.data.dataset
    identity = "\n".join((record.name, record.started_at, dataset.fingerprint, record.spec.sha256))
    return PastRun(
        id=sha256_bytes(identity.encode()),
        name=record.name,
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        description=describe_data(record.spec, dataset),
        trials=tuple(_past_trial(trial) for trial in record.trials if _has_score(trial)),
    )


def describe_data(spec: Spec, dataset: Dataset) -> DataDescription:
    """Return what a set of images is like."""
    height, width = dataset.typical_frame
    return DataDescription(
        task=spec.task,
        objective=spec.objective,
        fingerprint=dataset.fingerprint,
        images=len(dataset.samples),
        classes=max(1, len(dataset.classes)),
        height=height,
        width=width,
        balance=_balance(dataset),
        look=_look(dataset),
    )


def _open() -> Experience | None:
    """Return the user's experience; ``None`` where there can be no folder for it."""
    try:
        return Experience.open()
    except OSError:
        return None


def _has_score(trial: TrialResult) -> bool:
    return (
        trial.rung == "train"
        and trial.status is TrialStatus.FINISHED
        and trial.objective is not None
        and 0 <= trial.objective <= 1
    )


def _past_trial(trial: TrialResult) -> PastTrial:
    recipe = trial.recipe
    return PastTrial(
        architecture=trial.architecture.key,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        freeze=recipe.freeze,
        label_smoothing=recipe.label_smoothing,
        augmentation=recipe.augmentation.name,
        crop=recipe.crop,
        score=trial.objective or 0.0,
    )


def _balance(dataset: Dataset) -> float:
    """Return the entropy of the classes among the training images, as a share of the largest possible."""
    counts = Counter(
        class_ for i in dataset.indices(Split.TRAIN) for class_ in dataset.samples[i].classes
    )
    total = sum(counts.values())
    if len(dataset.classes) < 2 or total == 0:
        return 1.0
    entropy = sum(count / total * math.log(total / count) for count in counts.values())
    return min(1.0, entropy / math.log(len(dataset.classes)))


def _look(dataset: Dataset) -> tuple[float, ...]:
    """Return the mean brightness of each colour and its spread within an image, over a few images."""
    indices = dataset.indices(Split.TRAIN)
    chosen = indices[:: max(1, len(indices) // _LOOKED_AT)][:_LOOKED_AT]
    if not chosen:
        return ()
    store = FrameStore(dataset)
    try:
        pixels = np.stack([store.image(i, (_SIDE, _SIDE)) for i in chosen]) / 255.0
    except DataError:
        return ()  # a file went missing meanwhile; the rest of the run will say so
    means, spreads = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(1, 2)).mean(axis=0)
    return tuple(round(float(value), 4) for value in (*means, *spreads))
