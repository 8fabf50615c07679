"""What a search has learnt so far of the architectures it chooses from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from automl.records import Architecture, Probe, Rung, TrialResult, TrialStatus

__all__ = ["Climb"]


@dataclass
class Climb:
    """What is known so far; filled alike by a search under way and from the files of an earlier part."""

    scores: dict[str, float] = field(default_factory=dict)
    """Of linear models, by architecture."""
    probed: dict[str, float] = field(default_factory=dict)
    """Seconds that each set of features took."""
    delivered: dict[str, float | None] = field(default_factory=dict)
    """Objective of networks with a linear head; ``None``: it failed."""
    glances: dict[str, float | None] = field(default_factory=dict)
    """Score after a glance; ``None``: it failed."""
    glance_seconds: dict[str, float] = field(default_factory=dict)
    trained: dict[str, float | None] = field(default_factory=dict)
    """Best objective of each architecture whose training was begun; ``None``: none ended well yet."""
    under_way: set[str] = field(default_factory=set)
    """What was begun and has not ended, as ``<rung> <key>``."""

    @classmethod
    def of(cls, probes: Sequence[Probe], trials: Sequence[TrialResult]) -> Climb:
        """Return what an earlier part of a run found."""
        climb = cls()
        for probe in probes:
            climb.note_features(probe.id, probe.scores, sum(probe.seconds.values()))
        for trial in trials:
            failed = trial.status is TrialStatus.FAILED
            score = trial.objective
            if trial.rung == "glance" and trial.epochs:
                score = trial.epochs[-1].val_score
            seconds = trial.seconds.get("train", 0.0)
            climb.note(trial.rung, trial.architecture, None if failed else score, seconds)
        return climb

    def note_features(self, id_: str, scores: Mapping[str, float], seconds: float) -> None:
        """Take in a set of features, also one that could not be made and has no scores."""
        self.scores.update(scores)
        self.probed[id_] = seconds

    def note(
        self, rung: Rung, architecture: Architecture, score: float | None, seconds: float
    ) -> None:
        """Take in a trial that ended on one of the other rungs; ``None``: it failed."""
        key = architecture.key
        if rung == "probe":
            self.delivered[key] = score
        elif rung == "glance":
            self.glances[key] = score
            self.glance_seconds[key] = seconds
        else:
            best = self.trained.get(key)
            self.trained[key] = score if best is None or (score or 0.0) > best else best

    def begin_training(self, architecture: Architecture) -> None:
        """Take in that a training was handed out."""
        self.trained.setdefault(architecture.key, None)

    def is_under_way(self, rung: Rung) -> bool:
        """Return whether something on a rung was begun and has not ended."""
        return any(name.startswith(f"{rung} ") for name in self.under_way)

    def has_trained_from_probe(self) -> bool:
        """Return whether a training that began with a fitted head ended well, or may still."""
        return any(
            key in self.scores and (score is not None or f"train {key}" in self.under_way)
            for key, score in self.trained.items()
        )
