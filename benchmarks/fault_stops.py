"""Runs that are killed, terminated and interrupted at random moments."""

from __future__ import annotations

import shlex
import shutil
import signal
from dataclasses import dataclass

from benchmarks.commands import say
from benchmarks.fault_project import Ended, Project, check
from benchmarks.fault_scene import Row, Scene

__all__ = ["stopped"]

_STOP_S = 10.0
"""So soon after SIGTERM or Ctrl-C a run must be safe and ended."""
_EARLIEST_S = 1.0
"""Of a stop: a process of Python has hardly begun before."""


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
