"""Lets real runs be killed, interrupted, damaged and starved, and prints how many survived.

    .venv/bin/python -m benchmarks.faults [--only stopped,damaged,disks,trials,second] [--seed 0]
        [--kills 20] [--signals 10] [--cuts 12] [--flips 12]

Without options it gives the whole table: ``kill -9`` at 20 random moments, five stops each by SIGTERM and by
Ctrl-C, 12 files cut and 12 flipped bits, then disks, trials and a second process. A stop counts only when it
hit a running process; one that came too late is tried again, earlier, on a new run.

Survived: ``automl resume`` ends with exit code 0 and no traceback; every trial that had ended is kept, byte
for byte, and none is run again; none is left without a result; and trials and winner are those of the
run that nothing happened to (fixed seed, one worker). The networks are tiny, the rest is what a user runs.
Full, read-only and vanished disks are small file systems in memory, which only root may mount.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands import say
from benchmarks.fault_project import Outcome, Project, check
from benchmarks.fault_scene import Row, Scene
from benchmarks.fault_stops import stopped
from benchmarks.fault_storage import damaged, disks
from benchmarks.fault_trials import trials_ended, two_at_once

__all__ = ["main"]

PARTS = ("stopped", "damaged", "disks", "trials", "second")
_EACH = 4
"""Most stops of one run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Let the faults asked for happen and print the table; the exit code is 1 when one was not survived."""
    options = _options(arguments)
    # What a shell starts in the background ignores Ctrl-C, and so would the runs started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="automl-faults-") as name:
        rows = _rows(Path(name), options)
    print("| fault | survived |\n|---|---|")
    for row in rows:
        print(f"| {row.fault} | {row.survived} of {row.tried} |" + (row.note and f" {row.note}"))
    for row in rows:
        for wrong in row.wrong:
            say(f"{row.fault}: {wrong}")
    return int(any(row.survived < row.tried for row in rows))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--kills", type=int, default=20, help="stops by SIGKILL (20)")
    parser.add_argument("--signals", type=int, default=10, help="by SIGTERM and Ctrl-C (10)")
    parser.add_argument("--cuts", type=int, default=12, help="files cut at a random byte (12)")
    parser.add_argument("--flips", type=int, default=12, help="files with a flipped bit (12)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}. Known: {', '.join(PARTS)}.")
    return options


def _rows(root: Path, options: argparse.Namespace) -> list[Row]:
    first, seconds = _undisturbed(root / "cold")
    say(f"The run that fills the cache took {seconds:.0f} s.")
    _, seconds = _undisturbed(root / "reference", reference=first.outcome())
    say(f"The run without faults took {seconds:.0f} s.")
    scene = Scene(root, random.Random(options.seed), first.outcome(), seconds)
    parts = options.only.split(",")
    rows: list[Row] = []
    if "stopped" in parts:
        rows += stopped(scene, options.kills, options.signals, _EACH)
    if "damaged" in parts:
        rows += damaged(scene, first, options.cuts, options.flips)
    if "disks" in parts:
        rows += disks(scene) if os.geteuid() == 0 else []
    if "trials" in parts:
        rows += trials_ended(scene)
    if "second" in parts:
        rows += two_at_once(scene)
    return rows


def _undisturbed(root: Path, *, reference: Outcome | None = None) -> tuple[Project, float]:
    """Return a project whose run nothing happened to, and the seconds that it took.

    Raises:
        SystemExit: when it fails, or comes to another outcome than the reference.
    """
    project = Project(root)
    ended = project.finish()
    wrong = check(project, ended, {}, reference)
    if wrong:
        raise SystemExit(f"A run without faults: {'; '.join(wrong)}")
    return project, ended.seconds


if __name__ == "__main__":
    sys.exit(main())
