"""Rows of the store of earlier runs, and what may come out of them.

Decides which values are believed. SQLite keeps text in a column of numbers if it is told to, so each
value is checked for its kind and its range, and a row with one that is wrong is as if it were not there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast, get_args

from automl.records import DataDescription, PastRun, PastTrial
from automl.records.candidates import Freeze

__all__ = [
    "MOST_TRIALS",
    "RUN_COLUMNS",
    "TRIAL_COLUMNS",
    "read_run",
    "read_trials",
    "run_row",
    "trial_rows",
]

MOST_TRIALS = 50
"""Trials of a run that are kept and read, the best."""
RUN_COLUMNS: Mapping[str, str] = {
    "id": "TEXT NOT NULL UNIQUE",
    "name": "TEXT NOT NULL",
    "ended_at": "TEXT NOT NULL",
    "task": "TEXT NOT NULL",
    "objective": "TEXT NOT NULL",
    "fingerprint": "TEXT NOT NULL",
    "images": "INTEGER NOT NULL",
    "classes": "INTEGER NOT NULL",
    "height": "INTEGER NOT NULL",
    "width": "INTEGER NOT NULL",
    "balance": "REAL NOT NULL",
    "look": "TEXT NOT NULL",
}
TRIAL_COLUMNS: Mapping[str, str] = {
    "run": "TEXT NOT NULL",
    "architecture": "TEXT NOT NULL",
    "learning_rate": "REAL NOT NULL",
    "weight_decay": "REAL NOT NULL",
    "epochs": "INTEGER NOT NULL",
    "batch_size": "INTEGER NOT NULL",
    "freeze": "TEXT NOT NULL",
    "label_smoothing": "REAL NOT NULL",
    "augmentation": "TEXT NOT NULL",
    "crop": "INTEGER",
    "score": "REAL NOT NULL",
}
Row = Mapping[str, object]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z][a-z0-9-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Of runs, presets and architectures: what the spec and search spaces allow, with a number behind."""
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_TIME = re.compile(r"[0-9T:.+-]{10,40}")
_MOST = 10**9
_LOOK = 6


def run_row(run: PastRun) -> tuple[str | int | float, ...]:
    """Return a run as a row, in the order of the columns."""
    data = run.description
    return (
        *(run.id, run.name, run.ended_at, data.task, data.objective, data.fingerprint),
        *(data.images, data.classes, data.height, data.width, data.balance),
        json.dumps([round(value, 4) for value in data.look]),
    )


def trial_rows(run: PastRun) -> Iterator[tuple[str | int | float | None, ...]]:
    """Yield the best trials of a run as rows, in the order of the columns."""
    best = sorted(run.trials, key=lambda trial: (-trial.score, trial.architecture))
    for trial in best[:MOST_TRIALS]:
        yield (
            *(run.id, trial.architecture, trial.learning_rate, trial.weight_decay, trial.epochs),
            *(trial.batch_size, trial.freeze, trial.label_smoothing, trial.augmentation),
            *(trial.crop, trial.score),
        )


def read_run(row: Row) -> PastRun | None:
    """Return the run of a row, without its trials; ``None`` when a value cannot be believed."""
    look = _look(row["look"])
    is_sound = (
        all(_is_text(row[name], _SHA256) for name in ("id", "fingerprint"))
        and all(_is_text(row[name], _WORD) for name in ("task", "objective"))
        and _is_text(row["name"], _NAME)
        and _is_text(row["ended_at"], _TIME)
        and all(_is_count(row[name]) for name in ("images", "classes", "height", "width"))
        and _is_between(row["balance"], 0.0, 1.0)
    )
    if not is_sound or look is None:
        return None
    return PastRun(
        id=str(row["id"]),
        name=str(row["name"]),
        ended_at=str(row["ended_at"]),
        description=DataDescription(
            task=str(row["task"]),
            objective=str(row["objective"]),
            fingerprint=str(row["fingerprint"]),
            images=cast(int, row["images"]),
            classes=cast(int, row["classes"]),
            height=cast(int, row["height"]),
            width=cast(int, row["width"]),
            balance=cast(float, row["balance"]),
            look=look,
        ),
        trials=(),
    )


def read_trials(rows: Iterable[Row]) -> tuple[PastTrial, ...]:
    """Return the trials of those rows whose every value can be believed."""
    return tuple(trial for row in rows if (trial := _read_trial(row)) is not None)


def _read_trial(row: Row) -> PastTrial | None:
    is_sound = (
        _is_text(row["architecture"], _KEY)
        and _is_text(row["augmentation"], _NAME)
        and row["freeze"] in get_args(Freeze)
        and all(_is_between(row[name], 0.0, 100.0) for name in ("learning_rate", "weight_decay"))
        and all(_is_count(row[name]) for name in ("epochs", "batch_size"))
        and (row["crop"] is None or _is_count(row["crop"]))
        and all(_is_between(row[name], 0.0, 1.0) for name in ("label_smoothing", "score"))
    )
    if not is_sound:
        return None
    return PastTrial(
        architecture=str(row["architecture"]),
        learning_rate=cast(float, row["learning_rate"]),
        weight_decay=cast(float, row["weight_decay"]),
        epochs=cast(int, row["epochs"]),
        batch_size=cast(int, row["batch_size"]),
        freeze=cast(Freeze, row["freeze"]),
        label_smoothing=cast(float, row["label_smoothing"]),
        augmentation=str(row["augmentation"]),
        crop=cast("int | None", row["crop"]),
        score=cast(float, row["score"]),
    )


def _look(value: object) -> tuple[float, ...] | None:
    """Return the numbers of a look, or none where it was not taken; ``None`` when it is unsound."""
    if not isinstance(value, str) or len(value) > 200:
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or len(found) not in (0, _LOOK):
        return None
    return tuple(found) if all(_is_between(one, 0.0, 1.0) for one in found) else None


def _is_text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 1 <= value <= _MOST


def _is_between(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high
