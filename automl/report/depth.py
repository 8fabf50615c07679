"""What depth bought: score and latency of networks that differ in their depth alone."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from automl.records import Architecture, Candidate, RunRecord, Target, TargetSelection
from automl.report.schemes import SchemeRow, build_scheme_rows
from automl.report.tasks import TaskWords
from automl.report.words import format_points, isolate, metric_words
from automl.units import format_latency, plural

__all__ = ["DepthRow", "DepthView", "build_depth"]


@dataclass(frozen=True)
class DepthRow:
    """One depth of a group of networks that are otherwise the same."""

    group: str
    depth: str
    """``3`` or ``all``."""
    latency_ms: float | None
    """The p50: networks are compared, and the middle value is disturbed least."""
    score: float | None
    """Of the best trial, on validation images."""
    latency_gain_ms: float | None
    score_gain: float | None
    """Against the next smaller depth that is known."""
    is_winner: bool
    is_predicted: bool = False


@dataclass(frozen=True)
class DepthView:
    """Rows by group, then by depth; ``scheme`` is the one that all are compared under."""

    name: str
    meaning: str
    scheme: str
    sentences: tuple[str, ...]
    rows: tuple[DepthRow, ...]


@dataclass(frozen=True)
class _Point:
    architecture: Architecture
    row: SchemeRow


@dataclass(frozen=True)
class _Step:
    """From one depth to the next of the same group."""

    old: _Point
    new: _Point

    @property
    def latency_ms(self) -> float | None:
        return _difference(self.new.row.median_ms, self.old.row.median_ms)

    @property
    def score(self) -> float | None:
        return _difference(self.new.row.score, self.old.row.score)


def build_depth(
    record: RunRecord, target: Target, chosen: TargetSelection | None, *, words: TaskWords
) -> DepthView | None:
    """Return the comparison, or ``None`` when no two networks differ in depth alone."""
    pairs = build_scheme_rows(record, target)
    winner = None if chosen is None else chosen.candidate
    scheme = _scheme(pairs, winner)
    points = [_Point(architecture, row) for architecture, row in pairs if row.scheme == scheme]
    groups = [group for group in _groups(points) if len(group) > 1]
    if not groups:
        return None
    if winner is not None:
        groups.sort(key=lambda g: all(p.architecture != winner.architecture for p in g))
    steps = [_Step(old, new) for group in groups for old, new in itertools.pairwise(group)]
    by_new = {step.new.architecture: step for step in steps}
    rows = tuple(
        _row(point, by_new.get(point.architecture), None if winner is None else winner.architecture)
        for group in groups
        for point in group
    )
    objective = metric_words(record.spec.objective)
    if winner is not None:
        steps.sort(key=lambda step: winner.architecture != step.new.architecture)
    sentences = _sentences(steps, words, objective=objective)
    return DepthView(words.depth.name, words.depth.meaning, scheme, sentences, rows)


def _scheme(pairs: Sequence[tuple[Architecture, SchemeRow]], winner: Candidate | None) -> str:
    """Return the winner's scheme if it was timed in planning (int8-mixed never is), else another."""
    if winner is not None and any(
        row.scheme == winner.scheme and row.median_ms is not None for _, row in pairs
    ):
        return winner.scheme
    return _fullest(row for _, row in pairs)


def _fullest(rows: Iterable[SchemeRow]) -> str:
    """Return the scheme with the most networks that have a score, else a latency."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.scheme] += 100 * (row.score is not None) + (row.median_ms is not None)
    return counts.most_common(1)[0][0] if counts else ""


def _groups(points: list[_Point]) -> list[list[_Point]]:
    """Group what differs in depth alone, the shallowest first; unmeasured networks are left out."""
    groups: dict[tuple[object, ...], list[_Point]] = {}
    for point in points:
        if point.row.median_ms is None and point.row.score is None:
            continue
        a = point.architecture
        key = (a.backbone, a.decoder, a.width, a.image_size)
        groups.setdefault(key, []).append(point)
    for group in groups.values():
        group.sort(key=lambda p: _order(p.architecture.depth))
    return list(groups.values())


def _order(depth: int | None) -> float:
    return float("inf") if depth is None else depth


def _row(point: _Point, step: _Step | None, winner: Architecture | None) -> DepthRow:
    return DepthRow(
        group=_group_name(point.architecture),
        depth=_depth(point.architecture),
        latency_ms=point.row.median_ms,
        score=point.row.score,
        latency_gain_ms=None if step is None else step.latency_ms,
        score_gain=None if step is None else step.score,
        is_winner=point.architecture == winner,
        is_predicted=point.row.is_predicted,
    )


def _depth(architecture: Architecture) -> str:
    return "all" if architecture.depth is None else str(architecture.depth)


def _group_name(architecture: Architecture) -> str:
    """Return ``tf_efficientnet_lite0, unet 32, 256 px``."""
    decoder = ""
    if architecture.decoder is not None:
        decoder = f", {architecture.decoder} {architecture.width or ''}".rstrip()
    return f"{architecture.backbone}{decoder}, {architecture.image_size} px"


def _sentences(steps: list[_Step], words: TaskWords, *, objective: str) -> tuple[str, ...]:
    """Say what the most telling step bought, then what a step bought on the whole."""
    whole = [s for s in steps if s.score is not None and s.latency_ms is not None]
    timed = [s.latency_ms for s in steps if s.latency_ms is not None]
    said = []
    if whole:
        said.append(_told(whole[0], words, objective))
    if len(whole) > 1:
        gain = statistics.median(s.score or 0.0 for s in whole)
        cost = statistics.median(s.latency_ms or 0.0 for s in whole)
        said.append(
            f"Over {plural(len(whole), 'pair')} of trained networks that differ in depth alone, a "
            f"step {_gained(gain)} and {_cost(cost)} (medians)."
        )
    if not whole and timed:
        said.append(
            f"No two trained networks differ in depth alone, so its gain is not known; one step "
            f"{_cost(statistics.median(timed))} (median of {plural(len(timed), 'pair')})."
        )
    return tuple(said)


def _told(step: _Step, words: TaskWords, objective: str) -> str:
    phrase = words.depth.step.format(
        new=_depth(step.new.architecture), old=_depth(step.old.architecture)
    )
    return (
        f"With {isolate(_group_name(step.new.architecture))}, {phrase} "
        f"{_gained(step.score or 0.0, objective)} and {_cost(step.latency_ms or 0.0)} (p50)."
    )


def _gained(gain: float, objective: str = "score") -> str:
    if abs(gain) < 5e-5:
        return f"changed no {objective}"
    return f"{'gained' if gain > 0 else 'lost'} {format_points(gain)} of {objective}"


def _cost(cost_ms: float) -> str:
    return f"{'cost' if cost_ms >= 0 else 'saved'} {format_latency(abs(cost_ms))}"


def _difference(new: float | None, old: float | None) -> float | None:
    return None if new is None or old is None else new - old
