"""A run folder that was damaged, made whole before the run goes on: what is lost, and what must be repeated.

Whatever a disk, a copy or a person did to the files of a run, the rest of them counts. What follows from
other files is made from them again. What only a trial can give makes this trial count as not run, and it is
named. A damaged file is kept under another name, so that nothing is deleted that somebody may want to see.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automl.errors import StorageError
from automl.export.bundle import MODEL
from automl.pipeline.folder import RunFolder, RunState
from automl.records import (
    Audit,
    DataQuality,
    Plan,
    PreparedData,
    Probe,
    Selection,
    Spec,
    TargetSelection,
    TrialResult,
)
from automl.storage import DamagedFileError, read_record, sha256_file, storage_failures

__all__ = [
    "has_report",
    "is_complete",
    "is_deliverable",
    "is_delivered",
    "recover",
    "recover_state",
]

_MADE_AGAIN = (
    ("data.json", PreparedData),
    ("audit.json", Audit),
    ("quality.json", DataQuality),
    ("plan.json", Plan),
    ("selection.json", Selection),
)
"""Files that a stage writes: without one, the stage runs again."""


def recover(folder: RunFolder, spec: Spec) -> tuple[str, ...]:
    """Make a run folder whole; returns what was found damaged and what follows from it, a sentence each.

    Only the process that holds the folder may do this.

    Args:
        spec: what :meth:`RunFolder.read_spec` gave.
    """
    _remove_torn(folder.path)
    notes = [*_diary(folder), *_spec(folder, spec)]
    for name, kind in _MADE_AGAIN:
        notes.extend(_stage_file(folder.path / name, kind))
    notes.extend(_undeliverable(folder))
    if folder.read_selection() is None:  # else nothing is decided any more
        notes.extend((*_probes(folder), *_trials(folder)))
    return tuple(notes)


def is_complete(folder: RunFolder) -> bool:
    """Whether a run ended, every target was decided, and all but perhaps its report is whole."""
    selection = folder.read_selection()
    if selection is None or any(target.lost for target in selection.targets):
        return False
    return (
        all(_is_whole(folder.path / name, kind) for name, kind in _MADE_AGAIN[:2] + _MADE_AGAIN[3:])
        and folder.read_state() is not None
        and all(is_delivered(folder, chosen) for chosen in selection.targets)
    )


def has_report(folder: RunFolder) -> bool:
    """Whether a report was written to its end, as far as one can see."""
    return folder.report.is_file() and folder.report.read_bytes().rstrip().endswith(b"</html>")


def is_delivered(folder: RunFolder, chosen: TargetSelection) -> bool:
    """Whether a target's bundle is there and holds the winner's file; true where there is no winner."""
    if chosen.winner is None:
        return True
    return _is_file(folder.bundle(chosen.target.name) / MODEL, chosen.winner.sha256)


def is_deliverable(folder: RunFolder, chosen: TargetSelection) -> bool:
    """Whether the winner's file is whole in its trial, so that a bundle can be made of it."""
    return chosen.winner is not None and _is_file(
        folder.path / chosen.winner.path, chosen.winner.sha256
    )


def recover_state(folder: RunFolder, spec: Spec, versions: dict[str, str]) -> RunState:
    """Return how far a run is from its other files, because ``run.json`` is lost.

    The time used is that until the last result; what came after it is forgotten.
    """
    events = list(_events(folder.path / "events.jsonl"))
    begun = [event["at"] for event in events if isinstance(event.get("at"), str)]
    results = (*folder.read_trials(), *folder.read_unfinished())
    return RunState(
        started_at=begun[0] if begun else datetime.now(UTC).isoformat(timespec="seconds"),
        elapsed_s=max((result.finished_after_s for result in results), default=0.0),
        resumed=max(0, sum(event.get("event") == "begin" for event in events) - 1),
        stages=(),
        first_deployable_s=None,
        versions=versions,
        spec=spec,
    )


def _spec(folder: RunFolder, spec: Spec) -> Iterator[str]:
    """Write the spec again where it is not what was written when the run began."""
    text = folder.path / "spec.yaml"
    damaged = [] if _is_whole(folder.path / "spec.json", Spec) else ["spec.json"]
    if not text.is_file() or text.read_bytes() != spec.text.encode():
        damaged.append("spec.yaml")
    if damaged:
        folder.write_spec(spec)
    for name in damaged:
        yield f"'{name}' was damaged or changed; it is again as when the run began."


def _stage_file(file: Path, kind: type[object]) -> Iterator[str]:
    if file.exists() and not _is_whole(file, kind):
        _set_aside(file)
        yield f"'{file.name}' is damaged; it is made again."


def _probes(folder: RunFolder) -> Iterator[str]:
    for file in sorted((folder.path / "probes").glob("*.json")):
        if not _is_whole(file, Probe):
            _set_aside(file)
            yield f"Probe {file.stem} must be repeated: 'probes/{file.name}' is damaged."


def _trials(folder: RunFolder) -> Iterator[str]:
    """Let trials count as not run whose result, or a file that may be delivered, is not whole."""
    for trial_id in folder.trial_ids():
        file = folder.trial(trial_id) / "result.json"
        damaged = _damaged_file(folder, file)
        if damaged is not None:
            _set_aside(file)
            yield f"Trial {trial_id} must be repeated: '{damaged}' is damaged."


def _damaged_file(folder: RunFolder, file: Path) -> str | None:
    """Return which file of a trial is not as it was written, or ``None``."""
    if not file.exists():
        return None
    try:
        result = read_record(file, TrialResult)
    except DamagedFileError:
        return str(file.relative_to(folder.path))
    for artifact in result.artifacts:
        made = folder.path / artifact.path
        if artifact.rejected is None and not _is_file(made, artifact.sha256):
            return artifact.path
    return None


def _undeliverable(folder: RunFolder) -> Iterator[str]:
    """Let an outcome be decided again whose winner's file is whole nowhere any more."""
    selection = folder.read_selection()
    for chosen in () if selection is None else selection.targets:
        if not is_delivered(folder, chosen) and not is_deliverable(folder, chosen):
            _set_aside(folder.path / "selection.json")
            name = chosen.target.name
            yield f"The model of target '{name}' is damaged in all its copies; it is decided again."
            return


def _diary(folder: RunFolder) -> Iterator[str]:
    """End a torn last line, so that the next event does not vanish in it."""
    file = folder.path / "events.jsonl"
    content = file.read_bytes() if file.exists() else b""
    if content and not content.endswith(b"\n"):
        with storage_failures(file), file.open("ab") as stream:
            stream.write(b"\n")
        yield "'events.jsonl' ends in a torn line; nothing depends on it."


def _events(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the diary that can be read."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def _is_whole(file: Path, kind: type[object]) -> bool:
    try:
        read_record(file, kind)
    except (FileNotFoundError, DamagedFileError):
        return False
    return True


def _is_file(file: Path, sha256: str) -> bool:
    return file.is_file() and sha256_file(file) == sha256


def _set_aside(file: Path) -> None:
    with storage_failures(file):
        file.replace(file.with_name(f"{file.name}.damaged"))


def _remove_torn(path: Path) -> None:
    """Remove what a killed process had begun to write: temporary files begin with a dot and a name."""
    if not path.is_dir():
        raise StorageError(f"The folder '{path}' is gone.")
    with storage_failures(path):
        for file in list(path.rglob(".*.*")):
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink(missing_ok=True)
