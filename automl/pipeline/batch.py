"""A queue of specs for the night: one after the other, each in a process of its own.

What became of each is kept in ``batch.json`` and shown in ``summary.html`` of the batch's folder, both
written whole after every spec. The runs' own folders are the truth: a batch that is started again on the
same folder keeps what is finished, resumes what was cut off, and tries again what failed.

A spec gets the time that it asks for or does not start: one whose time would not end before ``until`` is
left for another night, and a shorter one behind it may run in its place. Time is never cut, since a
result that depends on when the batch came to it could not be compared with any other.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from automl.errors import AutomlError, RunError, RunInterruptedError
from automl.hardware.limits import usable_cores
from automl.pipeline.batch_process import Ended, run_apart
from automl.pipeline.batch_specs import find_specs, queue_specs
from automl.pipeline.folder import RunFolder
from automl.pipeline.history import read_run
from automl.pipeline.outcome import unmet
from automl.records import RunRecord, TargetSelection
from automl.records.batch import Batch, BatchEntry, BatchStatus, BatchTarget
from automl.report.batch_page import render_batch
from automl.spec.problems import escape
from automl.storage import DamagedFileError, read_record, write_atomic, write_record
from automl.units import format_duration

__all__ = ["SUMMARY", "known_batch", "read_batch", "run_batch", "seconds_until"]

SUMMARY = "summary.html"
_STATE = "batch.json"


def seconds_until(clock: str, now: datetime) -> float:
    """Return the seconds from a moment to the next time that a clock there shows ``HH:MM``.

    Raises:
        RunError: when it is no time of day.
    """
    try:
        wanted = datetime.strptime(clock, "%H:%M")
    except ValueError:
        raise RunError(
            f"A time of day has hours and minutes, such as 07:00; got '{clock}'."
        ) from None
    minutes = (wanted.hour - now.hour) * 60 + wanted.minute - now.minute
    seconds = minutes * 60 - now.second - now.microsecond / 1e6
    return seconds if seconds > 0 else seconds + 86_400


def read_batch(folder: Path) -> Batch | None:
    """Return what is known of a batch, or ``None`` where there is none or its state is damaged."""
    try:
        return known_batch(folder)
    except RunError:
        return None


def known_batch(folder: Path) -> Batch | None:
    """Return what is known of a batch, or ``None`` where the folder is none.

    Raises:
        RunError: when its state is damaged.
    """
    try:
        return read_record(folder / _STATE, Batch)
    except FileNotFoundError:
        return None
    except DamagedFileError:
        raise RunError(
            f"'{escape(str(folder / _STATE))}' is damaged, so what the batch did cannot be told. Give the "
            "same `automl batch` command again: it takes over every run that is finished."
        ) from None


def run_batch(
    sources: Sequence[str],
    folder: Path,
    *,
    until: str | None = None,
    address: str | None = None,
    price_usd_hour: float | None = None,
    now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    changed: Callable[[Batch, BatchEntry, bool], None] = lambda batch, entry, started: None,
) -> Batch:
    """Run the specs of a batch that are not finished, and keep a page that sums them up.

    Args:
        sources: spec files, folders and patterns.
        folder: of the batch; each run gets a folder in it.
        until: local time (``07:00``) after which nothing may run.
        address: of a Ray cluster, instead of the specs' own.
        changed: told of an entry when it starts (``True``) and when it has ended.

    Raises:
        SpecError: when a source stands for no file.
        RunError: another process runs a batch in the folder, or ``until`` is no time of day.
        RunInterruptedError: on Ctrl-C; what is finished is kept.
    """
    files = find_specs(sources)
    left_s = _countdown(until, now())
    with RunFolder(folder).lock():
        earlier = read_batch(folder)
        entries = queue_specs(
            files, earlier=() if earlier is None else earlier.entries, cores=usable_cores()
        )
        started = now().isoformat(timespec="seconds") if earlier is None else earlier.started_at
        queue = _Queue(folder, Batch(entries, started, until, price_usd_hour))
        try:
            queue.go(left_s=left_s, address=address, changed=changed)
        except KeyboardInterrupt:
            raise RunInterruptedError(
                "Stopped. Everything finished is kept; go on with the same command, or finish one "
                f"run with: automl resume {shlex.quote(str(folder))}/…"
            ) from None
        return queue.batch


def _countdown(until: str | None, now: datetime) -> Callable[[], float]:
    """Return how many seconds are left; the clock on the wall is looked at once."""
    if until is None:
        return lambda: float("inf")
    ends = time.monotonic() + seconds_until(until, now)
    return lambda: ends - time.monotonic()


class _Queue:
    """A batch under way."""

    def __init__(self, folder: Path, batch: Batch) -> None:
        self._folder = folder
        self.batch = batch
        for entry in batch.entries:
            self._put(self._found(entry))

    def go(
        self,
        *,
        left_s: Callable[[], float],
        address: str | None,
        changed: Callable[[Batch, BatchEntry, bool], None],
    ) -> None:
        for entry in self.batch.entries:
            if entry.status is not BatchStatus.WAITING:
                continue
            needed = entry.allowed_s - self._used_s(entry)
            if needed > left_s():
                self._put(replace(entry, problem=_too_late(needed, self.batch.until)))
                continue
            changed(self.batch, entry, True)
            entry = self._run(entry, address)
            changed(self.batch, entry, False)

    def _run(self, entry: BatchEntry, address: str | None) -> BatchEntry:
        path = self._folder / entry.folder
        started = time.monotonic()
        try:
            ended = run_apart(
                entry.spec,
                path,
                address=address,
                allowed_s=entry.allowed_s,
                log=path.parent / "log.txt",
            )
        except KeyboardInterrupt:
            self._put(replace(entry, seconds=entry.seconds + time.monotonic() - started))
            raise
        except OSError as error:
            ended = Ended(1, time.monotonic() - started, f"{error.strerror or error}.")
        return self._put(_judged(entry, path, ended))

    def _found(self, entry: BatchEntry) -> BatchEntry:
        """Return an entry with what its run's folder says, if that run finished unnoticed."""
        if entry.status is not BatchStatus.WAITING:
            return entry
        path = self._folder / entry.folder
        if not (path / "selection.json").is_file() or _sha256(path) != entry.sha256:
            return entry
        found = _judged(entry, path, Ended(0, 0.0, None))
        return found if found.status.is_final else entry

    def _used_s(self, entry: BatchEntry) -> float:
        state = RunFolder(self._folder / entry.folder).read_state()
        return 0.0 if state is None else min(state.elapsed_s, entry.allowed_s)

    def _put(self, entry: BatchEntry) -> BatchEntry:
        """Keep an entry, on disk and on the page."""
        entries = tuple(entry if e.number == entry.number else e for e in self.batch.entries)
        self.batch = replace(self.batch, entries=entries)
        write_record(self._folder / _STATE, self.batch)
        write_atomic(self._folder / SUMMARY, render_batch(self.batch).encode())
        return entry


