"""The run folder: where every result of a run lies, and who may write to it.

    runs/<name>/spec.yaml  run.json  data.json  plan.json  events.jsonl
                probes/<id>.{json, safetensors}
                trials/<id>/{result.json, weights.safetensors, <scheme>.onnx}
                selection.json  bundle/<target>/  report.html

Each file is written whole or not at all, so the folder can be read at any moment, also of a run that was
killed. One process may write at a time; the lock ends with its process, however that ends. A folder that
is gone is not made again: what was mounted there may come back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from automl.errors import RunError, StorageError
from automl.pipeline.run_lock import check_holder, hold, is_held
from automl.records import (
    DataQuality,
    Plan,
    PreparedData,
    Probe,
    Selection,
    Spec,
    StageTime,
    TrialResult,
)
from automl.storage import (
    DamagedFileError,
    read_record,
    storage_failures,
    write_atomic,
    write_record,
)

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
    spec: Spec | None = None
    """Once more, in case that ``spec.json`` is damaged."""


class RunFolder:
    """Reads and writes the files of one run.

    Args:
        owner: what the driver wrote into the lock when it began, for a process that works for it: once
            another driver has the folder, such a process writes nothing more.
    """

    def __init__(self, path: Path, *, owner: str | None = None) -> None:
        self.path = path
        self.owner = owner

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
            RunError: when another process holds it, with its number, its machine and since when; or
                when there can be no such folder.
            StorageError: when the disk is full, read-only or gone.
        """
        with hold(self.path) as owner:
            self.owner = owner
            yield

    def is_locked(self) -> bool:
        """Whether a process writes to the folder right now."""
        return is_held(self.path)

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
        self.check_ours()
        write_atomic(self.path / "spec.yaml", spec.text.encode())
        self._write("spec.json", spec)

    def read_spec(self) -> Spec:
        """Return the spec as understood when the run began.

        Raises:
            RunError: when the file is damaged, and its copy too.
        """
        try:
            return read_record(self.path / "spec.json", Spec)
        except DamagedFileError as error:
            state = self.read_state()
            if state is not None and state.spec is not None:
                return state.spec
            raise RunError(
                f"'{self.path}/spec.json' is damaged; start the run again with "
                f"'{self.path}/spec.yaml'."
            ) from error

    def write_data(self, data: PreparedData) -> None:
        """Keep the samples with their splits, and the audit also alone."""
        self._write("data.json", data)
        self._write("audit.json", data.audit)

    def read_data(self) -> PreparedData | None:
        """Return the data, or ``None`` when that stage was not reached."""
        return _read_or_none(self.path / "data.json", PreparedData)

    def write_quality(self, quality: DataQuality) -> None:
        """Keep what the data itself allows."""
        self._write("quality.json", quality)

    def read_quality(self) -> DataQuality | None:
        """Return what was found of the data, or ``None``."""
        return _read_or_none(self.path / "quality.json", DataQuality)

    def write_plan(self, plan: Plan) -> None:
        """Keep the plan."""
        self._write("plan.json", plan)

    def read_plan(self) -> Plan | None:
        """Return the plan, or ``None`` when that stage was not reached or the file is damaged."""
        return _read_or_none(self.path / "plan.json", Plan)

    def write_state(self, state: RunState) -> None:
        """Keep how far the run is."""
        self._write("run.json", state)

    def read_state(self) -> RunState | None:
        """Return how far the run is, or ``None``."""
        return _read_or_none(self.path / "run.json", RunState)

    def write_selection(self, selection: Selection) -> None:
        """Keep the outcome."""
        self._write("selection.json", selection)

    def read_selection(self) -> Selection | None:
        """Return the outcome, or ``None`` while there is none."""
        return _read_or_none(self.path / "selection.json", Selection)

    def write_trial(self, result: TrialResult) -> None:
        """Keep the result of one trial; from then on it is never run again."""
        self._write(f"trials/{result.id}/result.json", result)

    def write_progress(self, result: TrialResult) -> None:
        """Keep how far a trial is: what is left of it, should it be ended between two epochs."""
        self._write(f"trials/{result.id}/progress.json", result)

    def clear_progress(self, trial_id: str) -> None:
        """Forget how far a trial of an earlier part of the run came that had the same id."""
        (self.trial(trial_id) / "progress.json").unlink(missing_ok=True)

    def read_trial(self, trial_id: str) -> TrialResult | None:
        """Return the result of a trial, or ``None`` when there is none or it is damaged."""
        return _read_or_none(self.trial(trial_id) / "result.json", TrialResult)

    def read_progress(self, trial_id: str) -> TrialResult | None:
        """Return how far a trial came, or ``None``."""
        return _read_or_none(self.trial(trial_id) / "progress.json", TrialResult)

    def write_probe(self, probe: Probe) -> None:
        """Keep what a set of frozen features tells; from then on it is never made again."""
        self._write(f"probes/{probe.id}.json", probe)

    def read_probe(self, probe_id: str) -> Probe | None:
        """Return what a set of features tells, or ``None``."""
        return _read_or_none(self.path / "probes" / f"{probe_id}.json", Probe)

    def read_probes(self) -> tuple[Probe, ...]:
        """Return all sets of features in the order in which they ended; damaged ones count as not made."""
        files = sorted((self.path / "probes").glob("*.json"))
        probes = [probe for file in files if (probe := _read_or_none(file, Probe)) is not None]
        return tuple(sorted(probes, key=lambda probe: (probe.finished_after_s, probe.id)))

    def heads(self, probe_id: str) -> Path:
        """The linear heads that were fitted on a set of features."""
        return self.path / "probes" / f"{probe_id}.safetensors"

    def checkpoint(self, trial_id: str) -> Path:
        """How far the training of a trial came: there while it is under way, or was cut off."""
        return self.trial(trial_id) / "checkpoint.safetensors"

    def read_unfinished(self) -> tuple[TrialResult, ...]:
        """Return trainings that were begun and did not end, as far as they came."""
        results = []
        for trial_id in self.trial_ids():
            if self.read_trial(trial_id) is None:
                result = self.read_progress(trial_id)
                if result is not None and result.rung == "train":
                    results.append(result)
        return tuple(sorted(results, key=lambda result: result.number))

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
        self.check_ours()
        file = self.path / "events.jsonl"
        with storage_failures(file), file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")

    def check_ours(self) -> None:
        """Check that the folder is there, and that no other driver has taken it over.

        Raises:
            StorageError: when it is not.
        """
        if not self.path.is_dir():
            raise StorageError(
                f"The folder '{self.path}' is gone: its disk was taken away, or it was moved."
            )
        if self.owner is not None:
            check_holder(self.path, self.owner)

    def _write(self, name: str, record: object) -> None:
        self.check_ours()
        write_record(self.path / name, record)


def _read_or_none(path: Path, kind: type[_Record]) -> _Record | None:
    try:
        return read_record(path, kind)
    except (FileNotFoundError, DamagedFileError):
        return None
