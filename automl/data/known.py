"""What is known of each usable image, whatever kind of truth it is: labels, boxes, masks or defects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.data import audit, copies
from automl.data.formats import Listing
from automl.data.survey import Survey
from automl.errors import DataError
from automl.records import Finding, TruthKind, TruthRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Known", "known_of"]


@dataclass(frozen=True)
class Known:
    """The images to use and what is known of them, in one order."""

    kind: TruthKind
    classes: tuple[str, ...]
    positions: tuple[int, ...]
    """Of the images in the listing."""
    shown: tuple[tuple[int, ...], ...]
    """Classes that each image shows."""
    digests: tuple[str, ...]
    """What tells two truths apart."""
    amounts: NDArray[np.int64]
    """``(n, 3)``: image (its place in this order), class, objects or pixels; empty for labels."""
    contradicting: tuple[str, ...]
    """Paths of images left out because copies of them have another truth."""
    truth: TruthRef | None
    findings: tuple[Finding, ...]

    def totals(self, places: Sequence[int] | NDArray[np.intp]) -> tuple[int, ...]:
        """Return objects or pixels of each class in some of the images."""
        wanted = np.zeros(len(self.positions) + 1, bool)
        wanted[np.asarray(places, np.intp)] = True
        rows = self.amounts[wanted[self.amounts[:, 0]]]
        counts = np.zeros(len(self.classes), np.int64)
        np.add.at(counts, rows[:, 1], rows[:, 2])
        return tuple(counts.tolist())


def known_of(
    listing: Listing,
    looked: Survey,
    *,
    kind: TruthKind,
    keep_classes: bool,
    progress: Callable[[str], None],
) -> Known:
    """Return what is known of every image that can be used.

    Args:
        listing: What the format says.
        looked: What the files hold.
        kind: Of the truth.
        keep_classes: Whether classes that no image shows are kept (because the spec names them).
        progress: Told in a few words what is going on.

    Raises:
        DataError: when no image can be used.
    """
    readable = [i for i, one in enumerate(looked.facts) if one.is_usable]
    if not readable:
        raise DataError(_nothing_readable(listing, looked))
    if kind == "label":
        return _without_contradicting(_labels(listing, readable), looked)
    from automl.data.truth_compile import compile_truth

    compiled = compile_truth(
        listing,
        looked.facts,
        readable,
        kind=kind,
        keep_classes=keep_classes,
        progress=progress,
    )
    amounts = np.stack(
        [compiled.amounts[name].astype(np.int64) for name in ("row", "label", "amount")], axis=1
    )
    everything = Known(
        kind,
        compiled.classes,
        tuple(readable),
        compiled.shown,
        tuple(digest.hex() for digest in compiled.digests),
        amounts,
        (),
        compiled.ref,
        compiled.findings,
    )
    usable = _chosen(everything, np.flatnonzero(compiled.usable).tolist())
    if not usable.positions:
        reasons = " ".join(one.message for one in compiled.findings if one.severity == "error")
        raise DataError(f"No image in '{listing.root}' can be used. {reasons}".rstrip())
    return _without_contradicting(usable, looked)


def _labels(listing: Listing, readable: list[int]) -> Known:
    labels = {name: (label,) for label, name in enumerate(listing.classes)}
    names = [listing.samples[i].label or "" for i in readable]
    return Known(
        "label",
        listing.classes,
        tuple(readable),
        tuple(labels[name] for name in names),
        tuple(names),
        np.zeros((0, 3), np.int64),
        (),
        None,
        (),
    )


def _without_contradicting(known: Known, looked: Survey) -> Known:
    """Leave out images whose content has another truth elsewhere."""
    contents = [looked.facts[i].sha256 for i in known.positions]
    contradicting = set(copies.conflicting(contents, known.digests))
    if not contradicting:
        return known
    paths = tuple(looked.facts[known.positions[place]].path for place in sorted(contradicting))
    places = [place for place in range(len(known.positions)) if place not in contradicting]
    return _chosen(known, places, contradicting=paths)


def _chosen(known: Known, places: list[int], *, contradicting: tuple[str, ...] = ()) -> Known:
    """Return what is known of some of the images."""
    renumbered = np.full(len(known.positions), -1, np.int64)
    renumbered[places] = np.arange(len(places))
    amounts = known.amounts.copy()
    amounts[:, 0] = renumbered[amounts[:, 0]]
    return Known(
        known.kind,
        known.classes,
        tuple(known.positions[place] for place in places),
        tuple(known.shown[place] for place in places),
        tuple(known.digests[place] for place in places),
        amounts[amounts[:, 0] >= 0],
        contradicting,
        known.truth,
        known.findings,
    )


def _nothing_readable(listing: Listing, looked: Survey) -> str:
    found = audit.file_findings(listing.samples, looked.facts)
    reasons = " ".join(one.message for one in found)
    return f"None of the images in '{listing.root}' can be read. {reasons}".rstrip()