def _sha256(path: Path) -> str | None:
    """Return the hash of the spec that a run folder belongs to."""
    try:
        return RunFolder(path).read_spec().sha256
    except (RunError, FileNotFoundError):
        return None


def _too_late(needed_s: float, until: str | None) -> str:
    return (
        f"Not started: the {format_duration(needed_s)} that it needs would not end before {until}."
    )


def _judged(entry: BatchEntry, path: Path, ended: Ended) -> BatchEntry:
    """Return an entry with the outcome of its run."""
    entry = replace(entry, seconds=round(entry.seconds + ended.seconds, 1))
    try:
        record = read_run(path)
    except AutomlError as error:
        problem = ended.error or str(error)
        return replace(entry, status=BatchStatus.FAILED, problem=problem)
    if record.selection is None or ended.code not in (0, 3):
        problem = ended.error or "The run ended without an outcome."
        return replace(entry, status=BatchStatus.FAILED, problem=problem)
    problems = unmet(record)
    return replace(
        entry,
        status=BatchStatus.MISSES if problems else BatchStatus.FITS,
        targets=tuple(_target(chosen, record) for chosen in record.selection.targets),
        problem="\n".join(problems) or None,
    )


def _target(chosen: TargetSelection, record: RunRecord) -> BatchTarget:
    limits = [claim for claim in chosen.claims if claim.requirement.startswith("latency")]
    return BatchTarget(
        name=chosen.target.name,
        candidate=None if chosen.candidate is None else chosen.candidate.key,
        score=None
        if chosen.test_scores is None
        else chosen.test_scores.values.get(record.spec.objective),
        limit=limits[0].requirement if limits else "",
        got=limits[0].got if limits else "",
        fits=chosen.winner is not None and all(claim.holds for claim in chosen.claims),
        proven=chosen.winner is not None and chosen.proven,
    )
