"""What can happen to a run, one function a fault: how often it was survived, and what was wrong."""

from __future__ import annotations

import itertools
import random
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.commands import say
from benchmarks.fault_project import Ended, Outcome, Project, check, failed_trials, wait_for

__all__ = ["Row", "Scene", "damaged", "disks", "stopped", "trials_ended", "two_at_once"]

_STOP_S = 10.0
"""So soon after SIGTERM or Ctrl-C a run must be safe and ended."""
_EARLIEST_S = 1.0
"""Of a stop: a process of Python has hardly begun before."""
_STORAGE_CODE = 5
_MIB = 2**20


@dataclass
class Row:
    """One line of the table."""

    fault: str
    survived: int = 0
    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    note: str = ""

    def count(self, wrong: list[str]) -> None:
        """Count one try."""
        self.tried += 1
        self.survived += not wrong
        self.wrong.extend(wrong)
        say(f"{self.fault}: {self.survived} of {self.tried}" + "".join(f"\n  {w}" for w in wrong))


@dataclass(frozen=True)
class Scene:
    """Where faults happen."""

    root: Path
    rng: random.Random
    reference: Outcome
    """Of a run that nothing happened to."""
    reference_s: float

    def project(self, name: str, *, more: str = "", output: Path | None = None) -> Project:
        """Return a new project."""
        return Project(self.root / name, more=more, output=output)

    def copy(self, finished: Project, name: str) -> Project:
        """Return a new project with a copy of another's run."""
        project = self.project(name)
        shutil.copytree(finished.run, project.run)
        return project


@dataclass(frozen=True)
class _Way:
    """One way to stop a run."""

    row: Row
    number: signal.Signals
    group: bool
    """Whether all processes of the group get the signal; else the driver alone."""


def stopped(scene: Scene, kills: int, signals: int, each: int) -> list[Row]:
    """Stop runs at random moments; a stop that finds the run ended does not count, and is tried again.

    Args:
        kills: by SIGKILL, by turns of the group and of the driver alone.
        signals: by turns SIGTERM and Ctrl-C.
        each: most stops of one run.
    """
    ways = (
        _Way(Row("kill -9 of the driver and all processes of its group"), signal.SIGKILL, True),
        _Way(Row("kill -9 of the driver alone, Ray left behind"), signal.SIGKILL, False),
        _Way(Row("SIGTERM: exit 143, resume line, within 10 s"), signal.SIGTERM, False),
        _Way(Row("Ctrl-C: exit 130, resume line, within 10 s"), signal.SIGINT, True),
    )
    left = [ways[i % 2] for i in range(kills)] + [ways[2 + i % 2] for i in range(signals)]
    scene.rng.shuffle(left)
    number, latest_s = 0, scene.reference_s
    while left:
        latest_s = _stop_one_run(scene, f"stopped-{number}", left, each, latest_s)
        number += 1
    return [way.row for way in ways]


def _stop_one_run(scene: Scene, name: str, left: list[_Way], each: int, latest_s: float) -> float:
    """Stop a new run, resume it to its end, and count the stops; those that hit are taken from ``left``.

    Args:
        latest_s: the first stop comes at most so long after the start.

    Returns:
        The latest moment of the next run's first stop: earlier than one that hit nothing.
    """
    project = scene.project(name)
    kept: dict[str, tuple[str, int]] = {}
    hits: list[tuple[_Way, list[str]]] = []
    by_itself: list[str] = []
    next_s = scene.reference_s
    while left and len(hits) < each:
        way = left[0]
        moment = scene.rng.uniform(_EARLIEST_S, latest_s)
        ended = project.stop_after(moment, way.number, group=way.group)
        if not ended.hit:
            say(f"{way.row.fault}: the run had ended before {moment:.1f} s; tried again.")
            if not hits:
                next_s = max(2 * _EARLIEST_S, moment)
            by_itself = check(project, ended, kept, scene.reference)
            break
        kept |= project.results()
        hits.append((left.pop(0), _ended_badly(ended, way.number, project, moment)))
        latest_s = scene.reference_s
    wrong = by_itself + check(project, project.finish(), kept, scene.reference)
    for way, badly in hits:
        way.row.count(badly + wrong)
    if wrong and not hits:
        raise SystemExit(f"A run that nothing happened to: {'; '.join(wrong)}")
    shutil.rmtree(project.root)
    return next_s


