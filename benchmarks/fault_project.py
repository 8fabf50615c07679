"""A small real project that faults happen to: runs are started, ended in bad ways, resumed and compared."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.pipeline.folder import RunFolder
from automl.records import Recipe, TrialStatus
from automl.resources import shipped

__all__ = ["TRIALS", "Ended", "Outcome", "Project", "check", "wait_for"]

TRIALS = 4
_EACH = 36
"""Images of each class: enough for a score, few enough for trainings of a second."""
_PATIENCE_S = 600.0
_STUBBORN_S = 60.0
"""What has not ended so long after a signal is killed."""
_SPACE = """\
version: 1
description: Two tiny networks.
tasks: [classification]
architectures:
  - {family: test-efficientnet, backbones: [test_efficientnet], image_sizes: [32]}
  - {family: test-resnet, backbones: [test_resnet], depths: [2], image_sizes: [32]}
recipe:
  learning_rate: {low: 1e-3, high: 1e-2}
  weight_decay: {low: 1e-5, high: 1e-3}
  epochs: [4]
  batch_size: [8]
  augmentation: [light]
augmentations:
  light: {rotate: 5, crop: 0.9}
schemes: [float32, int8-static]
"""
_SPEC = """\
task: classification
name: faulty
data: {path: data, split: {group: "([^/]+)_[0-9]+[.]jpg$"}}
target: {device: local, threads: 2, latency: 200ms, size: 20MB}
weights: none
search: {space: ./space.yaml, time: 20min, trials: TRIALS, seed: 7, reuse: false, compute: {cpus: 2}MORE}
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stderr: str
    seconds: float
    """From the signal that ended it; else from its start."""
    hit: bool = True
    """False when the run had ended by itself before a signal came."""


@dataclass(frozen=True)
class Outcome:
    """What must be the same however often a run was interrupted."""

    recipes: tuple[tuple[int, str, Recipe], ...]
    """Number, architecture and recipe of each training."""
    winner: tuple[str, str] | None
    """Trial and scheme."""


