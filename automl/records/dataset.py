"""What the data is: samples, splits, findings of the audit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = [
    "Audit",
    "CacheRef",
    "Dataset",
    "Finding",
    "PreparedData",
    "Sample",
    "Split",
    "SplitCounts",
]


class Split(StrEnum):
    """What a sample is for. The test split is read once, at the end."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Sample:
    """One usable image. ``path`` is relative to the data's root, with forward slashes."""

    path: str
    label: int
    split: Split
    group: str
    """What must not be split: the group the spec's expression found, else the path itself."""
    sha256: str
    height: int
    width: int


@dataclass(frozen=True)
class Finding:
    """One thing the audit noticed. ``rule`` is kebab-case, e.g. ``truncated-file``."""

    rule: str
    severity: Literal["error", "warning", "info"]
    message: str
    """One sentence for people who know no deep learning: what, how many, what was done."""
    remedy: str
    count: int
    paths: tuple[str, ...]
    """Every file concerned, relative to the root (for duplicates: pairs in turn)."""


@dataclass(frozen=True)
class SplitCounts:
    """Images per class in one split, in the order of the classes."""

    split: Split
    per_class: tuple[int, ...]


@dataclass(frozen=True)
class Audit:
    """All that was learnt about the data before anything is trained."""

    root: str
    format: str
    format_reason: str
    classes: tuple[str, ...]
    files_seen: int
    files_used: int
    counts: tuple[SplitCounts, ...]
    groups: int
    findings: tuple[Finding, ...]
    seconds: float


@dataclass(frozen=True)
class CacheRef:
    """Where the decoded images lie: one flat memory-mapped uint8 file and an index beside it."""

    folder: str
    key: str
    size_bytes: int


@dataclass(frozen=True)
class Dataset:
    """The usable samples, divided, with where their pixels are."""

    root: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    frame_size: tuple[int, int] | None
    """(height, width) when every image has it, else ``None``."""
    typical_frame: tuple[int, int]
    """(height, width): median height and median width."""
    fingerprint: str
    """SHA-256 over the sorted contents, labels and splits."""
    cache: CacheRef | None
    """``None``: the set is larger than the limit, so images are decoded at every use."""

    def indices(self, split: Split) -> tuple[int, ...]:
        """Positions of the samples of one split."""
        return tuple(i for i, sample in enumerate(self.samples) if sample.split is split)


@dataclass(frozen=True)
class PreparedData:
    """What the data stage hands on."""

    dataset: Dataset
    audit: Audit
