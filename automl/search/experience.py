"""What earlier runs on this machine learnt, kept in one small SQLite file of the user's cache.

Decides what is kept and what may come out again. Kept are numbers that describe a set of images as a
whole, names of runs, recipes and scores: no image, class, file or path of the user. The file may hold
anything by the time it is read (:mod:`automl.search.own_file`), so every value is checked
(:mod:`automl.search.experience_rows`), all is bounded, and what comes out orders what is tried and
decides nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path

from automl.records import DataDescription, PastRun, Recollection
from automl.search.experience_rows import (
    MOST_TRIALS,
    RUN_COLUMNS,
    TRIAL_COLUMNS,
    read_run,
    read_trials,
    run_row,
    trial_rows,
)
from automl.search.own_file import OwnFile
from automl.search.recollection import LEAST_SIMILARITY, MOST_RUNS, recollect, similarity
from automl.storage import cache_folder

__all__ = ["Experience"]

_VERSION = 1
"""Raised when the tables or the meaning of a column change."""
_MOST_KEPT = 500
"""Runs that are kept, the latest."""
_TABLES = (
    f"CREATE TABLE runs ({', '.join(' '.join(pair) for pair in RUN_COLUMNS.items())})",
    f"CREATE TABLE trials ({', '.join(' '.join(pair) for pair in TRIAL_COLUMNS.items())})",
)


class Experience:
    """Earlier runs of this user on this machine. Trouble with the file is logged and never raised."""

    def __init__(self, folder: Path) -> None:
        """Use a folder that exists; :meth:`open` takes the user's."""
        self._file = OwnFile(
            folder / "experience.sqlite",
            tables=_TABLES,
            version=_VERSION,
            holds="What earlier runs taught is",
        )

    @classmethod
    def open(cls) -> Experience:
        """Use ``experience`` in the user's cache. Nothing is read yet.

        Raises:
            OSError: when there can be no such folder.
        """
        return cls(cache_folder("experience"))

    def remember(self, run: PastRun) -> bool:
        """Keep a finished run, in place of what was kept of it before; return whether it worked."""
        return self._file.use(lambda connection: _write(connection, run), otherwise=False)

    def recall(self, today: DataDescription, *, known: Collection[str]) -> Recollection:
        """Return what earlier runs on data like today's suggest; nothing when they cannot be read.

        Args:
            today: what today's data is like.
            known: keys of the architectures that may be trained now; others are left out.
        """
        nothing: list[PastRun] = []
        runs = self._file.use(lambda connection: _read(connection, today, known), otherwise=nothing)
        return recollect(today, runs, known=known)


def _write(connection: sqlite3.Connection, run: PastRun) -> bool:
    values, trial_values = ", ".join("?" * len(RUN_COLUMNS)), ", ".join("?" * len(TRIAL_COLUMNS))
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM trials WHERE run = ?", (run.id,))
    connection.execute("DELETE FROM runs WHERE id = ?", (run.id,))
    connection.execute(f"INSERT INTO runs VALUES ({values})", run_row(run))
    connection.executemany(f"INSERT INTO trials VALUES ({trial_values})", trial_rows(run))
    connection.execute(
        "DELETE FROM runs WHERE rowid NOT IN (SELECT rowid FROM runs ORDER BY rowid DESC LIMIT ?)",
        (_MOST_KEPT,),
    )
    connection.execute("DELETE FROM trials WHERE run NOT IN (SELECT id FROM runs)")
    connection.execute("COMMIT")
    return True


def _read(
    connection: sqlite3.Connection, today: DataDescription, known: Collection[str]
) -> list[PastRun]:
    """Return the nearest runs that trained something known."""
    rows = connection.execute(
        f"SELECT {', '.join(RUN_COLUMNS)} FROM runs WHERE task = ? ORDER BY rowid DESC LIMIT ?",
        (today.task, _MOST_KEPT),
    )
    runs = (read_run(dict(zip(RUN_COLUMNS, row, strict=True))) for row in rows)
    near = [
        (alike, run)
        for run in runs
        if run is not None and (alike := similarity(today, run.description)) >= LEAST_SIMILARITY
    ]
    found: list[PastRun] = []
    for _, run in sorted(near, key=lambda pair: (-pair[0], pair[1].id)):
        trials = connection.execute(
            f"SELECT {', '.join(TRIAL_COLUMNS)} FROM trials WHERE run = ? LIMIT ?",
            (run.id, MOST_TRIALS),
        )
        read = read_trials(dict(zip(TRIAL_COLUMNS, row, strict=True)) for row in trials)
        if any(trial.architecture in known for trial in read):
            found.append(PastRun(run.id, run.name, run.ended_at, run.description, read))
        if len(found) == MOST_RUNS:
            break
    return found
