"""Which specs make up a batch: files, folders and patterns to the entries of a queue.

All specs are read before the first one runs, so that a mistake is told in the evening and not in the
morning; a spec that cannot be read is an entry that failed, and keeps none of the others from running.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from automl.errors import AutomlError, SpecError
from automl.records import Spec
from automl.records.batch import BatchEntry, BatchStatus
from automl.spec import load_spec
from automl.spec.fields import slug
from automl.spec.loader import find_spec
from automl.spec.problems import shown
from automl.storage import sha256_file

__all__ = ["find_specs", "queue_specs"]

_SUFFIXES = (".yaml", ".yml")
_TASK_LINE = re.compile(rb"^task\s*:", re.MULTILINE)
"""Every spec says its task; a search space or a device that lies beside it does not."""


def find_specs(sources: Sequence[str]) -> tuple[Path, ...]:
    """Return the spec files that are meant, in the order given and each once.

    Args:
        sources: spec files, names of shipped specs, folders (their YAML files that name a task, by
            name) and patterns such as ``night/*.yaml``.

    Raises:
        SpecError: when one of them stands for no file.
    """
    found: dict[Path, None] = {}
    for source in sources:
        files = list(_files_of(source))
        if not files:
            raise SpecError(
                f"There is no spec in {shown(source)}: give a spec file, a folder with YAML files "
                "that name a task, or a pattern such as 'night/*.yaml'."
            )
        found.update(dict.fromkeys(file.resolve() for file in files))
    return tuple(found)


def _files_of(source: str) -> Iterable[Path]:
    folder = Path(source).expanduser()
    if folder.is_dir():
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
        return [file for file in files if _TASK_LINE.search(file.read_bytes())]
    if glob.has_magic(source) and not folder.exists():
        matches = glob.glob(str(folder), recursive=True)
        return sorted(path for path in map(Path, matches) if path.is_file())
    return [find_spec(source)]


def queue_specs(
    files: Sequence[Path], *, earlier: Sequence[BatchEntry], cores: int
) -> tuple[BatchEntry, ...]:
    """Return the queue: what is there already, then what is new.

    A spec that did not change since it was queued keeps its entry. One that was changed is a new entry;
    its old one stays if it was finished, and is left out if not.

    Args:
        earlier: the queue of an earlier part of this batch.
        cores: of this machine, for specs that do not say how many they may use.
    """
    hashes = {str(file): sha256_file(file) for file in files}
    earlier = _moved(earlier, hashes)
    known = {(entry.spec, entry.sha256) for entry in earlier}
    kept = [
        entry
        for entry in earlier
        if entry.status.is_final
        or hashes.get(entry.spec, entry.sha256) == entry.sha256  # unchanged, or not asked for now
    ]
    queue = [_read_again(entry, cores) for entry in kept]
    number = max((entry.number for entry in earlier), default=0)
    for file in files:
        if (str(file), hashes[str(file)]) not in known:
            number += 1
            queue.append(_new_entry(file, hashes[str(file)], number, cores))
    return tuple(queue)


def _moved(earlier: Sequence[BatchEntry], hashes: dict[str, str]) -> list[BatchEntry]:
    """Return entries whose file lies elsewhere now (as in a job that is submitted again) with its place."""
    known = {(entry.spec, entry.sha256) for entry in earlier}
    places = {
        (Path(file).name, sha256): file
        for file, sha256 in hashes.items()
        if (file, sha256) not in known
    }
    found = []
    for entry in earlier:
        name = (Path(entry.spec).name, entry.sha256)
        if name in places and not Path(entry.spec).exists():
            entry = replace(entry, spec=places.pop(name))
        found.append(entry)
    return found


def _read_again(entry: BatchEntry, cores: int) -> BatchEntry:
    """Return an entry that is to run (again) with what its spec says now that all files are read."""
    if entry.status.is_final:
        return entry
    return _described(replace(entry, status=BatchStatus.WAITING, problem=None), cores)


def _new_entry(file: Path, sha256: str, number: int, cores: int) -> BatchEntry:
    name = slug(file.stem)
    entry = BatchEntry(number, str(file), sha256, name, f"{number:02d}-{name}/{name}")
    return _described(entry, cores)


def _described(entry: BatchEntry, cores: int) -> BatchEntry:
    """Return an entry with what its spec says of it; failed where that cannot be read."""
    try:
        spec = load_spec(entry.spec)
        spec.require_data()
    except AutomlError as error:
        return replace(entry, status=BatchStatus.FAILED, problem=str(error))
    return replace(
        entry,
        name=spec.name,
        folder=f"{Path(entry.folder).parent}/{spec.name}",
        allowed_s=spec.search.time_s,
        cores=_cores(spec, cores),
        objective=spec.objective,
    )


def _cores(spec: Spec, here: int) -> int:
    asked = spec.search.compute.cpus
    if spec.search.compute.address is not None:
        return asked or here
    return min(asked or here, here)
