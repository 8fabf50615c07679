"""A run whose ``output`` is an address (``s3://``, ``gs://``): worked on here, copied as it grows.

Object stores have no locks, no rename and no append, so the run folder stays on this machine, in the
user's cache, and every file that is finished is copied within seconds. One object is replaced whole or not
at all, and what a file speaks of is copied before it: the models of a trial before its ``result.json``, the
bundle before ``selection.json``. So a copy is right at any moment, also when the machine that made it is
gone, and ``automl resume s3://…`` goes on elsewhere. ``file://`` does the same between two folders, for
shared storage on which locks do not work.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from automl.errors import RunError
from automl.pipeline.folder import RunFolder
from automl.pipeline.remote_store import RemoteStore, is_remote, joined, without_options
from automl.spec.problems import escape
from automl.storage import cache_folder, sha256_bytes

__all__ = ["Owner", "local_run", "mirrored", "new_run_path", "peek_run"]

_MARKERS = ("result.json", "selection.json", "run.json", "report.html")
"""Files that speak of others, copied after all others that were there when they were."""
_EVERY_S = 2.0
_DIARY_EVERY_S = 15.0
"""A diary grows with every event, and an object cannot be added to."""
_BEAT_S = 20.0
_OWNER_GONE_S = 75.0
"""An owner that has not written for so long is gone: three beats and a slow request."""
_OWNER = "owner.json"


def new_run_path(output: str, name: str) -> Path:
    """Return a local folder that no run has used, here or at the address: none is ever overwritten.

    Raises:
        RunError: when nothing answers at the address.
    """
    root = _work_folder(output) if is_remote(output) else Path(output)
    path, number = root / name, 1
    while (path / "spec.json").exists() or _is_taken(output, path.name):
        number += 1
        path = root / f"{name}-{number}"
    return path


def local_run(run: str) -> Path:
    """Return the folder of a run; one at an address is fetched, unless this machine is further.

    Raises:
        RunError: when there is no run at the address, or nothing answers.
    """
    if not is_remote(run):
        return Path(run)
    output, _, name = without_options(run).rpartition("/")
    options = run[len(without_options(run)) :]
    path = _work_folder(output + options) / name
    store = RemoteStore(run)
    if not store.has("spec.json"):
        raise _no_run(run)
    if not (path / "spec.json").is_file() or _progress_at(store) > _progress(path):
        _fetch(store, path)
    return path


@contextlib.contextmanager
def peek_run(run: str) -> Iterator[tuple[Path, bool]]:
    """Yield a folder with what a run recorded, and whether a process works on it.

    Of a run at an address, the small files are fetched for as long as the block lasts.

    Raises:
        RunError: when there is no run, or nothing answers at the address.
    """
    if not is_remote(run):
        yield Path(run), RunFolder.existing(Path(run)).is_locked()
        return
    store = RemoteStore(run)
    written = store.changed_at(_OWNER)
    with tempfile.TemporaryDirectory(prefix="automl-peek-") as folder:
        for name in store.sizes():
            if name.endswith(".json") and ".." not in Path(name).parts:
                file = Path(folder) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(store.read(name))
        if not (Path(folder) / "spec.json").exists():
            raise _no_run(run)
        yield Path(folder), written is not None and store.now() - written < _OWNER_GONE_S


@contextlib.contextmanager
def mirrored(output: str, path: Path, *, note: Callable[[str], None]) -> Iterator[None]:
    """Copy a run folder to the address of its output for as long as the block lasts, and at its end.

    A block for an output on this machine does nothing.

    Args:
        note: told once when copying fails; it is tried again until the end.

    Raises:
        RunError: another process works on the run at the address, nothing answers there, or the last
            copy failed; the local folder is whole then.
    """
    if not is_remote(output):
        yield
        return
    mirror = _Mirror(RemoteStore(joined(output, path.name)), path, note)
    mirror.take()
    mirror.start()
    try:
        yield
    except BaseException:
        with contextlib.suppress(RunError):  # why the run ended is what its user must hear
            mirror.finish()
        raise
    mirror.finish()
    note(f"Copied to {mirror.address}")


@dataclass(frozen=True)
class Owner:
    """Who works on the run at an address; ``owner.json``."""

    process: int
    host: str
    since: str
    """ISO 8601, UTC."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since}"

    @classmethod
    def this_process(cls) -> Owner:
        """Return this process, from now on."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), now)

    def to_json(self) -> bytes:
        """Return the file's content: a number that was altered must not read as another process."""
        words = asdict(self)
        return json.dumps({**words, "sha256": sha256_bytes(str(self).encode())}).encode()


def _read_owner(content: bytes) -> Owner | None:
    """Return the owner that a file names, or ``None`` where it is not as it was written."""
    try:
        words = json.loads(content)
        owner = Owner(int(words["process"]), str(words["host"]), str(words["since"]))
        is_whole = words["sha256"] == sha256_bytes(str(owner).encode())
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return owner if is_whole else None


