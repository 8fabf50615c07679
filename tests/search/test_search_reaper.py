"""A process starts others and is killed, or goes on: what it started ends when it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_maker import alive, descendants, marked_processes, running, wait_for

from automl.search.reaper import reaped

MARK = f"AUTOML_TEST_MARK=reaper-{os.getpid()}"
WRITER = """\
import sys, time
file = open(sys.argv[1] + '/log', 'a')
print('ready', flush=True)
time.sleep(600)
"""
FAMILY = f"""\
import subprocess, sys
subprocess.run([sys.executable, "-c", {WRITER!r}, sys.argv[1]], start_new_session=True)
"""
"""Starts a writer in a session of its own, and waits for it."""
DRIVER = """\
import subprocess, sys
from automl.search.reaper import reaped
with reaped() as folder:
    print(folder, flush=True)
    subprocess.run([sys.executable, "-c", sys.argv[1], folder], start_new_session=True)
"""


@pytest.mark.parametrize("group", [False, True], ids=["alone", "with-its-group"])
def test_who_writes_to_the_folder_ends_with_a_killed_driver(group: bool, tmp_path: Path) -> None:
    with running([sys.executable, "-c", DRIVER, FAMILY], cwd=tmp_path, mark=MARK) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert process.stdout.readline() == "ready\n"
        assert (folder / "log").exists()
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        assert wait_for(lambda: not marked_processes(MARK), seconds=30.0)
        assert not folder.exists()


def start(folder: str | Path) -> subprocess.Popen[bytes]:
    """Start a process that writes to a folder; return when it does."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return process


def test_the_end_of_the_block_ends_who_writes_there_and_nobody_else(tmp_path: Path) -> None:
    with reaped() as folder:
        there, elsewhere = start(folder), start(tmp_path)
    try:
        assert there.wait(20) == -signal.SIGKILL
        assert elsewhere.poll() is None
        assert not Path(folder).exists()
    finally:
        elsewhere.kill()
        elsewhere.wait()


def test_a_block_that_fails_ends_who_writes_there() -> None:
    started = []

    def fail() -> None:
        with reaped() as folder:
            started.append(start(folder))
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    assert started[0].wait(20) == -signal.SIGKILL


def test_who_only_reads_there_is_left_alone() -> None:
    with reaped() as folder:
        (Path(folder) / "log").touch()
        with (Path(folder) / "log").open() as file:
            reader = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(600)"], stdin=file
            )
    try:
        assert reader.poll() is None
    finally:
        reader.kill()
        reader.wait()


def test_a_long_path_for_temporary_files_leaves_room_for_the_names_of_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with reaped() as folder:
        assert len(folder) < 60
    monkeypatch.setenv("RAY_TMPDIR", str(deep / "new"))
    with reaped() as folder:
        assert Path(folder).parent == deep / "new"


RAY = """\
import sys, time
from automl.search.connection import local_ray
with local_ray(1) as ray:
    ray.get(ray.remote(lambda: 1).remote())
    print("begun", file=sys.__stdout__, flush=True)  # sys.stdout is stderr in here
    sys.stdin.read(1)
print("over", flush=True)
time.sleep(600)
"""


@pytest.fixture
def ray_driver(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a driver whose Ray has worked."""
    with subprocess.Popen(
        [sys.executable, "-c", RAY],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"begun\n"
            yield process
        finally:
            process.kill()


def test_no_process_of_ray_outlives_its_block(ray_driver: subprocess.Popen[bytes]) -> None:
    family = descendants(ray_driver.pid)
    assert len(family) >= 5  # a watcher, Ray's server, its daemon, two agents
    assert ray_driver.stdin is not None
    assert ray_driver.stdout is not None
    ray_driver.stdin.write(b".")
    ray_driver.stdin.flush()
    assert ray_driver.stdout.readline() == b"over\n"
    assert wait_for(lambda: not alive(family), seconds=20.0)
    assert descendants(ray_driver.pid) == []


def test_no_process_of_ray_outlives_its_killed_driver(
    ray_driver: subprocess.Popen[bytes],
) -> None:
    family = descendants(ray_driver.pid)
    ray_driver.kill()
    assert wait_for(lambda: not alive(family), seconds=30.0)
