"""What the contestants of :mod:`benchmarks.search_cost` reached at what cost: pure numbers and the tables.

A contestant's part is a list of lines in the order in which they happened: one for each candidate that was
trained to the end, and a last one for the end.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CONTESTANTS", "MOMENTS_S", "Part", "Trained", "read_part", "render"]

CONTESTANTS = ("automl", "fifo", "asha")
MOMENTS_S = (30, 60, 120, 300, 600)
_CLOSE = 0.005
"""Half a point."""
_ASKED = {"fifo": 0.1, "asha": 0.25}
_WORDS = {"fifo": "(a) every candidate", "asha": "(b) Optuna and ASHA"}


@dataclass(frozen=True)
class Trained:
    """One candidate that was trained to the end."""

    wall_s: float
    core_s: float
    val: float
    test: float | None
    fits: bool


@dataclass(frozen=True)
class Part:
    """What one contestant did with one seed."""

    trained: tuple[Trained, ...]
    wall_s: float
    core_s: float
    delivered: Mapping[str, float]
    """``val`` and ``test`` of what was chosen at the end; empty where nothing was."""

    def best(self, *, until_s: float | None = None) -> Trained | None:
        """Return the candidate with the best validation score among those that fit."""
        fitting = [
            one for one in self.trained if one.fits and (until_s is None or one.wall_s <= until_s)
        ]
        return max(fitting, key=lambda one: one.val, default=None)

    def cost_of(self, score: float) -> float | None:
        """Return the core-seconds until a candidate that fits had this validation score."""
        costs = [one.core_s for one in self.trained if one.fits and one.val >= score]
        return min(costs, default=None)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a part; a torn last line, of a benchmark that was killed, is left out."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def read_part(path: Path, *, fits: Callable[[str], bool]) -> Part | None:
    """Return what a contestant did, or ``None`` when it has not ended.

    ``fits`` tells by the key of an architecture whether it keeps the budget.
    """
    lines = read_lines(path)
    if not lines or "end" not in lines[-1]:
        return None
    trained = tuple(
        Trained(
            line["wall_s"],
            line["core_s"],
            line["val"],
            line.get("test"),
            bool(line.get("fits", fits(line["architecture"]))),
        )
        for line in lines
        if "val" in line and "end" not in line
    )
    end = lines[-1]
    delivered = {name: end[name] for name in ("val", "test") if end.get(name) is not None}
    return Part(trained, end["wall_s"], end["core_s"], delivered)


def render(cases: Mapping[str, Mapping[str, Mapping[int, Part]]]) -> str:
    """Return the tables of all cases: by case, contestant and seed."""
    return "\n\n".join(
        table
        for name, parts in cases.items()
        for table in (_costs(name, parts), _moments(name, parts))
    )


def _costs(case: str, parts: Mapping[str, Mapping[int, Part]]) -> str:
    """Return what it cost to come within half a point of each peer's final score."""
    lines = [
        f"{case}: core-seconds until the best score that fits is within half a point of the peer's final one",
        "",
        "| peer | seeds | automl | peer, to the same score | ratio | peer, whole | ratio | asked | ok |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for peer, asked in _ASKED.items():
        rows = [
            _cost_row(parts["automl"][seed], part)
            for seed, part in sorted(parts.get(peer, {}).items())
            if seed in parts.get("automl", {})
        ]
        known = [row for row in rows if row is not None]
        if not known:
            continue
        own, reached, whole = (_median(column) for column in zip(*known, strict=True))
        first = _median(a / b for a, b, _ in known)
        ratio = _median(a / c for a, _, c in known)
        lines.append(
            f"| {_WORDS[peer]} | {len(known)} | {own:,.0f} | {reached:,.0f} | {first:.2f} "
            f"| {whole:,.0f} | {ratio:.2f} | {asked:g} | {_yes(ratio <= asked)}, {_yes(first <= asked)} |"
        )
    return "\n".join(lines)


def _cost_row(own: Part, peer: Part) -> tuple[float, float, float] | None:
    """Return core-seconds: ours and the peer's to the peer's score, and the peer's whole.

    A score that we never reach costs infinitely much.
    """
    best = peer.best()
    if best is None:
        return None
    target = best.val - _CLOSE
    reached = peer.cost_of(target)
    cost = own.cost_of(target)
    return (float("inf") if cost is None else cost, reached or peer.core_s, peer.core_s)


def _moments(case: str, parts: Mapping[str, Mapping[int, Part]]) -> str:
    """Return the best score that could be delivered at moments, and at the end."""
    heads = [f"{moment} s" for moment in MOMENTS_S]
    lines = [
        f"{case}: test score of the candidate with the best validation score among those that fit, after so "
        "long; medians",
        "",
        f"| contestant | {' | '.join(heads)} | when automl ended | at its own end | took |",
        "|---|" + "---|" * (len(heads) + 3),
    ]
    ends = [part.wall_s for part in parts.get("automl", {}).values()]
    for name in CONTESTANTS:
        own = list(parts.get(name, {}).values())
        if not own:
            continue
        cells = [_test_at(own, float(moment)) for moment in MOMENTS_S]
        same = _test_at(own, statistics.median(ends)) if ends else "-"
        took = _median(part.wall_s for part in own)
        words = _WORDS.get(name, name)
        lines.append(
            f"| {words} | {' | '.join(cells)} | {same} | {_test_at(own, None)} | {took:,.0f} s |"
        )
    return "\n".join(lines)


def _test_at(parts: Sequence[Part], until_s: float | None) -> str:
    """Return the median test score over seeds; a seed with nothing to deliver has none."""
    scores = [score for part in parts if (score := _score_at(part, until_s)) is not None]
    if not scores:
        return "–"
    missing = len(parts) - len(scores)
    return f"{statistics.median(scores):.4f}" + (f" ({missing} without)" if missing else "")


def _score_at(part: Part, until_s: float | None) -> float | None:
    """Return the test score of what could be delivered then; at the end, of what was."""
    if (until_s is None or part.wall_s <= until_s) and "test" in part.delivered:
        return part.delivered["test"]
    best = part.best(until_s=until_s)
    return None if best is None else best.test


def _median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def _yes(holds: bool) -> str:
    return "yes" if holds else "**no**"
