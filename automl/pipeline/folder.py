"""The run folder: where every result of a run lies, and who may write to it.

    runs/<name>/spec.yaml  run.json  data.json  plan.json  events.jsonl
                trials/<id>/{result.json, weights.safetensors, <scheme>.onnx}
                selection.json  bundle/<target>/  report.html

Each file is written whole or not at all, so the folder can be read at any moment, also of a run that was
killed. One process may write at a time; the lock ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from automl.errors import RunError
from automl.records import (
    DataQuality,
    Plan,
    PreparedData,
    Selection,
    Spec,
    StageTime,
    TrialResult,
)
from automl.storage import DamagedFileError, read_record, write_atomic, write_record

__all__ = ["RunFolder", "RunState"]

_Record = TypeVar("_Record")


@dataclass(frozen=True)
class RunState:
    """What a resumed run must know of the runs before it."""

    started_at: str
    """ISO 8601, UTC."""
    elapsed_s: float
    """Wall time used so far, over all parts of the run."""
    resumed: int
    stages: tuple[StageTime, ...]
    first_deployable_s: float | None
    versions: dict[str, str]


class RunFolder:
    """Reads and writes the files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Open the folder of a run that began.

        Raises:
            RunError: when there is no run.
        """
        if not (path / "spec.json").is_file():
            raise RunError(
                f"'{path}' holds no run (no spec.json in it). "
                "Give the folder that 'automl run' printed, such as runs/quickstart."
            )
        return cls(path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            RunError: when another process holds it, with its number and since when; or when there
                can be no such folder.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"The folder '{self.path}' cannot be made ({error.strerror}). "
                "Choose another 'output' in the spec."
            ) from error
        file = self.path / ".lock"
        with file.open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                owner = stream.read().strip() or "another process"
                raise RunError(
                    f"'{self.path}' is in use by {owner}. Wait for it to end, or choose another "
                    "'name' or 'output' in the spec."
                ) from None
            stream.truncate(0)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            stream.write(f"process {os.getpid()} since {now}")
            stream.flush()
            yield

    def is_locked(self) -> bool:
        """Whether a process writes to the folder right now."""
        file = self.path / ".lock"
        if not file.exists():
            return False
        with file.open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    def bundle(self, target: str) -> Path:
        """The folder that is delivered for a target."""
        return self.path / "bundle" / target

    def pictures(self, sha256: str) -> Path:
        """Where the drawn answers of a file lie."""
        return self.path / "pictures" / sha256[:16]

    def trial(self, trial_id: str) -> Path:
        """The folder of one trial."""
        return self.path / "trials" / trial_id

    def write_spec(self, spec: Spec) -> None:
        """Keep the spec, as written and as understood."""
        write_atomic(self.path / "spec.yaml", spec.text.encode())
        write_record(self.path / "spec.json", spec)

    def read_spec(self) -> Spec:
        """Return the spec as understood when the run began.

        Raises:
            RunError: when the file is damaged.
        """
        try:
            return read_record(self.path / "spec.json", Spec)
        except DamagedFileError as error:
            raise RunError(
                f"'{self.path}/spec.json' is damaged; start the run again with "
                f"'{self.path}/spec.yaml'."
            ) from error

    def write_data(self, data: PreparedData) -> None:
        """Keep the samples with their splits, and the audit also alone."""
        write_record(self.path / "data.json", data)
        write_record(self.path / "audit.json", data.audit)

    def read_data(self) -> PreparedData | None:
        """Return the data, or ``None`` when that stage was not reached."""
        return _read_or_none(self.path / "data.json", PreparedData)

    def write_quality(self, quality: DataQuality) -> None:
        """Keep what the data itself allows."""
        write_record(self.path / "quality.json", quality)

    def read_quality(self) -> DataQuality | None:
        """Return what was found of the data, or ``None``."""
        return _read_or_none(self.path / "quality.json", DataQuality)

    def write_plan(self, plan: Plan) -> None:
        """Keep the plan."""
        write_record(self.path / "plan.json", plan)

    def read_plan(self) -> Plan | None:
        """Return the plan, or ``None`` when that stage was not reached or the file is damaged."""
        return _read_or_none(self.path / "plan.json", Plan)

    def write_state(self, state: RunState) -> None:
        """Keep how far the run is."""
        write_record(self.path / "run.json", state)

    def read_state(self) -> RunState | None:
        """Return how far the run is, or ``None``."""
        return _read_or_none(self.path / "run.json", RunState)

    def write_selection(self, selection: Selection) -> None:
        """Keep the outcome."""
        write_record(self.path / "selection.json", selection)

    def read_selection(self) -> Selection | None:
        """Return the outcome, or ``None`` while there is none."""
        return _read_or_none(self.path / "selection.json", Selection)

    def write_trial(self, result: TrialResult) -> None:
        """Keep the result of one trial; from then on it is never run again."""
        write_record(self.trial(result.id) / "result.json", result)

    def write_progress(self, result: TrialResult) -> None:
        """Keep how far a trial is: what is left of it, should it be ended between two epochs."""
        write_record(self.trial(result.id) / "progress.json", result)

    def clear_progress(self, trial_id: str) -> None:
        """Forget how far a trial of an earlier part of the run came that had the same id."""
        (self.trial(trial_id) / "progress.json").unlink(missing_ok=True)

    def read_trial(self, trial_id: str) -> TrialResult | None:
        """Return the result of a trial, or ``None`` when there is none or it is damaged."""
        return _read_or_none(self.trial(trial_id) / "result.json", TrialResult)

    def read_progress(self, trial_id: str) -> TrialResult | None:
        """Return how far a trial came, or ``None``."""
        return _read_or_none(self.trial(trial_id) / "progress.json", TrialResult)

    def trial_ids(self) -> list[str]:
        """Return the trials that have a folder: those that ended and those under way."""
        try:
            return sorted(os.listdir(self.path / "trials"))
        except FileNotFoundError:
            return []

    def read_trials(self) -> tuple[TrialResult, ...]:
        """Return all finished trials in their order; one with a damaged file counts as not run."""
        results = []
        for file in sorted((self.path / "trials").glob("*/result.json")):
            result = _read_or_none(file, TrialResult)
            if result is not None:
                results.append(result)
        return tuple(sorted(results, key=lambda result: result.number))

    def log(self, event: str, **details: str | float | int | None) -> None:
        """Append one line to ``events.jsonl``: the diary for people; no result depends on it."""
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            **details,
        }
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def _read_or_none(path: Path, kind: type[_Record]) -> _Record | None:
    try:
        return read_record(path, kind)
    except (FileNotFoundError, DamagedFileError):
        return None
