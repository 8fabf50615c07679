"""Where faults happen to runs, and the lines of the table that counts which were survived."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.commands import say
from benchmarks.fault_project import Outcome, Project

__all__ = ["Row", "Scene"]


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