def _ended_badly(
    ended: Ended, number: signal.Signals, project: Project, moment: float
) -> list[str]:
    """Return what is wrong with how a driver ended that was signalled so many seconds after its start."""
    if number == signal.SIGKILL:
        return []
    wrong = []
    begun = (project.run / "run.json").exists()
    words = f"automl resume {shlex.quote(str(project.run))}" if begun else "Interrupted"
    if ended.code != {signal.SIGTERM: 143, signal.SIGINT: 130}[number]:
        wrong.append(f"exit code {ended.code}: {ended.stderr.strip()[-300:]}")
    elif words not in ended.stderr:
        wrong.append(f"'{words}' was not said: {ended.stderr.strip()[-300:]}")
    if ended.seconds > _STOP_S:
        wrong.append(f"took {ended.seconds:.1f} s to end")
    return [f"stopped after {moment:.1f} s: {what}" for what in wrong]


def damaged(scene: Scene, finished: Project, cuts: int, flips: int) -> list[Row]:
    """Damage files of a run that was stopped before its proof, each kind in turn, and resume it."""
    rows = [Row("a file cut at a random byte"), Row("a file with one bit flipped")]
    stories: list[tuple[Row, str]] = []
    for row, times in zip(rows, (cuts, flips), strict=True):
        names = _state_files(finished)
        scene.rng.shuffle(names)
        stories += [(row, name) for name in itertools.islice(itertools.cycle(names), times)]
    for number, (row, name) in enumerate(stories):
        project = scene.copy(finished, f"damaged-{number}")
        for made in ("selection.json", "report.html"):
            (project.run / made).unlink()
        shutil.rmtree(project.run / "bundle")
        file = project.run / name
        file.write_bytes(_damage(file.read_bytes(), scene.rng, flip=row is rows[1]))
        kept = {i: r for i, r in project.results().items() if i not in Path(name).parts}
        row.count([f"{name}: {w}" for w in check(project, project.finish(), kept, scene.reference)])
        shutil.rmtree(project.root)
    return rows


def _state_files(project: Project) -> list[str]:
    """Return the files whose damage must not end a run, one trial's as an example of all."""
    trial = project.folder.read_trials()[0].id
    names = ["spec.json", "spec.yaml", "run.json", "data.json", "audit.json", "quality.json"]
    names += ["plan.json", "events.jsonl"]
    names += [
        f"trials/{trial}/{file.name}" for file in sorted((project.run / "trials" / trial).iterdir())
    ]
    return [name for name in names if (project.run / name).is_file()]


def _damage(content: bytes, rng: random.Random, *, flip: bool) -> bytes:
    if not flip:
        return content[: rng.randrange(max(1, len(content) - 1))]
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def disks(scene: Scene) -> list[Row]:
    """Let the disk of a run become full, read-only, or vanish while trials are under way."""
    rows = []
    faults: list[tuple[str, Callable[[Path], None], Callable[[Path], None]]] = [
        ("the disk is full", _fill, lambda disk: (disk / "filler").unlink()),
        ("the disk is taken away", _move_away, _move_back),
    ]
    for number, (name, harm, mend) in enumerate(faults):
        row = Row(f"{name}: exit 5, then resumed")
        rows.append(row)
        disk = scene.root / f"disk-{number}"
        disk.mkdir()
        _mount("-t", "tmpfs", "-o", "size=64m", "none", str(disk))
        try:
            project = scene.project(f"disks-{number}", output=disk)
            with project.driver() as process:
                begun = wait_for(project.results)
                kept = project.results()
                harm(disk)
                _, errors = process.communicate(timeout=300)
            wrong = [] if begun else ["no trial ended"]
            if process.returncode != _STORAGE_CODE or "Traceback" in errors:
                wrong.append(f"exit code {process.returncode}: {errors.strip()[-400:]}")
            mend(disk)
            row.count(wrong + check(project, project.finish(), kept, scene.reference))
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=False)
    return [*rows, _read_only(scene)]


def _read_only(scene: Scene) -> Row:
    """Resume a killed run on a disk that can only be read; the lock keeps it writable before."""
    row = Row("the disk is read-only: exit 5, then resumed")
    disk = scene.root / "disk-read"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", "size=64m", "none", str(disk))
    try:
        project = scene.project("disks-read", output=disk)
        with project.driver():
            wait_for(project.results)
        wait_for(lambda: not project.folder.is_locked(), seconds=30)
        kept = project.results()
        wait_for(lambda: _is_remounted(disk), seconds=60)
        refused = project.finish()
        _mount("-o", "remount,rw", str(disk))
        wrong = [] if refused.code == _STORAGE_CODE else [f"exit {refused.code}: {refused.stderr}"]
        row.count(wrong + check(project, project.finish(), kept, scene.reference))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
    return row


