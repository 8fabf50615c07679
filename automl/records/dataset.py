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
    "TruthKind",
    "TruthRef",
]

TruthKind = Literal["label", "boxes", "mask", "defect"]
"""What is known of an image: its class; the boxes of the objects in it; the class of each pixel; or
whether it is good or shows a defect (and, perhaps, where)."""


class Split(StrEnum):
    """What a sample is for. The test split is read once, at the end."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Sample:
    """One usable image. ``path`` is relative to the data's root, with forward slashes."""

    path: str
    classes: tuple[int, ...]
    """The classes that the image shows, ascending: exactly one where an image has a label (good is 0
    and defect 1 for anomaly detection), any number where it has boxes or a mask."""
    split: Split
    group: str
    """What must not be split: the group the spec's expression found, else the path itself."""
    sha256: str
    height: int
    width: int

    @property
    def label(self) -> int:
        """The one class of an image that has a label; -1 for an image that shows none."""
        return self.classes[0] if self.classes else -1


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
    """Images that show each class, in one split, in the order of the classes."""

    split: Split
    per_class: tuple[int, ...]
    objects: tuple[int, ...] = ()
    """Boxes or pixels of each class, where images have them."""


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
class TruthRef:
    """Where boxes and masks lie, compiled from the annotations: a folder of the cache, never the
    user's files."""

    folder: str
    key: str


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
    truth_kind: TruthKind = "label"
    truth: TruthRef | None = None
    """``None`` where labels (``Sample.classes``) are all there is."""

    def indices(self, split: Split) -> tuple[int, ...]:
        """Positions of the samples of one split."""
        return tuple(i for i, sample in enumerate(self.samples) if sample.split is split)


@dataclass(frozen=True)
class PreparedData:
    """What the data stage hands on."""

    dataset: Dataset
    audit: Audit
