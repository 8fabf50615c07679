"""Trials that hang, starve, diverge or are killed, and a run that two processes want."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psutil

from benchmarks.fault_project import Ended, Project, check, failed_trials, wait_for
from benchmarks.fault_scene import Row, Scene

__all__ = ["trials_ended", "two_at_once"]


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
            if "ray::ResourceTrainable.train" in " ".join(process.cmdline()):
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
