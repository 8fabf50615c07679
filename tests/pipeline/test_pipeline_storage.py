"""A disk that is full, read-only or gone: said as that, no trial is blamed, and the run goes on later."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_maker import copy_images, make_spec
from record_makers import RECIPE, architecture, trial
from worker_jobs import Number, write_to_full_disk

from automl.data import prepare
from automl.errors import StorageError
from automl.pipeline.clock import RunClock
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.guarded import GuardedListener
from automl.pipeline.listener import Listener
from automl.pipeline.observer import Silent
from automl.pipeline.session import Session
from automl.pipeline.workers import WorkerPool
from automl.records import PlannedArchitecture, TrialStatus
from automl.search.study import Assignment
from automl.storage import storage_error, write_atomic

NET = architecture("test_efficientnet", size=32)
QUICK = replace(RECIPE, epochs=1, batch_size=8)
ASSIGNMENT = Assignment(f"0001-{NET.key}", 1, NET, QUICK)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB; where it may not be mounted, the test is skipped with the reason."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", disk], capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=False)


def fill(disk: Path, *, leaving_bytes: int = 0) -> Path:
    """Fill a disk but for so much."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"x" * 4096)
    assert shutil.disk_usage(disk).free == 0
    if leaving_bytes:
        os.truncate(filler, max(0, filler.stat().st_size - leaving_bytes))
    return filler


def test_a_full_disk_is_said_and_leaves_the_old_file(small_disk: Path) -> None:
    file = small_disk / "result.json"
    write_atomic(file, b"old")
    filler = fill(small_disk)
    with pytest.raises(StorageError) as caught:
        write_atomic(file, b"new" * 10_000)
    assert str(caught.value) == (
        f"'{file}' cannot be written: the disk is full (No space left on device)."
    )
    assert file.read_bytes() == b"old"
    filler.unlink()
    write_atomic(file, b"new")
    assert sorted(path.name for path in small_disk.iterdir()) == ["result.json"]


def test_a_disk_that_can_only_be_read_is_said(small_disk: Path) -> None:
    folder = RunFolder(small_disk / "run")
    with folder.lock():
        folder.write_trial(trial(NET))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert folder.read_trials() == (trial(NET),)
    assert not folder.is_locked()
    late = RunFolder(folder.path)
    with pytest.raises(StorageError, match="the disk can only be read"):
        late.log("event")
    with pytest.raises(StorageError, match="the disk can only be read"):
        late.write_trial(trial(NET))
    with pytest.raises(StorageError, match="the disk can only be read"), folder.lock():
        pass


def test_a_disk_that_is_taken_away_is_not_written_beside(small_disk: Path) -> None:
    folder = RunFolder(small_disk / "run")
    with folder.lock():
        subprocess.run(["umount", "-l", small_disk], check=True)
        for write in (lambda: folder.write_trial(trial(NET)), lambda: folder.log("event")):
            with pytest.raises(StorageError) as caught:
                write()
            assert str(caught.value) == (
                f"The folder '{folder.path}' is gone: its disk was taken away, or it was moved."
            )
    assert list(small_disk.iterdir()) == []


def test_a_worker_writes_nothing_once_another_driver_has_the_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path).lock():
        old = RunFolder(tmp_path, owner="process 1 on elsewhere since 2026-01-01")
        with pytest.raises(StorageError, match="was taken over: it belongs to process "):
            old.write_trial(trial(NET))
    assert RunFolder(tmp_path).read_trials() == ()


@pytest.fixture(scope="module")
def data(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_images(paper_images, tmp_path_factory.mktemp("data"), each=24)


def test_a_trial_on_a_full_disk_counts_as_not_run(small_disk: Path, data: Path) -> None:
    folder = RunFolder(small_disk / "run")
    spec = make_spec(data, limit_ms=100.0, bound=0.0, size_bytes=10**8)
    folder.path.mkdir()
    folder.write_data(prepare(spec.data, truth="label", stored_side=64))
    context = TrialContext(
        folder=str(folder.path),
        spec=spec,
        schemes={NET.key: ("float32",)},
        planned=(PlannedArchitecture(NET, 400_000, 10_000_000, None),),
        weights={},
        instruction_sets=("avx2",),
        threads=1,
        gpus=0.0,
        clock=RunClock(0.0, 0.0).shared(),
        ends_after_s=10_000.0,
    )
    filler = fill(small_disk, leaving_bytes=200_000)
    with pytest.raises(StorageError, match="the disk is full"):
        Session(context, ASSIGNMENT).step()
    assert folder.read_trials() == ()
    filler.unlink()
    shutil.rmtree(folder.trial(ASSIGNMENT.id))
    assert Session(context, ASSIGNMENT).step().done
    assert [t.status for t in folder.read_trials()] == [TrialStatus.FINISHED]


def test_no_trial_is_blamed_for_a_disk_that_failed_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    listener = GuardedListener(
        Listener(folder, Silent(), tried=[], left_s=lambda: 60.0, changed=lambda: None)
    )
    listener.started(ASSIGNMENT)
    error = (
        'ray::TrialActor.train() (pid=7, ip=127.0.0.1)\n  File "x.py", line 1, in step\n'
        "automl.errors.StorageError: 'a/float32.onnx' cannot be used: the disk is full."
    )
    with pytest.raises(StorageError, match=r"^'a/float32.onnx' cannot be used: the disk is full.$"):
        listener.crashed(ASSIGNMENT, error)
    assert folder.read_trials() == ()
    with pytest.raises(StorageError), listener.raising_failures():
        raise RuntimeError("what Ray makes of it")


def test_an_error_of_a_trial_is_passed_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    listener = GuardedListener(
        Listener(folder, Silent(), tried=[], left_s=lambda: 60.0, changed=lambda: None)
    )
    listener.started(ASSIGNMENT)
    listener.crashed(ASSIGNMENT, "its process ended (killed, or out of memory)")
    assert [t.status for t in folder.read_trials()] == [TrialStatus.FAILED]
    with pytest.raises(RuntimeError, match=r"^another$"), listener.raising_failures():
        raise RuntimeError("another")


@pytest.mark.parametrize(
    ("error", "is_storage"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a"), True),
        (OSError(errno.EROFS, "Read-only file system", "a"), True),
        (OSError(errno.ESTALE, "Stale file handle", "a"), True),
        (FileNotFoundError(errno.ENOENT, "No such file", "a"), False),
        (PermissionError(errno.EACCES, "Permission denied", "an image"), False),
        (ValueError("a"), False),
    ],
)
def test_only_failures_of_a_disk_are_taken_for_them(error: Exception, is_storage: bool) -> None:
    assert (storage_error(error) is not None) == is_storage
    wrapped = RuntimeError("a library's own")
    wrapped.__cause__ = error
    assert (storage_error(wrapped) is not None) == is_storage


def test_a_full_disk_ends_a_pool_of_workers_and_no_job_is_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parent))
    with WorkerPool(1, threads=1) as pool, pytest.raises(StorageError, match="the disk is full"):
        list(pool.map(write_to_full_disk, [Number(1)]))
