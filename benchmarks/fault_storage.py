"""Files that are damaged, and disks that are full, read-only or gone."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.fault_project import Project, check, wait_for
from benchmarks.fault_scene import Row, Scene

__all__ = ["damaged", "disks"]

_STORAGE_CODE = 5
_MIB = 2**20


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
