"""Lets real runs be killed, interrupted, damaged and starved, and prints how many survived.

    .venv/bin/python -m benchmarks.faults [--only stopped,damaged,disks,trials,second] [--times 20] [--seed 0]

Survived: ``automl resume`` ends with exit code 0 and no traceback; every trial that had ended is kept, byte
for byte, and none is run again; none is left without a result; and trials and winner are those of the
run that nothing happened to (fixed seed, one worker). The networks are tiny, the rest is what a user runs.
Full, read-only and vanished disks are small file systems in memory, which only root may mount.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands import say
from benchmarks.fault_kinds import (
    Row,
    Scene,
    damaged,
    disks,
    stopped,
    trials_ended,
    two_at_once,
)
from benchmarks.fault_project import Project

__all__ = ["main"]

PARTS = ("stopped", "damaged", "disks", "trials", "second")
_EACH = 4
"""Stops of one run: by turns in each of the four ways."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Let the faults asked for happen and print the table; the exit code is 1 when one was not survived."""
    options = _options(arguments)
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--times", type=int, default=20, help="stops, and damaged files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}. Known: {', '.join(PARTS)}.")
    return options


def _rows(root: Path, options: argparse.Namespace) -> list[Row]:
    first = Project(root / "reference")
    ended = first.finish()
    if ended.code != 0:
        raise SystemExit(f"The run without faults ended with {ended.code}: {ended.stderr}")
    say(f"The run without faults took {ended.seconds:.0f} s.")
    scene = Scene(root, random.Random(options.seed), first.outcome(), ended.seconds)
    parts = options.only.split(",")
    rows: list[Row] = []
    if "stopped" in parts:
        rows += stopped(scene, options.times, _EACH)
    if "damaged" in parts:
        rows += damaged(scene, first, options.times)
    if "disks" in parts:
        rows += disks(scene) if os.geteuid() == 0 else []
    if "trials" in parts:
        rows += trials_ended(scene)
    if "second" in parts:
        rows += two_at_once(scene)
    return rows


if __name__ == "__main__":
    sys.exit(main())