def _is_remounted(disk: Path) -> bool:
    """Whether the disk could be made read-only: not while a process still writes there."""
    command = ["mount", "-o", "remount,ro", str(disk)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * _MIB)
        except OSError:
            pass
        try:
            while True:
                stream.write(b"x" * 512)
        except OSError:
            pass


def _move_away(disk: Path) -> None:
    """Take the disk from its place, and keep it at another."""
    away = disk.with_name(f"{disk.name}-away")
    away.mkdir()
    _mount("--bind", str(disk), str(away))
    subprocess.run(["umount", "-l", str(disk)], check=True)


def _move_back(disk: Path) -> None:
    away = disk.with_name(f"{disk.name}-away")
    _mount("--bind", str(away), str(disk))
    subprocess.run(["umount", "-l", str(away)], check=True)


def trials_ended(scene: Scene) -> list[Row]:
    """Let one trial hang, run out of memory, diverge, and be killed; the others must go on."""
    faults = {
        "hang": ("hangs: its time limit ends it", "it took longer than a trial may take"),
        "memory": ("gets no more memory", "can't allocate memory"),
        "nan": ("diverges (NaN)", "DivergedError"),
    }
    rows = []
    for fault, (name, error) in faults.items():
        row = Row(f"a trial {name}; it alone fails")
        rows.append(row)
        project = scene.project(f"trial-{fault}", more=", trial_time: 20s")
        project.environment["PYTHONPATH"] = str(_saboteur(project.root, fault))
        row.count(_one_failed(project, project.finish(), error))
    return [*rows, _killed_worker(scene)]


def _killed_worker(scene: Scene) -> Row:
    row = Row("a trial's process is killed, as when the machine runs out of memory; it alone fails")
    project = scene.project("killed")
    with project.driver() as process:
        wait_for(lambda: list((project.run / "trials").glob("*/progress.json")))
        found = wait_for(lambda: _kill_worker(process.pid), seconds=60)
        _, errors = process.communicate(timeout=600)
    ended = Ended(process.returncode, errors, 0.0)
    row.count(([] if found else ["no worker was found"]) + _one_failed(project, ended, ""))
    return row


def _one_failed(project: Project, ended: Ended, error: str) -> list[str]:
    wrong = check(project, ended, {}, None)
    failed = failed_trials(project)
    if len(failed) != 1 or error not in failed[0]:
        wrong.append(f"failed trials: {list(failed)}")
    return wrong


def _kill_worker(driver: int) -> bool:
    """Kill the process that trains."""
    try:
        for process in psutil.Process(driver).children(recursive=True):
            if "TrialActor" in " ".join(process.cmdline()):
                process.kill()
                return True
    except psutil.Error:
        pass
    return False


def _saboteur(root: Path, fault: str) -> Path:
    """Return a folder for PYTHONPATH that lets a fault happen in the first epoch of all."""
    folder = root / "saboteur"
    folder.mkdir()
    (folder / fault).touch()
    text = (Path(__file__).parent / "fault_saboteur.py").read_text()
    (folder / "sitecustomize.py").write_text(text.replace('"FAULTS"', repr(str(folder))))
    return folder


def two_at_once(scene: Scene) -> list[Row]:
    """Start a second process on a run, change its data, and resume it."""
    second = Row("a second process on the run: refused, with who has it and since when")
    changed = Row("an image changed since: refused, with its name")
    project = scene.project("second")
    with project.driver():
        wait_for(project.results)
        refused = subprocess.run(
            project.start(),
            cwd=project.root,
            env=project.environment,
            capture_output=True,
            text=True,
        )
    said = re.search(r"is in use by process \d+ on \S+ since \d{4}-", refused.stderr)
    second.count([] if refused.returncode == 2 and said else [refused.stderr])
    kept = project.results()
    image = next((project.root / "data" / "pass").iterdir())
    before = image.read_bytes()
    image.write_bytes(next((project.root / "data" / "fail").iterdir()).read_bytes())
    ended = project.finish()
    image.write_bytes(before)
    told = ended.code == 2 and image.name in ended.stderr
    wrong = [] if told else [f"exit code {ended.code}: {ended.stderr[-300:]}"]
    changed.count(wrong + check(project, project.finish(), kept, scene.reference))
    return [second, changed]