class _Mirror:
    """Copies a folder while another thread writes it."""

    def __init__(self, store: RemoteStore, folder: Path, note: Callable[[str], None]) -> None:
        self._store = store
        self._folder = folder
        self._note = note
        self._owner = Owner.this_process()
        self._copied: dict[str, tuple[int, int]] = {}
        self._diary_at = 0.0
        self._beat_at = 0.0
        self._failed = False
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._go, name="mirror", daemon=True)

    @property
    def address(self) -> str:
        return self._store.address

    def take(self) -> None:
        """Become the owner of the run at the address.

        Raises:
            RunError: when another process is, and has written lately. It is named with its number, its
                machine and since when; where the file that says so is damaged, as unknown.
        """
        written = self._store.changed_at(_OWNER)
        if written is not None and self._store.now() - written < _OWNER_GONE_S:
            owner = _read_owner(self._store.read(_OWNER))
            if owner is None or not _is_gone(owner):
                who = f"an unknown process ('{_OWNER}' is damaged)" if owner is None else str(owner)
                raise RunError(
                    f"'{escape(self.address)}' is in use by {escape(who)}. Wait for it to end; if "
                    f"that machine is gone, try again in {_OWNER_GONE_S:.0f} s."
                )
        self._beat()

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Copy what is left and give the run at the address back.

        Raises:
            RunError: when that fails.
        """
        self._ends.set()
        self._thread.join()
        try:
            self._copy(everything=True)
        except RunError as error:
            raise RunError(
                f"The run is whole in '{self._folder}', but its copy at '{escape(self.address)}' is "
                f"not: {error} To copy it again: automl resume '{self._folder}'"
            ) from error
        self._store.delete(_OWNER)

    def _go(self) -> None:
        while not self._ends.wait(_EVERY_S):
            try:
                self._copy(everything=False)
                if time.monotonic() - self._beat_at > _BEAT_S:
                    self._beat()
                self._failed = False
            except RunError as error:
                if not self._failed:
                    self._note(f"{error} The run goes on; copying is tried again.")
                self._failed = True

    def _beat(self) -> None:
        self._store.write(_OWNER, self._owner.to_json())
        self._beat_at = time.monotonic()

    def _copy(self, *, everything: bool) -> None:
        """Copy what changed: first all that is there, then the markers that were there before."""
        markers = {name for name in self._names() if os.path.basename(name) in _MARKERS}
        names = self._names()
        ordered = [*sorted(names - markers), *sorted(markers, key=_marker_order)]
        for name in ordered:
            if os.path.basename(name) in _MARKERS and name not in markers:
                continue  # written just now: the next round
            if name.endswith(".jsonl") and not everything and self._is_diary_early():
                continue
            self._copy_file(name)
        for name in self._copied.keys() - names:
            self._store.delete(name)
            del self._copied[name]

    def _copy_file(self, name: str) -> None:
        file = self._folder / name
        try:
            stamp = file.stat()
            if self._copied.get(name) == (stamp.st_mtime_ns, stamp.st_size):
                return
            content = file.read_bytes()
        except FileNotFoundError:
            return  # taken away meanwhile
        self._store.write(name, content)
        self._copied[name] = (stamp.st_mtime_ns, stamp.st_size)
        if name.endswith(".jsonl"):
            self._diary_at = time.monotonic()

    def _is_diary_early(self) -> bool:
        return time.monotonic() - self._diary_at < _DIARY_EVERY_S

    def _names(self) -> set[str]:
        """Return the finished files: temporary ones and the lock begin with a dot."""
        found = set()
        for folder, _, files in os.walk(self._folder):
            for file in files:
                if not file.startswith("."):
                    found.add(os.path.relpath(os.path.join(folder, file), self._folder))
        return found


def _no_run(run: str) -> RunError:
    return RunError(
        f"There is no run at '{escape(run)}' (no spec.json). Give the address that the spec's "
        "'output' names, and the name of the run after it."
    )


def _marker_order(name: str) -> tuple[int, str]:
    return (_MARKERS.index(os.path.basename(name)), name)


def _fetch(store: RemoteStore, path: Path) -> None:
    """Copy a run here; what is at its place is replaced when all of it is here."""
    fresh = path.with_name(f".{path.name}.fetched")
    shutil.rmtree(fresh, ignore_errors=True)
    for name in store.sizes():
        if name != _OWNER and ".." not in Path(name).parts:
            file = fresh / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(store.read(name))
    with RunFolder(path).lock():
        shutil.rmtree(path)
        fresh.rename(path)


def _progress_at(store: RemoteStore) -> tuple[int, float]:
    """Return how often the run at an address was resumed and how long it went on."""
    return _progress_of(store.read("run.json")) if store.has("run.json") else (-1, 0.0)


def _progress(path: Path) -> tuple[int, float]:
    try:
        return _progress_of((path / "run.json").read_bytes())
    except OSError:
        return (-1, 0.0)


def _progress_of(content: bytes) -> tuple[int, float]:
    try:
        state = json.loads(content)["record"]
        return (int(state["resumed"]), float(state["elapsed_s"]))
    except (ValueError, KeyError, TypeError):
        return (-1, 0.0)


def _is_gone(owner: Owner) -> bool:
    """Whether an owner was a process of this machine that has ended."""
    if owner.host != socket.gethostname():
        return False
    try:
        os.kill(owner.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return owner.process == os.getpid()


def _is_taken(output: str, name: str) -> bool:
    return is_remote(output) and RemoteStore(joined(output, name)).has("spec.json")


def _work_folder(output: str) -> Path:
    return cache_folder("runs") / sha256_bytes(output.rstrip("/").encode())[:12]