class Project:
    """A folder with images, a search space and a spec, and the environment of its commands.

    Args:
        root: made by this.
        more: added to the spec's ``search``.
        output: folder for runs.
    """

    def __init__(self, root: Path, *, more: str = "", output: Path | None = None) -> None:
        self.root = root
        self.environment = {**os.environ, "AUTOML_CACHE": str(root.parent / "cache")}
        self._output = output or root / "runs"
        self.run = self._output / "faulty"
        images = shipped("specs") / "data" / "paper_pass_fail"
        for kind in ("pass", "fail"):
            (root / "data" / kind).mkdir(parents=True)
            for file in sorted((images / kind).iterdir())[:_EACH]:
                shutil.copyfile(file, root / "data" / kind / file.name)
        (root / "space.yaml").write_text(_SPACE)
        spec = _SPEC.replace("TRIALS", str(TRIALS)).replace("MORE", more)
        (root / "faulty.yaml").write_text(spec)

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return RunFolder(self.run)

    def start(self) -> list[str]:
        """Return the command that goes on with the run, or begins it."""
        if (self.run / "run.json").exists():
            return self.command("resume", str(self.run), "--quiet")
        shutil.rmtree(self.run, ignore_errors=True)  # a run that has not begun to be one
        return self.command("run", "faulty.yaml", "--quiet", "--output", str(self._output))

    def command(self, *arguments: str) -> list[str]:
        """Return a command of automl with this interpreter."""
        return [sys.executable, "-m", "automl", *arguments]

    def finish(self) -> Ended:
        """Begin or resume the run and wait for its end."""
        started = time.monotonic()
        with self.driver() as process:
            _, errors = process.communicate(timeout=_PATIENCE_S)
        return Ended(process.returncode, errors, time.monotonic() - started)

    @contextlib.contextmanager
    def driver(self, more: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """Begin or resume the run in a process group of its own, which is gone after the block."""
        process = subprocess.Popen(
            self.start(),
            cwd=self.root,
            env={**self.environment, **(more or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop_after(self, seconds: float, number: int, *, group: bool) -> Ended:
        """Begin or resume the run and signal it, if it has not ended by itself before.

        Args:
            seconds: from the start to the signal.
            number: of the signal.
            group: whether all processes of the group get it, as from a terminal; else the driver alone.
        """
        with self.driver() as process:
            try:
                _, errors = process.communicate(timeout=seconds)
                return Ended(process.returncode, errors, seconds, hit=False)
            except subprocess.TimeoutExpired:
                pass
            if self._has_ended():
                _, errors = process.communicate()
                return Ended(process.returncode, errors, seconds, hit=False)
            signalled = time.monotonic()
            (os.killpg if group else os.kill)(process.pid, number)
            code = _code_within(process, _STUBBORN_S)
            took = time.monotonic() - signalled
            _, errors = process.communicate()
        # It ended between the look at it and the signal: what SIGKILL hits has no exit code of its own,
        # and what another signal hits does not end well.
        hit = code == -number if number == signal.SIGKILL else code != 0
        return Ended(code, errors, took, hit=hit)

    def _has_ended(self) -> bool:
        """Whether all of the run is done and given back; its process may still be closing down."""
        return self.folder.report.exists() and not self.folder.is_locked()

    def results(self) -> dict[str, tuple[str, int]]:
        """Return content and time of change of every result."""
        return {
            file.parent.name: (
                hashlib.sha256(file.read_bytes()).hexdigest(),
                file.stat().st_mtime_ns,
            )
            for file in sorted((self.run / "trials").glob("*/result.json"))
        }

    def outcome(self) -> Outcome:
        """Return what the run came to."""
        trials = self.folder.read_trials()
        selection = self.folder.read_selection()
        chosen = None if selection is None else selection.targets[0]
        return Outcome(
            tuple((t.number, t.architecture.key, t.recipe) for t in trials if t.rung == "train"),
            None
            if chosen is None or chosen.candidate is None or chosen.trial_id is None
            else (chosen.trial_id, chosen.candidate.scheme),
        )


def check(
    project: Project, ended: Ended, kept: Mapping[str, tuple[str, int]], reference: Outcome | None
) -> list[str]:
    """Return what is wrong with a run that was finished after faults.

    Args:
        kept: results that were there when the fault happened and must be there unchanged.
        reference: of the run without faults.
    """
    wrong = []
    if ended.code != 0 or "Traceback" in ended.stderr:
        wrong.append(f"ended with {ended.code}: {ended.stderr.strip()[-400:]}")
        return wrong
    now = project.results()
    lost = [name for name in kept if now.get(name) != kept[name]]
    if lost:
        wrong.append(f"lost or run again: {', '.join(lost)}")
    open_ones = set(project.folder.trial_ids()) - set(now)
    if open_ones:
        wrong.append(f"left without a result: {', '.join(sorted(open_ones))}")
    found = project.outcome()
    numbers = [number for number, _, _ in found.recipes]
    if len(numbers) != TRIALS or len(set(numbers)) != TRIALS:
        wrong.append(f"trials {numbers} instead of {TRIALS}")
    if reference is not None and found.recipes != reference.recipes:
        wrong.append("other trials than without the fault")
    if reference is not None and found.winner != reference.winner:
        wrong.append(f"winner {found.winner} instead of {reference.winner}")
    return wrong


def wait_for(condition: Callable[[], object], *, seconds: float = _PATIENCE_S) -> bool:
    """Wait until something is true; false when it is not in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _code_within(process: subprocess.Popen[str], seconds: float) -> int:
    """Return the exit code of a process; one that does not end in time is killed."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def failed_trials(project: Project) -> Sequence[str]:
    """Return the errors of trials that failed."""
    failed = [t for t in project.folder.read_trials() if t.status is TrialStatus.FAILED]
    return [t.error or "" for t in failed]
