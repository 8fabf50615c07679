"""Makes small real runs for the tests of several packages: tiny networks on photographs of paper."""

from __future__ import annotations

import functools
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from bundle_maker import copy_images

from automl.pipeline.folder import RunFolder
from automl.records import RunRecord, TrialResult

SPACE = """\
version: 1
description: Two tiny networks.
tasks: [classification]
architectures:
  - {family: test-efficientnet, backbones: [test_efficientnet], image_sizes: [32]}
  - {family: test-resnet, backbones: [test_resnet], depths: [2], image_sizes: [32]}
recipe:
  learning_rate: {low: LOW, high: HIGH}
  weight_decay: {low: LOW_DECAY, high: HIGH_DECAY}
  epochs: [EPOCHS]
  batch_size: [16]
  augmentation: [light]
augmentations:
  light: {rotate: 5, crop: 0.9}
schemes: [float32, int8-static]
"""
# With several threads nothing counts as disturbed by other work, so what was measured once is known.
SPEC = """\
task: classification
data: {path: DATA, split: {group: "([^/]+)_[0-9]+[.]jpg$"}}
target: {device: local, threads: 2, latency: 200ms, size: 20MB}
weights: none
search: {space: ./space.yaml, reuse: false, time: TIME, trials: TRIALS}
"""


def write_space(
    path: Path,
    *,
    learning_rate: tuple[float, float] = (1e-3, 1e-2),
    weight_decay: tuple[float, float] = (1e-5, 1e-3),
    epochs: int = 3,
) -> Path:
    """Write a search space of two tiny networks."""
    words = {
        "LOW_DECAY": weight_decay[0],
        "HIGH_DECAY": weight_decay[1],
        "LOW": learning_rate[0],
        "HIGH": learning_rate[1],
        "EPOCHS": epochs,
    }
    text = SPACE
    for word, value in words.items():
        text = text.replace(word, str(value))
    path.write_text(text)
    return path


def write_spec(
    path: Path,
    data: Path,
    *,
    time_s: int = 300,
    trials: int = 2,
    changes: dict[str, str] | None = None,
) -> Path:
    """Write a spec on the space beside it; ``changes`` replaces parts of its text."""
    text = SPEC.replace("DATA", str(data)).replace("TIME", f"{time_s}s")
    text = text.replace("TRIALS", str(trials))
    for old, new in (changes or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)
    return path


def command(*arguments: object) -> list[str]:
    """Return the command line of automl with this interpreter."""
    return [sys.executable, "-m", "automl", *(str(argument) for argument in arguments)]


def run_automl(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run automl as a user does, in a process of its own."""
    return subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, check=False, timeout=400
    )


def hash_tree(folder: Path, pattern: str = "*") -> dict[str, tuple[str, int]]:
    """Return content and time of change of every file whose name fits a pattern."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }


@contextmanager
def running(
    words: Sequence[str], *, cwd: Path, mark: str, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a process group of its own, marked so that whatever it starts is found.

    At the end the whole group is killed, if the command still runs.
    """
    name, _, value = mark.partition("=")
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env={**environment, name: value},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition: Callable[[], object], *, seconds: float) -> bool:
    """Wait until something is true; ``False`` when it is not in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():
            return True
        time.sleep(0.05)
    return False


def marked_processes(mark: str) -> list[int]:
    """Return the processes that inherited a mark in their environment, zombies left out.

    Processes that change their title, as Ray's do, may lose it: see `descendants`.
    """
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it ended, or is not ours
    return [number for number in found if number != os.getpid()]


def descendants(pid: int) -> list[psutil.Process]:
    """Return what a process started, and what that started."""
    return psutil.Process(pid).children(recursive=True)


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return those that go on: neither gone nor zombies."""
    going = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                going.append(process)
    return going


@dataclass(frozen=True)
class Finished:
    """A run that ended, with what the user saw of it."""

    path: Path
    project: Path
    data: Path
    ended: subprocess.CompletedProcess[str]
    before: dict[str, tuple[str, int]]
    """The user's files before the run."""

    def record(self) -> RunRecord:
        from automl.pipeline.engine import read_run

        return read_run(self.path)

    def trials(self) -> tuple[TrialResult, ...]:
        return RunFolder(self.path).read_trials()


@functools.cache
def shared_run(folder: Path, images: Path) -> Finished:
    """Return one finished run for all tests of a session; none of them may change it."""
    project = folder / "shared-run"
    data = copy_images(images, project / "my <data> & more", each=48)
    spoil(data)
    write_space(project / "space.yaml")
    write_spec(project / "paper.yaml", data)
    before = hash_tree(data)
    ended = run_automl("run", "paper.yaml", cwd=project)
    return Finished(project / "runs" / "paper", project, data, ended, before)


def spoil(data: Path) -> None:
    """Add what data sets have in real life: a cut photograph, an empty file, an odd name."""
    good = next(iter(sorted((data / "fail").iterdir()))).read_bytes()
    (data / "fail" / "cut_0.jpg").write_bytes(good[: len(good) // 2])
    (data / "pass" / "empty_0.jpg").write_bytes(b"")
    (data / "pass" / "<script>alert(1)<\\script>_0.jpg").write_bytes(b"not an image")
